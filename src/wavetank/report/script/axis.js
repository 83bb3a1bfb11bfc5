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
  const least = axis.length * 1e-7, length = Math.min(Math.max(high - low, least), axis.length * 1.09);
  const room = length * 0.06, start = Math.min(Math.max(low, -room), Math.max(axis.length + room - length, -room));
  state.low = start;
  state.high = start + length;
  redraw();
}
function zoom(factor, middle = (state.low + state.high) / 2) {
  show(middle - (middle - state.low) * factor, middle + (state.high - middle) * factor);
}
function showAll() {
  show(-axis.length * 0.01, axis.length * 1.06); // room for what happens at the last instant
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
function selectRequest(run, number, at) {
  const bar = run.byNumber.get(number), instant = at ?? bar?.sent;
  if (bar) select(run, { request: number, item: bar.item, task: bar.task, at: instant, begin: Math.min(bar.sent, instant), end: Math.max(bar.end, instant) });
}
