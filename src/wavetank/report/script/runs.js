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
    free, again, earlyBy, earlyFor, taskRow, itemRow, first]) => ({
    number, item, task, sent, arrived, held, first, replied, over, outcome: OUTCOMES[outcome], status, free, again,
    earlyBy, earlyFor, row: { task: taskRow, item: itemRow }, end: over ?? run.last,
  }));
  run.byNumber = new Map(run.bars.map((bar) => [bar.number, bar]));
  const tries = new Map();
  for (const bar of run.bars) tries.set(bar.item, bar.attempt = (tries.get(bar.item) ?? 0) + 1);
  run.unread = (bar) => run.ended && bar.replied !== null && bar.over === null;
  run.accusedItems = new Set(run.accused);
  run.happened = run.events.map(([at, kind, item, request, task, place, text], number) => ({
    at, kind: run.kinds[kind], item, request, task, place, text, number,
  }));
  run.pinned = run.pins.map(([at, step, task, kind, text, fifo], number) => ({ at, step, task, kind, text, fifo, number: number + 1 }));
  run.itemNumbers = new Map(run.items.map((name, number) => [name, number]));
  run.taskNumbers = new Map(run.tasks.map((name, number) => [name, number]));
  return run;
}
RUNS.forEach(indexed);
