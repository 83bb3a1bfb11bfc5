"use strict";
// Draws the runs of the page. Texts of a run reach the page as text nodes only, never as markup.

const RUNS = JSON.parse(document.getElementById("runs").textContent);
const GUTTER = 190, RIGHT = 14, ROW = 15, PAD = 5;
const OUTCOMES = ["answered", "refused", "spoiled", "left", "open"];
const OUTCOME_WORDS = {
  answered: "answered", refused: "refused", spoiled: "went wrong by a fault of the scenario",
  left: "left by its client", open: "not over",
};
// Most lanes that are drawn for printing, and most events that are listed: a browser copes with as many.
const PRINTED_LANES = 400, LISTED = 1000;
// So many sentences stand above the pictures.
const FIRST = 3;

// -- small helpers ---------------------------------------------------------------------------------

function element(name, { text, parent, ...attributes } = {}) {
  return filled(document.createElement(name), text, parent, attributes);
}
function svg(name, { text, parent, ...attributes } = {}) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), text, parent, attributes);
}
function filled(made, text, parent, attributes) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

const UNITS = { h: 3600e9, m: 60e9, s: 1e9, ms: 1e6, us: 1e3, "µs": 1e3, ns: 1 };

// A duration in nanoseconds as text, to at most four digits behind the largest unit.
function duration(ns) {
  if (ns < 0) return "-" + duration(-ns);
  if (ns >= 60e9) {
    const hours = Math.floor(ns / 3600e9), minutes = Math.floor((ns % 3600e9) / 60e9);
    const seconds = trimmed((ns % 60e9) / 1e9, 3);
    return (hours ? `${hours}h` : "") + (minutes ? `${minutes}m` : "") + (seconds === "0" ? "" : `${seconds}s`);
  }
  for (const unit of ["s", "ms", "us"]) if (ns >= UNITS[unit]) return trimmed(ns / UNITS[unit], 3) + unit;
  return ns ? `${ns}ns` : "0s";
}
function trimmed(number, digits) {
  return String(Number(number.toFixed(digits)));
}
// The exact reverse of how the texts of a run write an instant, such as 1m30.5s.
function instant(text) {
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|us|µs|ns|s)/g)) total += number * UNITS[unit];
  return total;
}

// -- the runs, indexed --------------------------------------------------------------------------------

function indexed(run) {
  run.bars = run.requests.map(([number, item, task, sent, arrived, held, replied, over, outcome, status,
    free, again, earlyBy, earlyFor, taskRow, itemRow]) => ({
    number, item, task, sent, arrived, held, replied, over, outcome: OUTCOMES[outcome], status, free, again,
    earlyBy, earlyFor, row: { task: taskRow, item: itemRow }, end: over ?? run.last,
  }));
  run.byNumber = new Map(run.bars.map((bar) => [bar.number, bar]));
  run.happened = run.events.map(([at, kind, item, request, task, place, text], number) => ({
    at, kind: run.kinds[kind], item, request, task, place, text, number,
  }));
  run.pinned = run.pins.map(([at, step, task, kind, text, fifo], number) => ({ at, step, task, kind, text, fifo, number: number + 1 }));
  run.itemNumbers = new Map(run.items.map((name, number) => [name, number]));
  run.taskNumbers = new Map(run.tasks.map((name, number) => [name, number]));
  return run;
}
RUNS.forEach(indexed);

// -- the axis: quiet time is folded, so that an hour of waiting leaves room for what happened -------------

const axis = { folded: false, times: [0], places: [0], length: 1 };

function layAxis(folded) {
  const instants = new Set([0]);
  for (const run of RUNS) {
    instants.add(run.last);
    for (const event of run.happened) instants.add(event.at);
    for (const bar of run.bars) instants.add(bar.sent);
  }
  const times = [...instants].sort((a, b) => a - b);
  const gaps = times.slice(1).map((time, number) => time - times[number]), fold = folded ? folding(gaps) : (gap) => gap;
  const places = [0];
  for (const gap of gaps) places.push(places.at(-1) + fold(gap));
  Object.assign(axis, { folded, times, places, length: Math.max(places.at(-1), 1) });
}
// How long a gap is drawn. The longest tenth of them is folded, and takes half of the axis together at most;
// a longer gap still looks longer than a shorter one.
function folding(gaps) {
  const sorted = [...gaps].sort((a, b) => a - b), cut = Math.max(sorted[Math.floor(sorted.length * 0.9)] ?? 1, 1);
  const size = (gap) => 1 + Math.log(gap / cut) / 2;
  const plain = gaps.filter((gap) => gap <= cut).reduce((sum, gap) => sum + gap, 0);
  const sizes = gaps.filter((gap) => gap > cut).reduce((sum, gap) => sum + size(gap), 0);
  const unit = Math.max(cut, plain / Math.max(sizes, 1));
  return (gap) => (gap > cut ? Math.min(gap, unit * size(gap)) : gap);
}
function between(from, to, value) {
  let low = 0, high = from.length - 1;
  if (value <= from[0] || high === 0) return to[0] + (value - from[0]);
  if (value >= from[high]) return to[high] + (value - from[high]);
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle] <= value) low = middle; else high = middle;
  }
  return to[low] + ((value - from[low]) / (from[high] - from[low])) * (to[high] - to[low]);
}
const placeOf = (time) => between(axis.times, axis.places, time);
const timeAt = (place) => between(axis.places, axis.times, place);

layAxis(true);
// Where folding gains little, the plain axis is easier to read.
const GAIN = 4;
if (axis.times.at(-1) < GAIN * axis.length) layAxis(false);

// -- what is shown ------------------------------------------------------------------------------------

const state = { low: 0, high: axis.length, mode: "task", query: "", selected: null, cursor: null, printing: false };

function show(low, high) {
  const least = axis.length * 1e-7, length = Math.min(Math.max(high - low, least), axis.length * 1.03);
  const room = length * 0.015, start = Math.min(Math.max(low, -room), Math.max(axis.length + room - length, -room));
  state.low = start;
  state.high = start + length;
  redraw();
}
function zoom(factor, middle = (state.low + state.high) / 2) {
  show(middle - (middle - state.low) * factor, middle + (state.high - middle) * factor);
}
function showAll() {
  show(-axis.length * 0.005, axis.length * 1.02);
}
function pan(share) {
  const by = (state.high - state.low) * share;
  show(state.low + by, state.high + by);
}
function bringIntoView(begin, end) {
  const low = placeOf(begin), high = placeOf(end), length = state.high - state.low;
  const size = Math.max(high - low, 0);
  // A request of a few pixels is drawn larger, with what is around it.
  const tiny = size > 0 && size < length / 250;
  if (low >= state.low && high <= state.high && !tiny) return;
  const span = Math.max(Math.min(length, tiny ? Math.max(size * 25, axis.length / 200) : length), size * 1.2);
  show((low + high - span) / 2, (low + high + span) / 2);
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(drawNow);
}
function drawNow() {
  waiting = false;
  for (const chart of charts) chart.draw();
  document.documentElement.dataset.drawn = "true";
}

function select(run, what) {
  state.selected = what && { run, ...what };
  state.cursor = what?.at ?? null;
  for (const chart of charts) if (chart.run === run) chart.bring(what);
  showDetail();
  redraw();
}
function selectRequest(run, number) {
  const bar = run.byNumber.get(number);
  if (bar) select(run, { request: number, item: bar.item, task: bar.task, at: bar.sent, begin: bar.sent, end: bar.end });
}

// -- a text with links into the picture ----------------------------------------------------------------

const LINKED = /\brequest (\d+)\b|number (\d+)\b|'([^'\n]*)'|"([^"\n]*)"|\b(?:at|to|from|since|until) ((?:\d+(?:\.\d+)?(?:h|ms|m|us|ns|s))+)\b/g;

function linked(parent, run, text) {
  let done = 0;
  for (const match of text.matchAll(LINKED)) {
    const action = actionOf(run, match);
    if (!action) continue;
    parent.append(text.slice(done, match.index));
    element("button", { class: "link", type: "button", text: match[0], parent }).onclick = action;
    done = match.index + match[0].length;
  }
  parent.append(text.slice(done));
  return parent;
}
function actionOf(run, [, request, number, single, double, time]) {
  const asked = Number(request ?? number), name = single ?? double;
  if (asked) return run.byNumber.has(asked) ? () => selectRequest(run, asked) : null;
  if (time !== undefined) return () => showInstant(run, instant(time));
  if (run.itemNumbers.has(name)) return () => selectItem(run, run.itemNumbers.get(name));
  if (run.taskNumbers.has(name)) return () => selectTask(run, run.taskNumbers.get(name));
  return null;
}
function showInstant(run, at) {
  select(run, { at, begin: at, end: at });
}
function selectItem(run, item) {
  const own = run.happened.filter((event) => event.item === item);
  if (own.length) select(run, { item, at: own[0].at, begin: own[0].at, end: own.at(-1).at });
}
function selectTask(run, task) {
  const own = run.happened.filter((event) => event.task === task);
  setMode("task");
  select(run, { task, lane: "task", at: own[0]?.at ?? run.last, begin: own[0]?.at ?? run.last, end: own.at(-1)?.at ?? run.last });
}

// -- the page above and below the pictures -------------------------------------------------------------

function heading(run, parent, level) {
  const head = element(level, { text: `${run.title}: `, parent });
  element("span", { class: run.how === "passed" ? "how passed" : "how", text: run.how, parent: head });
  element("p", { class: "facts", text: run.facts.join(" · "), parent });
  for (const line of run.found) element("p", { class: "facts", text: line, parent });
  if (run.replay) repeatLine(run, parent);
}
function sentences(run, parent, from, to) {
  const list = element("ol", { class: "sentences", parent, start: from + 1 });
  for (const [text, at, request] of run.sentences.slice(from, to)) {
    const line = linked(element("li", { parent: list }), run, text);
    if (at === null && request === null) continue;
    line.append(" ");
    element("button", { class: "link", type: "button", text: "show", parent: line }).onclick =
      () => (request !== null && run.byNumber.has(request) ? selectRequest(run, request) : showInstant(run, at));
  }
}
// What is below the pictures: the other sentences, and the verdicts with their evidence.
function findings(run, parent) {
  if (RUNS.length > 1) element("h2", { text: `${run.title}: ${run.how}`, parent });
  sentences(run, parent, run === RUNS[0] ? FIRST : 0, run.sentences.length);
  verdictList(run, parent);
}
function repeatLine(run, parent) {
  const line = element("div", { class: "repeat", parent });
  const code = element("code", { text: run.replay, parent: line });
  const button = element("button", { type: "button", text: "Copy", parent: line, title: "copy the line that repeats this run" });
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(run.replay);
    } catch {
      // A page that was opened from a file may not be allowed to: select the text, and copy that.
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  };
}
function verdictList(run, parent) {
  const failed = run.verdicts.filter(([, passed]) => passed === false);
  const others = run.verdicts.filter(([, passed]) => passed !== false);
  failed.forEach(([name, , summary, evidence], number) => {
    const box = element("details", { parent, ...(number === 0 ? { open: "" } : {}) });
    linked(element("summary", { class: "failed", parent: box }), run, `✕ ${name} failed: ${summary}`);
    if (evidence.length) linked(element("pre", { parent: box }), run, evidence.join("\n"));
  });
  if (!others.length && !run.traced.length) return;
  const box = element("details", { parent });
  const passed = others.filter(([, result]) => result === true).length;
  element("summary", { parent: box, text: `${passed} ${passed === 1 ? "check" : "checks"} passed, ${others.length - passed} not judged` });
  for (const [name, result, summary] of others) {
    linked(element("p", { parent: box }), run, `${result ? "✓" : "–"} ${name} ${result ? "passed" : "not judged"}: ${summary}`);
  }
  if (run.traced.length) linked(element("pre", { parent: box }), run, run.traced.join("\n"));
}

const legendPatches = [
  ["answered", "answered"], ["refused", "refused"], ["spoiled", "went wrong by a fault"], ["left", "left by its client"],
  ["open", "not over"], ["asked", "wait asked for after a refusal"], ["waits", "waited"], ["blocked", "blocked at the end"],
];
function legend(parent) {
  const box = element("div", { class: "legend", parent });
  for (const [kind, text] of legendPatches) {
    const entry = element("span", { parent: box });
    const picture = svg("svg", { width: 24, height: 12, parent: entry, "aria-hidden": "true" });
    svg("rect", { x: 1, y: kind === "asked" ? 5 : 1, width: 22, height: kind === "asked" ? 4 : 10, class: `bar ${kind}`, parent: picture });
    if (PATTERNS[kind]) svg("rect", { x: 1, y: 1, width: 22, height: 10, fill: `url(#${PATTERNS[kind]})`, parent: picture });
    entry.append(text);
  }
  for (const [kind, text] of [["completed", "item completed"], ["failed", "item failed"], ["cancelled", "item cancelled"],
    ["died", "task ended with an error that nothing received"]]) {
    const entry = element("span", { parent: box });
    const picture = svg("svg", { width: 14, height: 14, parent: entry, "aria-hidden": "true" });
    svg("path", { d: `M7,7${SHAPES[kind].shape}`, class: `mark ${kind}`, parent: picture });
    svg("path", { d: `M7,7${SHAPES[kind].sign}`, class: "sign", parent: picture });
    entry.append(text);
  }
  element("span", { parent: box, text: "red edge or arrow: sent before the asked wait was over" });
}

// The hatchings, once for the page.
const PATTERNS = { refused: "hatch-refused", spoiled: "dots" };
function patterns(parent) {
  const holder = svg("svg", { width: 0, height: 0, parent, "aria-hidden": "true" });
  const defs = svg("defs", { parent: holder });
  const hatch = (id, path, stroke, width) => {
    const pattern = svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", parent: defs });
    const line = svg("path", { d: path, fill: "none", "stroke-width": width, parent: pattern });
    line.style.stroke = stroke;
  };
  hatch("hatch-refused", "M-1,7 L7,-1 M-1,1 L1,-1 M5,7 L7,5", "rgb(255 255 255 / 65%)", 1.3);
  hatch("dots", "M1,3 L3,3 M4,6 L6,6 M4,0 L6,0", "rgb(255 255 255 / 85%)", 1.6);
  hatch("hatch-wait", "M0,3 L6,3", "var(--faint)", 1);
  hatch("hatch-bad", "M-1,7 L7,-1 M-1,1 L1,-1 M5,7 L7,5", "var(--bad)", 1);
}

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
    for (const { tasks, text } of this.run.blocked) for (const task of tasks) {
      const own = lane(task);
      own.blocked = { since: own.last ?? 0, text: `blocked when the run was stopped:\n${text}`, label: text.split("\n").find((line) => line.startsWith("waits")) ?? "" };
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
    this.label(top, 0, 24, axis.folded ? "time (quiet time folded)" : "time");
    const row = svg("g", { class: "tick", parent: top });
    for (const time of this.ticks()) {
      const at = this.x(time);
      if (at < GUTTER - 1 || at > this.width - 30) continue;
      svg("line", { x1: at, x2: at, y1: 15, y2: 24, parent: row });
      svg("text", { x: at + 2, y: 12, text: duration(time), parent: row });
    }
    return 24;
  }
  // Round instants: evenly apart on the plain axis, and as round as their place allows on a folded one.
  ticks() {
    const every = 105, many = Math.floor(this.wide / every), found = new Set();
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
    for (const [begin, end, text] of band.spans) {
      const x = Math.max(this.x(begin), GUTTER), until = Math.min(this.x(end), this.width);
      if (until < GUTTER || x > this.width) continue;
      const width = Math.max(until - x, 2);
      svg("rect", { x, y: y + 2, width, height: 12, class: `band-${band.kind}`, parent: this.top });
      this.topSpots.push([x, y, width, 16, () => text, () => select(this.run, { at: begin, begin, end, text })]);
      if (band.kind !== "asked") this.under.push([x, Math.max(until - x, 1), band.kind]);
    }
    return y + 17;
  }
  drawCount({ name, points }, y) {
    const { top } = this, height = 34, most = Math.max(...points.map(([, value]) => value));
    const least = Math.min(0, ...points.map(([, value]) => value));
    const label = this.label(top, y, height, name);
    svg("text", { x: 8, y: y + height - 5, class: "faint", text: `at most ${most}${least < 0 ? `, at least ${least}` : ""}`, parent: top });
    label.setAttribute("y", y + 13);
    const high = (value) => y + height - 4 - ((value - least) / (most - least || 1)) * (height - 8);
    let path = "", before = null;
    const start = Math.min(Math.max(this.x(points[0]?.[0] ?? 0), GUTTER), this.width);
    for (const [at, value] of points) {
      const x = Math.min(Math.max(this.x(at), GUTTER), this.width);
      path += before === null ? `M${x},${high(value)}` : `L${x},${high(before)}L${x},${high(value)}`;
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
    for (const [time, kind] of [[state.cursor, "cursor"], [this.run.last, "end-line"]]) {
      if (time === null || (kind === "cursor" && state.selected?.run !== this.run)) continue;
      const x = this.x(time);
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
    for (const [x, width, kind] of this.under) svg("rect", { x, y: 0, width, height, class: `under band-${kind}`, parent: body });
    this.paths = new Map(LAYERS.map((kind) => [kind, ""]));
    this.labels = [];
    const places = new Map();
    for (const lane of seen) this.drawLane(lane, lane.y - offset, places);
    for (const lane of seen) for (const bar of lane.bars) if (bar.outcome === "refused" && bar.again !== null) this.drawRetry(bar, places, height);
    this.layPaths();
    for (const [x, y, text, kind] of this.labels) svg("text", { x, y, text, class: kind, parent: body });
    this.drawPinLines(body, height);
    for (const lane of seen) this.drawLabel(lane, lane.y - offset);
    this.drawEnd(body, height);
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
    for (const wait of lane.waits) this.drawWait(wait, y);
    if (lane.blocked) this.drawBlocked(lane, y);
    const drawn = new Set();
    for (const bar of lane.bars) {
      const barY = y + PAD + bar.row[state.mode] * ROW;
      places.set(bar.number, barY + 5.5);
      this.drawBar(bar, barY, drawn);
    }
    const latest = new Map();
    for (const mark of lane.marks) this.drawMark(mark, y + PAD + 5.5, latest);
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
  drawWait(wait, y) {
    const drawn = this.drawStretch(wait.since, wait.until, y + PAD, 11, "waits", wait.text);
    const fits = drawn ? Math.floor((drawn.width - 14) / 6) : 0;
    if (fits > 8) this.labels.push([drawn.x + 9, y + PAD + 9, cut(wait.text, fits), "over"]);
  }
  drawBlocked(lane, y) {
    const { since, text, label } = lane.blocked;
    const drawn = this.drawStretch(since, this.run.last, y + PAD - 1, lane.rows * ROW - 2, "blocked", text);
    const fits = drawn ? Math.floor((drawn.width - 14) / 6) : 0;
    if (fits > 8) this.labels.push([drawn.x + 9, y + PAD + 10, cut(label, fits), "over"]);
  }
  drawBar(bar, y, drawn) {
    const { run } = this, x = this.x(bar.sent), end = this.x(bar.end);
    if (bar.free !== null && bar.over !== null && bar.free > bar.over) {
      this.drawStretch(bar.over, bar.free, y + 4, 3, "asked", `request ${bar.number} was refused, and the wait it asked for ends at ${duration(bar.free)}`);
    }
    if (end < GUTTER || x > this.width) return;
    const left = Math.max(x, GUTTER), width = Math.max(Math.min(end, this.width) - left, 2.5);
    this.spots.push([left - 1, y - 1, width + 2, 13, () => this.barText(bar), () => selectRequest(run, bar.number)]);
    if (state.selected?.run === run && state.selected.request === bar.number) this.add("selected", box(left - 3, y - 3, width + 6, 17));
    const hit = this.hits(bar), kind = hit ? bar.outcome : "dimmed";
    // What falls on the same pixel of the same row is drawn once.
    const key = `${y} ${kind} ${bar.earlyBy > 0} ${Math.round(left)}`;
    if (width <= 2.5 && drawn.has(key)) return;
    drawn.add(key);
    this.add(kind, box(left, y, width, 11));
    if (bar.earlyBy && x >= GUTTER) this.add("early", box(left - 2, y - 2, 3, 15));
    if (width > 3 && hit) this.drawInside(bar, y, left, width);
    const text = state.mode === "task" ? run.items[bar.item] : `#${bar.number}${bar.status ? ` ${bar.status}` : ""}`;
    const fits = Math.floor((width - 14) / 6);
    if (fits >= Math.min(text.length, 5)) this.labels.push([left + 4, y + 9, cut(text, fits), "on"]);
  }
  // Lighter: waits in the client's own pool, is held by a barrier, is on its way back.
  drawInside(bar, y, left, width) {
    const parts = [[bar.sent, bar.arrived], [bar.held, bar.replied ?? bar.end], [bar.replied, bar.end]];
    for (const [begin, until] of parts) {
      if (begin === null || until === null || until <= begin) continue;
      const x = Math.max(this.x(begin), left), end = Math.min(this.x(until), left + width);
      if (end - x > 1) this.add("inside", box(x, y, end - x, 11));
    }
  }
  drawRetry(bar, places, height) {
    const next = this.run.byNumber.get(bar.again);
    if (!next || bar.over === null) return;
    const x = this.x(bar.over), end = this.x(next.sent), y = places.get(bar.number);
    if (Math.max(x, end) < GUTTER || Math.min(x, end) > this.width) return;
    // The other one may be in a lane that is not drawn: the arrow then leaves the picture.
    const to = places.get(next.number) ?? (this.laneY.get(next[state.mode]) > this.offset ? height + 20 : -20);
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
    if (x - (latest.get(event.kind) ?? -Infinity) < 7) return;
    latest.set(event.kind, x);
    if (!(event.kind in SHAPES)) { this.add("small", box(x - 1, y + 5, 2, 5)); return; }
    const { shape, sign } = SHAPES[event.kind], at = `M${px(x)},${px(y)}`;
    this.add(`mark ${event.kind}`, at + shape);
    this.add("sign", at + sign);
  }
  drawPinLines(parent, height) {
    for (const pin of this.run.pinned) {
      const x = this.x(pin.at);
      if (x >= GUTTER && x <= this.width) svg("line", { x1: x, x2: x, y1: 0, y2: height, class: "pin-line", parent });
    }
  }

  eventText(event) {
    const { run } = this, item = event.item === null ? "" : `${run.items[event.item]}: `;
    return `${duration(event.at)}: ${item}${event.text}${byWhom(run, event)}`;
  }
  barText(bar) {
    const { run } = this, own = run.happened.filter((event) => event.request === bar.number);
    const lines = [`request ${bar.number} for ${run.items[bar.item]} by ${run.tasks[bar.task]}: ${OUTCOME_WORDS[bar.outcome]}`,
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

const MARKED = new Set(["submitted", "completed", "failed", "cancelled", "traced", "violated"]);

// The mark of an outcome and the sign in it, as paths from its middle.
const SHAPES = {
  completed: { shape: "m-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z", sign: "m-3,0l2,2.5l4,-5" },
  failed: { shape: "m-5.5,-5.5h11v11h-11z", sign: "m-3,-3l6,6m0,-6l-6,6" },
  died: { shape: "m0,-7l7,12.5h-14z", sign: "m0,-2.5v4m0,1.5v1.5" },
  cancelled: { shape: "m0,-6.5l6.5,6.5l-6.5,6.5l-6.5,-6.5z", sign: "m-3,0l6,0" },
};
// Kinds of shapes in a lane, from the lowest to the uppermost.
const LAYERS = ["waits", "blocked", "asked", "retry", "retry too-early", "dimmed", ...OUTCOMES, "inside", "early", "head",
  "head too-early", "small", "mark completed", "mark failed", "mark cancelled", "mark died", "sign", "selected"];
const px = (number) => Math.round(number * 10) / 10;
const box = (x, y, width, height) => `M${px(x)},${px(y)}h${px(width)}v${px(height)}h${px(-width)}z`;

function cut(text, length) {
  return text.length <= length ? text : `${text.slice(0, Math.max(length - 1, 1))}…`;
}
// The next larger of 1, 2, 5, 10, … of a unit, or of 1, 2, 5, 10, 30 minutes and so on.
function niceStep(step) {
  for (const unit of [60e9, 3600e9]) for (const count of [1, 2, 5, 10, 30]) if (step > 20e9 && step <= count * unit) return count * unit;
  const size = 10 ** Math.floor(Math.log10(Math.max(step, 1)));
  return [1, 2, 5, 10].map((factor) => factor * size).find((each) => each >= step * 0.999);
}
function pinText(pin) {
  const instead = pin.fifo === null ? "" : `\nFIFO order would have run ${pin.fifo}`;
  return `${pin.number}. at step ${pin.step}, ${duration(pin.at)}: ${pin.text}${instead}`;
}
function byWhom(run, event) {
  const who = event.task === null ? "" : ` by ${run.tasks[event.task]}`;
  return `${who}${event.place === null ? "" : ` at ${run.places[event.place]}`}`;
}
function requestTimes(run, bar) {
  const lines = [`sent ${duration(bar.sent)}, arrived ${duration(bar.arrived)}` +
    (bar.replied === null ? ", no reply" : `, replied ${duration(bar.replied)}`) +
    (bar.over === null ? ", never over" : `, over ${duration(bar.over)} (took ${duration(bar.over - bar.sent)})`)];
  const next = run.byNumber.get(bar.again);
  if (bar.free !== null) {
    lines.push(`asked to wait until ${duration(bar.free)}` +
      (next ? `; sent again at ${duration(next.sent)} as request ${next.number}` : "; not sent again"));
  } else if (bar.outcome === "refused" && next) lines.push(`sent again at ${duration(next.sent)} as request ${next.number}`);
  if (bar.earlyBy) lines.push(`sent ${duration(bar.earlyBy)} too early: the refusal of request ${bar.earlyFor} asked to wait longer`);
  return lines;
}

// -- hover and detail -----------------------------------------------------------------------------------

const tipBox = element("div", { class: "tip", hidden: "", role: "status" });
function showTip(event, text) {
  tipBox.textContent = text;
  tipBox.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tipBox;
  tipBox.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 8))}px`;
  tipBox.style.top = `${event.clientY + 16 + height > innerHeight ? Math.max(4, event.clientY - height - 10) : event.clientY + 16}px`;
}
function hideTip() {
  tipBox.hidden = true;
}

function showDetail() {
  const chosen = state.selected;
  detail.replaceChildren();
  detail.hidden = !chosen;
  if (!chosen) return;
  const { run } = chosen, bar = run.byNumber.get(chosen.request);
  element("button", { class: "close", type: "button", text: "Close (Esc)", parent: detail }).onclick = () => select(run, null);
  element("h3", { text: detailTitle(chosen, bar), parent: detail });
  if (chosen.pin) element("p", { text: pinText(chosen.pin), parent: detail });
  if (typeof chosen.text === "string" && !bar) element("p", { text: chosen.text, parent: detail });
  if (bar) for (const line of requestTimes(run, bar)) linked(element("p", { parent: detail }), run, line);
  const own = run.happened.filter((event) => belongs(event, chosen));
  eventList(run, own, detail, (event) => bar && event.request === bar.number);
}
function detailTitle({ run, item, task, lane, at }, bar) {
  if (bar) return `Request ${bar.number} for ${run.items[bar.item]} by ${run.tasks[bar.task]}: ${OUTCOME_WORDS[bar.outcome]}`;
  if (lane === "task") return `Task ${run.tasks[task]}`;
  return item === undefined || item === null ? `At ${duration(at)}` : `Item ${run.items[item]}`;
}
// The events of the item, of the task, or those nearest to the instant.
function belongs(event, { run, item, task, lane, at }) {
  if (lane === "task") return event.task === task;
  if (item !== undefined && item !== null) return event.item === item;
  const near = run.happened.findIndex((each) => each.at >= at);
  return Math.abs(event.number - (near < 0 ? run.happened.length : near)) <= 6;
}
function eventList(run, events, parent, stressed = () => false) {
  const list = element("ul", { class: "events mono", parent });
  for (const event of events.slice(0, LISTED)) {
    const line = element("li", { parent: list, class: stressed(event) ? "of-it" : "" });
    element("button", { class: "link", type: "button", text: duration(event.at), parent: line }).onclick = () =>
      (event.request !== null && run.byNumber.has(event.request) ? selectRequest(run, event.request) : select(run, { ...event, begin: event.at, end: event.at }));
    line.append(` ${event.item === null ? "" : `${run.items[event.item]}: `}${event.text}`);
    element("span", { class: "who", text: byWhom(run, event), parent: line });
  }
  if (events.length > LISTED) element("p", { class: "note", text: `and ${events.length - LISTED} more: search for an item or a task`, parent });
}

// -- the tools -------------------------------------------------------------------------------------------

function setMode(mode) {
  state.mode = mode;
  for (const [name, button] of Object.entries(modeButtons)) button.setAttribute("aria-pressed", String(name === mode));
  relay();
}
function relay() {
  for (const chart of charts) chart.layLanes();
  redraw();
}
function setFolded(folded) {
  const low = timeAt(state.low), high = timeAt(state.high);
  layAxis(folded);
  foldButton.setAttribute("aria-pressed", String(folded));
  show(placeOf(low), placeOf(high));
}
function setTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
}
function search(text) {
  state.query = text.trim().toLowerCase();
  relay();
  if (eventBox.open) fillEvents();
}
// The next or the previous request of the run, in the order in which they were sent.
function step(by) {
  const run = state.selected?.run ?? RUNS[0], sorted = [...run.bars].sort((a, b) => a.sent - b.sent || a.number - b.number);
  const now = sorted.findIndex((bar) => bar.number === state.selected?.request);
  const next = sorted[now < 0 ? (by > 0 ? 0 : sorted.length - 1) : now + by];
  if (next) selectRequest(run, next.number);
}

const KEYS = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": showAll,
  ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), n: () => step(1), p: () => step(-1),
  t: () => setMode("task"), i: () => setMode("item"), f: () => setFolded(!axis.folded), d: setTheme,
  "/": () => searchBox.focus(), Escape: () => { if (state.selected) select(state.selected.run, null); },
};
const KEYS_TEXT = "keys: + − zoom · ← → move · 0 all · n p next, previous request · t tasks · i items · f fold · d dark or light · / search · Esc close; drag over the axis to zoom, over the lanes to move";

addEventListener("keydown", (event) => {
  const typing = event.target === searchBox;
  if (typing && event.key === "Escape") { searchBox.value = ""; search(""); searchBox.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

patterns(document.body);
const header = element("header", { parent: document.body });
heading(RUNS[0], header, "h1");
sentences(RUNS[0], header, 0, FIRST);

const tools = element("div", { class: "tools", parent: document.body });
function button(text, parent, action, title) {
  const made = element("button", { type: "button", text, parent, title });
  made.onclick = action;
  return made;
}
const lanesGroup = element("div", { class: "group", parent: tools, role: "group", "aria-label": "a lane for each" });
const modeButtons = {
  task: button("Tasks", lanesGroup, () => setMode("task"), "a lane for each task (t)"),
  item: button("Items", lanesGroup, () => setMode("item"), "a lane for each item (i)"),
};
const searchBox = element("input", { type: "search", placeholder: "search item or task", "aria-label": "search an item or a task", parent: tools });
searchBox.oninput = () => search(searchBox.value);
const zoomGroup = element("div", { class: "group", parent: tools });
button("−", zoomGroup, () => zoom(1 / 0.6), "zoom out (-)");
button("+", zoomGroup, () => zoom(0.6), "zoom in (+)");
button("All", zoomGroup, showAll, "the whole run (0)");
const foldButton = button("Fold quiet time", tools, () => setFolded(!axis.folded), "draw long stretches without an event shorter (f)");
foldButton.setAttribute("aria-pressed", String(axis.folded));
button("Dark / light", tools, setTheme, "change the theme (d)");
const help = button("Keys", tools, () => { keys.hidden = !keys.hidden; help.setAttribute("aria-pressed", String(!keys.hidden)); }, "show the keys");
legend(document.body);
const keys = element("p", { class: "note", text: KEYS_TEXT, parent: document.body, hidden: "" });

const charts = RUNS.map((run, number) => {
  const section = element("section", { class: RUNS.length > 1 ? "run one-of-several" : "run", parent: document.body });
  if (number) heading(run, section, "h2");
  return new Chart(run, section);
});
const detail = element("section", { class: "detail", parent: document.body, hidden: "", "aria-label": "what is selected", "aria-live": "polite" });
RUNS.forEach((run) => findings(run, element("section", { class: "findings", parent: document.body })));

const eventBox = element("details", { parent: document.body });
element("summary", { text: `All events (${RUNS.map((run) => run.events.length).join(" and ")})`, parent: eventBox });
const eventHolder = element("div", { parent: eventBox });
function fillEvents() {
  eventHolder.replaceChildren();
  for (const run of RUNS) {
    if (RUNS.length > 1) element("h3", { text: run.title, parent: eventHolder });
    const own = run.happened.filter((event) => !state.query ||
      [run.items[event.item], run.tasks[event.task]].some((text) => text?.toLowerCase().includes(state.query)));
    eventList(run, own, eventHolder);
  }
}
eventBox.addEventListener("toggle", () => { if (eventBox.open) fillEvents(); });
document.body.append(tipBox);

function printing(begins) {
  state.printing = begins;
  waiting = false;
  drawNow();
}
addEventListener("beforeprint", () => printing(true));
addEventListener("afterprint", () => printing(false));
new ResizeObserver(redraw).observe(document.body);

// A run without tasks, such as one that a server has seen, is read by its items.
const known = (run) => new Set(run.bars.map((bar) => bar.task)).size > 1 || run.blocked.length || run.waits.length;
setMode(RUNS.some(known) || RUNS.every((run) => run.items.length < 2) ? "task" : "item");
showAll();
