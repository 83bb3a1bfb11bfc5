// -- one picture ------------------------------------------------------------------------------------

class Chart {
  constructor(run, parent) {
    this.run = run;
    this.box = element("div", { class: "chart", tabindex: 0, parent, role: "group", "aria-label": `timeline of ${run.title}` });
    this.top = svg("svg", { parent: this.box, class: "top" });
    this.scroller = element("div", { class: "lanes", parent: this.box });
    this.all = element("div", { class: "all", parent: this.scroller });
    this.body = svg("svg", { parent: this.all, class: "body" });
    this.none = element("p", { class: "note", parent: this.box, text: "No lane matches the search.", hidden: "" });
    this.scroller.addEventListener("scroll", redraw);
    this.listen();
  }

  // Which lanes there are, in which order, and how high each is.
  layLanes() {
    const { run } = this, mode = state.mode, names = mode === "task" ? run.tasks : run.items;
    const lanes = new Map();
    const lane = (index) => {
      if (!lanes.has(index)) lanes.set(index, { index, name: names[index], rows: 1, bars: [], marks: [], waits: [], blocked: null });
      return lanes.get(index);
    };
    for (const event of run.happened) {
      const index = event[mode];
      if (index !== null && (mode === "task" || event.kind !== "traced")) lane(index).last = event.at;
      if (index !== null && MARKED.has(event.kind)) lane(index).marks.push(event);
    }
    if (mode === "task") for (const [task, at, how] of run.ends) lane(task).ended = { at, how };
    if (mode === "task") for (const [task, at, text] of run.died) {
      lane(task).marks.push({ at, kind: "died", item: null, request: null, task, place: null, text });
    }
    for (const bar of run.bars) {
      const own = lane(bar[mode]);
      own.bars.push(bar);
      own.rows = Math.max(own.rows, bar.row[mode] + 1);
      own.last = Math.max(own.last ?? 0, bar.over ?? bar.sent);
    }
    if (mode === "task") this.addBlocked(lane); else this.addUnfinished(lanes);
    this.lanes = [...lanes.values()].filter((each) => this.matches(each));
    if (mode === "item") this.lanes.sort((a, b) => a.index - b.index);
    let y = 0;
    for (const each of this.lanes) {
      each.y = y;
      each.height = each.rows * ROW + 2 * PAD;
      y += each.height;
    }
    this.height = y;
    this.laneY = new Map(this.lanes.map((each) => [each.index, each.y]));
    this.all.style.height = `${y}px`;
    this.none.hidden = this.lanes.length > 0;
  }
  addBlocked(lane) {
    for (const [task, since, until, text] of this.run.waits) lane(task).waits.push({ since, until, text });
    for (const { tasks, since, text } of this.run.blocked) for (const [number, task] of tasks.entries()) {
      const own = lane(task);
      own.blocked = { since: Math.max(own.last ?? 0, since[number]), text: `blocked when the run was stopped:\n${text}`, label: text.split("\n").find((line) => line.startsWith("waits")) ?? "" };
    }
  }
  addUnfinished(lanes) {
    const entered = new Set(), done = new Set();
    for (const event of this.run.happened) {
      if (event.kind === "submitted") entered.add(event.item);
      if (event.kind === "completed" || event.kind === "failed" || event.kind === "cancelled") done.add(event.item);
    }
    for (const own of lanes.values()) {
      if (this.run.ended && entered.has(own.index) && !done.has(own.index)) own.blocked = { since: own.last ?? 0, text: "the item has no outcome", label: "no outcome" };
    }
  }
  matches(lane) {
    if (!state.query) return true;
    const { items, tasks } = this.run;
    return [lane.name, ...lane.bars.map((bar) => (state.mode === "task" ? items[bar.item] : tasks[bar.task])),
      ...lane.marks.map((mark) => (state.mode === "task" ? items[mark.item] : tasks[mark.task])), lane.blocked?.text]
      .some((text) => text?.toLowerCase().includes(state.query));
  }
  hits(bar) {
    if (!state.query) return true;
    return [this.run.items[bar.item], this.run.tasks[bar.task]].some((text) => text?.toLowerCase().includes(state.query));
  }

  x(time) {
    return GUTTER + ((placeOf(time) - state.low) / (state.high - state.low)) * this.wide;
  }
  placeAt(x) {
    return state.low + ((x - GUTTER) / this.wide) * (state.high - state.low);
  }

  draw() {
    this.width = this.box.clientWidth;
    this.wide = Math.max(this.width - GUTTER - RIGHT, 50);
    this.drawTop();
    this.drawLanes();
  }

  // The axis, the deviations, the bands and the counts.
  drawTop() {
    const { run, top } = this;
    top.replaceChildren();
    this.topSpots = [];
    this.under = [];
    let y = this.drawAxis();
    if (run.pinned.length) y = this.drawPins(y);
    for (const band of run.bands) y = this.drawBand(band, y);
    for (const count of run.counts) y = this.drawCount(count, y);
    this.drawEnd(top, y);
    this.size(top, y);
  }
  size(picture, height) {
    picture.setAttribute("width", this.width);
    picture.setAttribute("height", height);
    picture.setAttribute("viewBox", `0 0 ${this.width} ${height}`); // paper may be narrower than the window
  }
  label(parent, y, height, text, title) {
    svg("rect", { x: 0, y, width: GUTTER - 6, height, class: "gutter", parent });
    const shown = svg("text", { x: 8, y: y + height / 2 + 4, parent, text: cut(text, 29) });
    svg("title", { text: title ?? text, parent: shown });
    return shown;
  }
  drawAxis() {
    const { top } = this;
    this.label(top, 0, 24, axis.times.length === 1 ? "time (none passed)" : axis.folded ? "time (quiet time folded)" : "time");
    const row = svg("g", { class: "tick", parent: top });
    for (const time of this.ticks()) {
      const at = this.x(time);
      if (at < GUTTER - 1 || at > this.width - 6 * duration(time).length - 6) continue;
      svg("line", { x1: at, x2: at, y1: 15, y2: 24, parent: row });
      svg("text", { x: at + 2, y: 12, text: duration(time), parent: row });
    }
    return 24;
  }
  // Round instants: evenly apart on the plain axis, and as round as their place allows on a folded one.
  ticks() {
    const every = 105, many = Math.floor(this.wide / every), found = new Set();
    if (axis.times.length === 1) return found.add(axis.times[0]); // no time passed
    if (!axis.folded) {
      const size = niceStep((timeAt(state.high) - timeAt(state.low)) / Math.max(many, 1));
      for (let time = Math.max(0, Math.ceil(timeAt(state.low) / size) * size); time <= timeAt(state.high); time += size) found.add(time);
      return found;
    }
    let last = -Infinity;
    for (let x = GUTTER; x < this.width - 40; x += every / 3) {
      const begin = Math.max(timeAt(this.placeAt(x)), 0), size = niceStep(timeAt(this.placeAt(x + every / 3)) - begin);
      const time = Math.ceil(begin / size) * size, at = this.x(time);
      if (at - last < every * 0.7) continue;
      found.add(time);
      last = at;
    }
    return found;
  }
  drawPins(y) {
    const { top, run } = this;
    this.label(top, y, 22, "order differs from FIFO", "each pin is a choice in which the schedule differs from plain FIFO order");
    let free = -Infinity;
    for (const pin of run.pinned) {
      // Pins of one instant stand side by side.
      const at = this.x(pin.at), x = Math.max(at, free);
      if (at < GUTTER || x > this.width) continue;
      free = x + 19;
      svg("circle", { cx: x, cy: y + 11, r: 9, class: "pin", parent: top });
      this.topSpots.push([x - 9, y + 2, 18, 18, () => pinText(pin), () => select(run, { at: pin.at, begin: pin.at, end: pin.at, pin })]);
      svg("text", { x, y: y + 15, class: "pin-number", text: pin.number, parent: top });
    }
    return y + 24;
  }
  drawBand(band, y) {
    this.label(this.top, y, 16, band.name);
    for (const [begin, end, text, parts] of band.spans) {
      const x = Math.max(this.x(begin), GUTTER), until = Math.min(this.x(end), this.width);
      if (until < GUTTER || x > this.width) continue;
      const width = Math.max(until - x, 2);
      svg("rect", { x, y: y + 2, width, height: 12, class: `band-${band.kind}`, parent: this.top });
      const inner = new Set(parts.map((at) => Math.round(this.x(at))).filter((at) => at > x && at < until));
      if (inner.size) svg("path", { d: [...inner].map((at) => `M${at},${y + 2}v12`).join(""), class: `part band-${band.kind}`, parent: this.top });
      this.topSpots.push([x, y, width, 16, () => text, () => select(this.run, { at: begin, begin, end, text })]);
      if (band.kind !== "asked") this.under.push([x, Math.max(until - x, 1), band.kind]);
    }
    return y + 17;
  }
  drawCount({ name, points, refills }, y) {
    const { top } = this, height = 34, most = points.reduce((found, [, value]) => Math.max(found, value), -Infinity);
    const least = points.reduce((found, [, value]) => Math.min(found, value), 0);
    const label = this.label(top, y, height, name);
    svg("text", { x: 8, y: y + height - 5, class: "faint", text: `at most ${most}${least < 0 ? `, at least ${least}` : ""}`, parent: top });
    label.setAttribute("y", y + 13);
    const high = (value) => y + height - 4 - ((value - least) / (most - least || 1)) * (height - 8);
    let path = "", before = null;
    const start = Math.min(Math.max(this.x(points[0]?.[0] ?? 0), GUTTER), this.width);
    for (const [at, value] of points) {
      const x = Math.min(Math.max(this.x(at), GUTTER), this.width);
      // A budget fills up between two requests; anything else changes at an instant.
      const step = refills && value > before ? "" : `L${x},${high(before)}`;
      path += before === null ? `M${x},${high(value)}` : `${step}L${x},${high(value)}`;
      before = value;
    }
    if (before === null) return y + height;
    const end = Math.min(Math.max(this.x(this.run.last), GUTTER), this.width);
    path += `L${end},${high(before)}`;
    svg("path", { d: `${path}L${end},${high(least)}L${start},${high(least)}Z`, class: "area", parent: top });
    svg("path", { d: path, class: "count", parent: top });
    this.topSpots.push([GUTTER, y, this.wide, height, (x) => {
      const time = timeAt(this.placeAt(x));
      const value = points.reduce((found, [at, each]) => (at <= time ? each : found), points[0][1]);
      return `${name}: ${value} at ${duration(time)}`;
    }, null]);
    return y + height + 2;
  }
  drawEnd(parent, height) {
    for (const [time, kind] of [[this.run.decisive, "decisive"], [state.cursor, "cursor"], [this.run.last, "end-line"]]) {
      if (time === null || (kind === "cursor" && state.selected?.run !== this.run)) continue;
      const x = this.x(time);
      if (kind === "decisive" && parent === this.top && x >= GUTTER) {
        const last = x > this.width - 50;
        svg("text", { x: last ? x - 3 : x + 3, y: 23, class: "decisive", "text-anchor": last ? "end" : "start", text: last ? "here ▾" : "▾ here", parent });
      }
      const good = kind === "end-line" && this.run.how === "passed" ? " passed" : "";
      if (x >= GUTTER - 1 && x <= this.width) svg("line", { x1: x, x2: x, y1: 0, y2: height, class: kind + good, parent });
    }
  }

  // The lanes that can be seen. Shapes of one kind are one path: thousands of elements would be slow. What is
  // where is kept in spots, by which the pointer finds it.
  drawLanes() {
    const { body, scroller } = this;
    const from = state.printing ? 0 : scroller.scrollTop - 60;
    const to = state.printing ? Infinity : scroller.scrollTop + scroller.clientHeight + 60;
    const seen = this.lanes.filter((lane) => lane.y + lane.height >= from && lane.y <= to).slice(0, PRINTED_LANES);
    body.replaceChildren();
    this.spots = [];
    if (!seen.length) return;
    const offset = this.offset = seen[0].y, height = seen.at(-1).y + seen.at(-1).height - offset;
    body.style.top = `${offset}px`;
    this.size(body, height);
    this.drawEnd(body, height);
    for (const [x, width, kind] of this.under) svg("rect", { x, y: 0, width, height, class: `under band-${kind}`, parent: body });
    this.paths = new Map(LAYERS.map((kind) => [kind, ""]));
    this.labels = [];
    const places = new Map();
    this.arrows = new Set();
    for (const lane of seen) this.drawLane(lane, lane.y - offset, places);
    for (const lane of seen) for (const bar of lane.bars) if (bar.outcome === "refused" && bar.again !== null) this.drawRetry(bar, places, height);
    this.layPaths();
    for (const [x, y, text, kind] of this.labels) {
      const shown = svg("text", { x, y, text, class: kind, parent: body });
      if (kind === "over") shown.before(svg("rect", { x: x - 3, y: y - 9, width: shown.getComputedTextLength() + 6, height: 11, class: "plate" }));
    }
    this.drawPinLines(body, height);
    for (const lane of seen) this.drawLabel(lane, lane.y - offset);
  }
  add(kind, path) {
    this.paths.set(kind, this.paths.get(kind) + path);
  }
  layPaths() {
    for (const [kind, d] of this.paths) {
      if (!d) continue;
      svg("path", { d, class: kind, parent: this.body });
      if (PATTERNS[kind]) svg("path", { d, fill: `url(#${PATTERNS[kind]})`, parent: this.body });
    }
  }
  drawLabel(lane, y) {
    const { body, run } = this;
    const chosen = state.selected?.run === run && state.selected[state.mode] === lane.index;
    svg("rect", { x: 0, y, width: GUTTER - 6, height: lane.height, class: chosen ? "gutter chosen" : "gutter", parent: body });
    const label = svg("text", { x: 8, y: y + lane.height / 2 + 4, text: cut(lane.name, 29), parent: body });
    svg("title", { text: lane.name, parent: label });
    svg("line", { x1: 0, x2: this.width, y1: y + lane.height - 0.5, y2: y + lane.height - 0.5, class: "rule", parent: body });
  }
  drawLane(lane, y, places) {
    for (const wait of lane.waits) this.drawWait(wait, y, lane.blocked && wait.until > lane.blocked.since);
    if (lane.blocked) this.drawBlocked(lane, y);
    if (lane.ended) this.drawTaskEnd(lane, y);
    const drawn = new Set();
    for (const bar of lane.bars) {
      const barY = y + PAD + bar.row[state.mode] * ROW;
      places.set(bar.number, barY + 5.5);
      this.drawBar(bar, barY, drawn);
    }
    this.drawTries(lane, y);
    const latest = new Map();
    for (const mark of lane.marks) this.drawMark(mark, y + PAD + 5.5, latest);
  }
  // How often the item of the last request was asked for, where that is more than a reader counts.
  drawTries(lane, y) {
    const bar = lane.bars.at(-1), text = bar && `request ${bar.attempt}`;
    if (!bar || bar.attempt < MANY_TRIES) return;
    const end = this.x(bar.end), x = Math.min(end + 12, this.width - text.length * 6 - 4);
    if (end >= GUTTER && end <= this.width) this.labels.push([x, y + PAD + bar.row[state.mode] * ROW + 9, text, "over"]);
  }
  // A stretch of time in a lane; where it was drawn, or null.
  drawStretch(begin, end, y, height, kind, text) {
    const x = Math.max(this.x(begin), GUTTER), until = Math.min(this.x(end), this.width);
    if (until < GUTTER || x > this.width) return null;
    const width = Math.max(until - x, kind === "blocked" ? 8 : 1);
    this.add(kind, box(x, y, width, height));
    this.spots.push([x, y - 2, width, height + 4, () => text, () => select(this.run, { at: begin, begin, end, text })]);
    return { x, width };
  }
  drawWait(wait, y, covered) {
    const drawn = this.drawStretch(wait.since, wait.until, y + PAD, 11, "waits", wait.text);
    const fits = drawn && !covered ? Math.floor((drawn.width - 14) / 6) : 0;
    if (fits > 8) this.labels.push([drawn.x + 9, y + PAD + 9, cut(wait.text, fits), "over"]);
  }
  drawBlocked(lane, y) {
    const { since, text, label } = lane.blocked;
    const drawn = this.drawStretch(since, this.run.last, y + PAD - 1, lane.rows * ROW - 2, "blocked", text);
    const fits = drawn ? Math.floor((drawn.width - 14) / 6) : 0;
    if (label && fits > 8) this.labels.push([drawn.x + 9, y + PAD + 10, cut(label, fits), "over"]);
  }
  drawTaskEnd(lane, y) {
    const { at, how } = lane.ended, x = this.x(at);
    if (x < GUTTER - 1 || x > this.width) return;
    this.add(how.startsWith("raised") ? "ended raised" : "ended", box(x, y + 2, how.startsWith("raised") ? 4 : 2, lane.height - 4));
    this.spots.push([x - 3, y, 8, lane.height, () => `the task ended at ${duration(at)}: ${how}`, () => select(this.run, { at, begin: at, end: at })]);
    const free = !lane.bars.some((bar) => bar.end > at), fits = Math.floor((this.width - x - POINT - 8) / 6);
    if (free && fits >= how.length) this.labels.push([x + POINT + 4, y + PAD + 9, how, how === "returned" ? "faint" : "over"]);
  }
  drawBar(bar, y, drawn) {
    const { run } = this, x = this.x(bar.sent), end = this.x(bar.end);
    if (bar.free !== null && bar.over !== null && bar.free > bar.over) {
      this.drawStretch(bar.over, bar.free, y + 4, 3, "asked", `request ${bar.number} was refused, and the wait it asked for ends at ${duration(bar.free)}`);
    }
    if (end < GUTTER || x > this.width) return;
    const left = Math.max(x, GUTTER), least = bar.end === bar.sent ? POINT : 2.5;
    const width = Math.max(Math.min(end, this.width) - left, least);
    this.spots.push([left - 1, y - 1, width + 2, 13, () => this.barText(bar), () => selectRequest(run, bar.number)]);
    if (state.selected?.run === run && state.selected.request === bar.number) this.add("selected", box(left - 3, y - 3, width + 6, 17));
    const hit = this.hits(bar), kind = hit ? bar.outcome : "dimmed";
    // What falls on the same pixel of the same row is drawn once.
    const key = `${y} ${kind} ${bar.earlyBy > 0} ${Math.round(left)}`;
    if (width <= least && drawn.has(key)) return;
    drawn.add(key);
    const answered = run.unread(bar) && hit ? Math.min(this.x(bar.replied), this.width) - left : 0;
    this.add(kind, box(left, y, width, 11));
    if (answered > 0) this.add("answered", box(left, y, Math.max(answered, 2.5), 11));
    if (bar.earlyBy && x >= GUTTER) this.add("early", box(left - 2, y - 2, 3, 15));
    if (width > 3 && hit) this.drawInside(bar, y, left, width);
    const text = state.mode === "task" ? `${run.items[bar.item]}${bar.attempt > 1 ? ` (${bar.attempt})` : ""}` : `#${bar.number}${bar.status ? ` ${bar.status}` : ""}`;
    const fits = Math.floor((width - 8) / 6);
    if (fits >= Math.min(text.length, 5)) this.labels.push([left + 4, y + 9, cut(text, fits), "on"]);
  }
  // Lighter: waits in the client's own pool, is held by a barrier, is on its way back. With a line: streams.
  drawInside(bar, y, left, width) {
    const parts = [[bar.sent, bar.arrived], [bar.held, bar.first ?? bar.replied ?? bar.end], [bar.replied, bar.end]];
    for (const [begin, until] of parts) {
      if (begin === null || until === null || until <= begin) continue;
      const x = Math.max(this.x(begin), left), end = Math.min(this.x(until), left + width);
      if (end - x > 1) this.add("inside", box(x, y, end - x, 11));
    }
    if (bar.first === null) return;
    const x = Math.max(this.x(bar.first), left), end = Math.min(this.x(bar.replied ?? bar.end), left + width);
    if (end - x > 1) this.add("streaming", box(x, y + 8, end - x, 3));
  }
  drawRetry(bar, places, height) {
    const next = this.run.byNumber.get(bar.again);
    if (!next || bar.over === null) return;
    const x = this.x(bar.over), end = this.x(next.sent), y = places.get(bar.number);
    if (Math.max(x, end) < GUTTER || Math.min(x, end) > this.width) return;
    // The other one may be in a lane that is not drawn: the arrow then leaves the picture.
    const to = places.get(next.number) ?? (this.laneY.get(next[state.mode]) > this.offset ? height + 20 : -20);
    // Where very many arrows lie on each other, one in some pixels says the same.
    const key = `${Boolean(next.earlyBy)} ${y} ${to} ${Math.round(end / ARROWS)}`;
    if (this.arrows.has(key)) return;
    this.arrows.add(key);
    const early = next.earlyBy ? " too-early" : "", left = Math.max(x, GUTTER), right = Math.max(end, GUTTER);
    const bend = Math.max(12, Math.abs(right - left) / 3);
    this.add(`retry${early}`, `M${px(left)},${px(y)}` + (y === to ? `L${px(right)},${px(to)}`
      : `C${px(left + bend)},${px(y)} ${px(right - bend)},${px(to)} ${px(right)},${px(to)}`));
    if (end >= GUTTER && end <= this.width) this.add(`head${early}`, `M${px(end)},${px(to)}l-6,-3.5l0,7z`);
  }
  drawMark(event, y, latest) {
    const x = this.x(event.at);
    if (x < GUTTER - 6 || x > this.width) return;
    this.spots.push([x - 6, y - 6, 12, 12, () => this.eventText(event), () => select(this.run, { ...event, begin: event.at, end: event.at })]);
    // Marks of a kind that would cover each other are drawn once.
    const kind = this.run.accusedItems.has(event.item) ? `${event.kind} condemned` : event.kind;
    if (x - (latest.get(kind) ?? -Infinity) < 7) return;
    latest.set(kind, x);
    if (!(event.kind in SHAPES)) { this.add("small", box(x - 1, y + 5, 2, 5)); return; }
    const { shape, sign } = SHAPES[event.kind], at = `M${px(x)},${px(y)}`;
    this.add(`mark ${event.kind}`, at + shape);
    this.add("sign", at + sign);
    if (event.kind === "completed" && this.run.accusedItems.has(event.item)) this.add("condemned", at + RING);
  }
  drawPinLines(parent, height) {
    for (const pin of this.run.pinned) {
      const x = this.x(pin.at);
      if (x >= GUTTER && x <= this.width) svg("line", { x1: x, x2: x, y1: 0, y2: height, class: "pin-line", parent });
    }
  }

  eventText(event) {
    const { run } = this, item = event.item === null ? "" : `${run.items[event.item]}: `;
    const named = event.kind === "completed" && run.accusedItems.has(event.item) ? " (a failed check names this item)" : "";
    return `${duration(event.at)}: ${item}${event.text}${byWhom(run, event)}${named}`;
  }
  barText(bar) {
    const { run } = this, own = run.happened.filter((event) => event.request === bar.number);
    const lines = [`request ${bar.number} for ${run.items[bar.item]} by ${run.tasks[bar.task]}: ${outcomeWords(run, bar)}`,
      ...(bar.attempt > 1 ? [`it is request ${bar.attempt} of this item`] : []),
      ...requestTimes(run, bar), ...own.map((event) => this.eventText(event))];
    return lines.join("\n");
  }

  // -- what the reader does --

  inside(event) {
    return event.clientX - this.top.getBoundingClientRect().left;
  }
  // What is under the pointer: the spot that was drawn last, and the place in the picture.
  spotAt(event) {
    const inTop = this.top.contains(event.target), area = inTop ? this.top : this.body;
    if (!inTop && !this.body.contains(event.target)) return null;
    const { left, top } = area.getBoundingClientRect(), x = event.clientX - left, y = event.clientY - top;
    if (x < GUTTER - 8) return null;
    const spots = inTop ? this.topSpots : this.spots;
    const found = spots.findLast(([left, top, width, height]) => x >= left && x <= left + width && y >= top && y <= top + height);
    return found && { text: found[4], click: found[5], x };
  }
  listen() {
    this.box.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!event.ctrlKey && !sideways) return;
      event.preventDefault();
      if (sideways) pan(event.deltaX / this.wide);
      else zoom(Math.exp(event.deltaY / 300), this.placeAt(this.inside(event)));
    }, { passive: false });
    this.box.addEventListener("dblclick", (event) => zoom(0.4, this.placeAt(this.inside(event))));
    this.box.addEventListener("pointerdown", (event) => this.drag(event));
    this.box.addEventListener("pointermove", (event) => {
      const spot = this.spotAt(event);
      this.box.style.cursor = spot?.click ? "pointer" : "";
      if (spot) showTip(event, spot.text(spot.x)); else hideTip();
    });
    this.box.addEventListener("pointerleave", hideTip);
    this.box.addEventListener("click", (event) => { if (!this.dragged) this.spotAt(event)?.click?.(); });
  }
  // A drag over the top zooms to what it covers; a drag over the lanes moves the picture.
  drag(down) {
    const from = this.inside(down), zooms = this.top.contains(down.target);
    this.dragged = false;
    if (down.button !== 0 || from < GUTTER) return;
    const { low, high } = state;
    const move = (event) => {
      const by = this.inside(event) - from;
      if (Math.abs(by) < 4 && !this.dragged) return;
      this.dragged = true;
      if (zooms) this.drawBrush(from, from + by);
      else show(low - (by / this.wide) * (high - low), high - (by / this.wide) * (high - low));
    };
    const up = (event) => {
      removeEventListener("pointermove", move);
      const to = this.inside(event);
      if (this.dragged && zooms) show(this.placeAt(Math.min(from, to)), this.placeAt(Math.max(from, to)));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up, { once: true });
  }
  drawBrush(from, to) {
    this.top.querySelector(".brush")?.remove();
    svg("rect", { x: Math.min(from, to), y: 0, width: Math.abs(to - from), height: 1000, class: "brush", parent: this.top });
  }
  bring(what) {
    if (!what) return;
    bringIntoView(what.begin, what.end);
    const lane = this.lanes.find((each) => each.index === what[state.mode]);
    if (!lane) return;
    const { scrollTop, clientHeight } = this.scroller;
    if (lane.y < scrollTop || lane.y + lane.height > scrollTop + clientHeight) this.scroller.scrollTop = lane.y - clientHeight / 2;
    this.box.scrollIntoView({ block: "nearest" });
  }
}
