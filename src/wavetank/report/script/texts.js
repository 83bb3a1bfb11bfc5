// -- a text with links into the picture ----------------------------------------------------------------

const LINKED = /\brequest (\d+)\b|number (\d+)\b|'([^'\n]*)'|"([^"\n]*)"|\b(?:at|to|from|since|until) ((?:\d+(?:\.\d+)?(?:h|ms|m|us|ns|s))+)\b|(?<![\w.])((?:\d+(?:\.\d+)?(?:h|ms|m|us|ns|s))+)\b/g;

function linked(parent, run, text) {
  let done = 0;
  for (const match of text.matchAll(LINKED)) {
    const action = actionOf(run, match), time = match[5] ?? match[6];
    // A time of many digits is read more easily when it is rounded; the pointer has all of them.
    const short = time === undefined ? null : duration(instant(time));
    if (!action && (short === null || short.length >= time.length)) continue;
    parent.append(text.slice(done, match.index));
    const shown = short !== null && short.length < time.length ? match[0].replace(time, short) : match[0];
    const made = element(action ? "button" : "span", { ...(action ? { class: "link", type: "button" } : {}), text: shown, parent });
    if (shown !== match[0]) made.title = time;
    if (action) made.onclick = action;
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
  const before = run.sentences.slice(0, from).filter(([, , , beside]) => !beside);
  const list = element("ol", { class: "sentences", parent, start: before.length + 1 });
  for (const [text, at, request, beside] of run.sentences.slice(from, to)) {
    const line = linked(element("li", { class: beside ? "beside" : "", parent: list }), run, text);
    if (at === null && request === null) continue;
    line.append(" ");
    element("button", { class: "link", type: "button", text: "show", parent: line }).onclick =
      () => (request !== null && run.byNumber.has(request) ? selectRequest(run, request, at) : showInstant(run, at));
  }
}
// What is below the pictures: the other sentences, and the verdicts with their evidence.
function findings(run, parent) {
  if (RUNS.length > 1) element("h2", { text: `${run.title}: ${run.how}`, parent });
  sentences(run, parent, run === RUNS[0] ? FIRST : 0, run.sentences.length);
  if (run.interleaving.length) linked(element("pre", { parent }), run, run.interleaving.join("\n"));
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

// Each entry with whether a run of the page has such a thing: what is not in the picture needs no explanation.
const someRun = (test) => RUNS.some(test), someBar = (test) => someRun((run) => run.bars.some((bar) => test(bar, run)));
const ended = (kind) => () => someRun((run) => run.happened.some((event) => event.kind === kind));
const legendPatches = [
  ["answered", "answered", () => someBar((bar, run) => bar.outcome === "answered" || run.unread(bar))],
  ["refused", "refused", () => someBar((bar) => bar.outcome === "refused")],
  ["spoiled", "went wrong by a fault", () => someBar((bar) => bar.outcome === "spoiled")],
  ["left", "left by its client", () => someBar((bar) => bar.outcome === "left")],
  ["open", "no reply, or none that was read to its end or closed", () => someBar((bar) => bar.outcome === "open")],
  ["streams", "streaming", () => someBar((bar) => bar.first !== null)],
  ["asked", "wait asked for after a refusal", () => someBar((bar) => bar.free !== null)],
  ["waits", "waited", () => someRun((run) => run.waits.length)],
  ["blocked", "blocked at the end", () => someRun((run) => run.blocked.length)],
];
const legendMarks = [
  ["completed", "item completed", ended("completed")], ["failed", "item failed", ended("failed")],
  ["cancelled", "item cancelled", ended("cancelled")],
  ["condemned", "item completed, but a failed check names it", () => someRun((run) => run.happened.some((event) => event.kind === "completed" && run.accusedItems.has(event.item)))],
  ["died", "task ended with an error that nothing received", () => someRun((run) => run.died.length)],
];
const raised = (how) => how.startsWith("raised");
const legendLines = [
  ["ended", "task ended", () => someRun((run) => run.ends.some(([, , how]) => !raised(how)))],
  ["ended raised", "task raised an error", () => someRun((run) => run.ends.some(([, , how]) => raised(how)))],
  ["early", "sent before the asked wait was over", () => someBar((bar) => bar.earlyBy)],
  ["decisive", "where it went wrong", () => someRun((run) => run.decisive !== null)],
  ["pin-line", "order differs from FIFO", () => someRun((run) => run.pins.length)],
  ["end-line", "the end of a run that failed", () => someRun((run) => run.how !== "passed")],
  ["end-line passed", "the end of a run that passed", () => someRun((run) => run.how === "passed")],
];
function legend(parent) {
  const box = element("div", { class: "legend", parent });
  const entry = (text, width) => {
    const made = element("span", { parent: box }), picture = svg("svg", { width, height: 14, parent: made, "aria-hidden": "true" });
    made.append(text);
    return picture;
  };
  for (const [kind, text, used] of legendPatches) {
    if (!used()) continue;
    const picture = entry(text, 24), thin = kind === "asked";
    svg("rect", { x: 1, y: thin ? 6 : 2, width: 22, height: thin ? 4 : 10, class: `bar ${kind === "streams" ? "answered" : kind}`, parent: picture });
    if (kind === "streams") svg("rect", { x: 1, y: 9, width: 22, height: 3, class: "streaming", parent: picture });
    if (PATTERNS[kind]) svg("rect", { x: 1, y: 2, width: 22, height: 10, fill: `url(#${PATTERNS[kind]})`, parent: picture });
  }
  for (const [kind, text, used] of legendMarks) {
    if (!used()) continue;
    const ring = kind === "condemned", { shape, sign } = SHAPES[ring ? "completed" : kind], picture = entry(text, 20);
    svg("path", { d: `M10,7${shape}`, class: `mark ${ring ? "completed" : kind}`, parent: picture });
    svg("path", { d: `M10,7${sign}`, class: "sign", parent: picture });
    if (ring) svg("path", { d: `M10,7${RING}`, class: "condemned", parent: picture });
  }
  for (const [kind, text, used] of legendLines) {
    if (!used()) continue;
    const picture = entry(text, 8), block = kind === "early" || kind.startsWith("ended"), wide = { ended: 2, early: 3 }[kind] ?? 4;
    if (block) svg("rect", { x: 2, y: 1, width: wide, height: 12, class: kind, parent: picture });
    else svg("line", { x1: 4, x2: 4, y1: 0, y2: 14, class: kind, parent: picture });
  }
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
