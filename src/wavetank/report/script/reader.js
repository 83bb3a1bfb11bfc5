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
  if (bar) return `Request ${bar.number} for ${run.items[bar.item]} by ${run.tasks[bar.task]}: ${outcomeWords(run, bar)}`;
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
