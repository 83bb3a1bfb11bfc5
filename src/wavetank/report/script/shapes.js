const MARKED = new Set(["submitted", "completed", "failed", "cancelled", "traced", "violated"]);

// The mark of an outcome and the sign in it, as paths from its middle.
const SHAPES = {
  completed: { shape: "m-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0z", sign: "m-3,0l2,2.5l4,-5" },
  failed: { shape: "m-5.5,-5.5h11v11h-11z", sign: "m-3,-3l6,6m0,-6l-6,6" },
  died: { shape: "m0,-7l7,12.5h-14z", sign: "m0,-2.5v4m0,1.5v1.5" },
  cancelled: { shape: "m0,-6.5l6.5,6.5l-6.5,6.5l-6.5,-6.5z", sign: "m-3,0l6,0" },
};
// Kinds of shapes in a lane, from the lowest to the uppermost.
const LAYERS = ["waits", "blocked", "asked", "retry", "retry too-early", "dimmed", ...OUTCOMES, "inside", "streaming", "early", "head",
  "head too-early", "small", "ended", "ended raised", "mark completed", "mark failed", "mark cancelled", "mark died", "sign", "condemned", "selected"];
const RING = "m-8,0a8,8 0 1,0 16,0a8,8 0 1,0 -16,0z";
// The pixels between two arrows that go from one row to the same other one: about twice the width of a head.
const ARROWS = 14;
// The width of a request that took no time: a mark at the same instant covers six pixels of it.
const POINT = 10;
// From so many requests of one item on their number stands beside the last one: fewer are counted at a glance.
const MANY_TRIES = 6;
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
function outcomeWords(run, bar) {
  return bar.outcome === "open" && run.unread(bar) ? "answered, but neither read to its end nor closed" : OUTCOME_WORDS[bar.outcome];
}
function requestTimes(run, bar) {
  const lines = [`sent ${duration(bar.sent)}, arrived ${duration(bar.arrived)}` +
    (bar.first === null ? "" : `, first part sent ${duration(bar.first)}`) +
    (bar.replied === null ? ", no reply" : `, replied ${duration(bar.replied)}`) +
    (bar.over === null ? (run.unread(bar) ? ", neither read to its end nor closed" : ", never over") : `, over ${duration(bar.over)} (took ${duration(bar.over - bar.sent)})`)];
  const next = run.byNumber.get(bar.again);
  if (bar.free !== null) {
    lines.push(`asked to wait until ${duration(bar.free)}` +
      (next ? `; sent again at ${duration(next.sent)} as request ${next.number}` : "; not sent again"));
  } else if (bar.outcome === "refused" && next) lines.push(`sent again at ${duration(next.sent)} as request ${next.number}`);
  if (bar.earlyBy) lines.push(`sent ${duration(bar.earlyBy)} too early: the refusal of request ${bar.earlyFor} asked to wait longer`);
  return lines;
}
