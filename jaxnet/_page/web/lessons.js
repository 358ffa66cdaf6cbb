// The part of the page where the network learns: play, one step, what it has cost so far.

import { BLUE, LIT, sharp } from "./canvas.js";
import { anyDigit } from "./digits.js";
import { given } from "./embedded.js";
import { number } from "./grids.js";
import { COSTS, OPTIMIZERS, gradient, trainer } from "./learning.js";
import { copied, largest, sizes, total } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./digits.js").Example} Example */
/** @typedef {import("./learning.js").Sums} Sums */
/** @typedef {{ seen: number, cost: number, accuracy: number }} Mark */

const BUDGET = 8; // milliseconds of a frame
const LITTLE = 3; // of a frame in which the reader draws
const RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];
const BATCHES = [1, 10, 30, 100, 1000];
const DECAYS = [0, 0.0001, 0.001, 0.01];
const POINTS = 240; // of the curve

/** Curve of the cost and accuracy so far; neighbors are merged when there are too many. */
function curveOf() {
  /** @type {Mark[]} */
  let marks = [];
  let every = 1; // batches for each mark
  /** @type {Mark[]} */
  let gathered = [];
  /** @param {Mark[]} some  @returns {Mark} */
  const mean = (some) => ({
    seen: some[some.length - 1].seen,
    cost: total(some.map(({ cost }) => cost)) / some.length,
    accuracy: total(some.map(({ accuracy }) => accuracy)) / some.length,
  });
  return {
    /** @param {Mark} mark */
    add(mark) {
      gathered.push(mark);
      if (gathered.length < every) return;
      marks.push(mean(gathered));
      gathered = [];
      if (marks.length < POINTS) return;
      marks = Array.from({ length: POINTS / 2 }, (_, k) => mean(marks.slice(2 * k, 2 * k + 2)));
      every *= 2;
    },
    clear() {
      [marks, gathered, every] = [[], [], 1];
    },
    get marks() {
      return marks;
    },
  };
}

/** @param {HTMLCanvasElement} canvas  @param {Mark[]} marks */
function drawCurve(canvas, marks) {
  const { context, width, height } = sharp(canvas);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = context.strokeStyle = "#8b93a3";
  const [left, top, bottom] = [34, 10, height - 18];
  context.strokeRect(left, top, width - left - 34, bottom - top);
  const most =
    largest(
      marks.map(({ cost }) => cost),
      0,
    ) || 1;
  const end = marks.length ? marks[marks.length - 1].seen : 0;
  context.textAlign = "right";
  context.fillText(number(most), left - 4, top + 8);
  context.fillText("0", left - 4, bottom);
  context.fillText(`${end.toLocaleString("en")} examples`, width - 34, height - 4);
  context.textAlign = "left";
  context.fillText("100 %", width - 31, top + 8);
  context.fillText("0", width - 30, bottom);
  /** @param {string} color  @param {(mark: Mark) => number} share  @param {number[]} dash */
  const line = (color, share, dash) => {
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    for (const mark of marks) {
      const x = left + ((width - left - 34) * mark.seen) / end;
      context.lineTo(x, bottom - (bottom - top) * share(mark));
    }
    context.stroke();
  };
  if (!marks.length) {
    context.textAlign = "center";
    context.fillText("Nothing learned yet: press Learn.", width / 2, (top + bottom) / 2);
  }
  line(LIT, ({ cost }) => cost / most, []);
  line(BLUE, ({ accuracy }) => accuracy, [5, 3]);
}

/** The part of the page; `page.begin(net)` is told of a network that is about to learn, and
 *  `page.learned(net, push)` what it has become, with the gradients of a single step.
 *  @param {(id: string) => any} byId
 *  @param {{ now: () => Network, begin: (net: Network) => void, learned: (net: Network, push: Sums | null) => void, busy: () => boolean, say: (sentence: string) => void, report: (sentence: string) => void }} page */
export function lessons(byId, page) {
  for (const name of Object.keys(OPTIMIZERS)) byId("optimizer").append(new Option(name, name));
  for (const name of Object.keys(COSTS)) byId("cost").append(new Option(name, name));
  for (const rate of RATES) byId("rate").append(new Option(String(rate)));
  for (const batch of BATCHES)
    byId("batch").append(new Option(batch.toLocaleString("en"), String(batch)));
  for (const decay of DECAYS) byId("decay").append(new Option(String(decay)));
  const settings = () => ({
    optimizer: byId("optimizer").value,
    cost: byId("cost").value,
    rate: Number(byId("rate").value),
    batch: Number(byId("batch").value),
    decay: Number(byId("decay").value),
  });
  const setRate = () => (byId("rate").value = OPTIMIZERS[byId("optimizer").value].rate);
  byId("optimizer").addEventListener("change", setRate);
  byId("cost").addEventListener("change", () => curve.clear());
  byId("optimizer").value = "gradient descent";
  byId("cost").value = "squared error";
  byId("batch").value = "10";
  setRate();

  const curve = curveOf();
  let [playing, seen, shown, fitting] = [false, 0, 0, ""];
  /** @type {ReturnType<typeof trainer> | null} */
  let teacher = null;

  /** The trainer of the network's sizes; another one forgets what it had learned about steps.
   *  @param {Network} net */
  function teacherOf(net) {
    if (!teacher || fitting !== String(sizes(net))) {
      [teacher, fitting] = [trainer(net), String(sizes(net))];
    }
    return teacher;
  }
  /** @param {Network} net
   *  @param {Example} example
   *  @param {import("./learning.js").Settings} how */
  function learn(net, example, how) {
    const found = teacherOf(net).learn(net, example, how);
    seen += 1;
    if (!found) return;
    if (Number.isFinite(found.cost)) return curve.add({ seen, ...found });
    play(false);
    page.report("The cost has gone beyond all numbers. Undo, and try a smaller learning rate.");
  }
  function show() {
    const { marks } = curve;
    const last = marks[marks.length - 1];
    byId("seen").textContent = seen.toLocaleString("en");
    byId("paid").textContent = last ? number(last.cost, 3) : "–";
    drawCurve(byId("curve"), marks);
  }

  /** @param {number} time */
  function tick(time) {
    if (!playing) return;
    const [net, how] = [{ ...page.now() }, settings()];
    const until = performance.now() + (page.busy() ? LITTLE : BUDGET);
    do learn(net, anyDigit(given.strokes, Math.random), how);
    while (playing && performance.now() < until);
    page.learned(net, null);
    if (time - shown > 250) {
      shown = time;
      show();
    }
    requestAnimationFrame(tick);
  }
  /** @param {boolean} on */
  function play(on) {
    if (playing === on) return;
    playing = on;
    byId("play").textContent = on ? "❚❚ Pause" : "▶ Learn";
    byId("play").ariaPressed = String(on);
    if (on) {
      page.begin(copied(page.now()));
      page.say("It is learning from drawn digits.");
      requestAnimationFrame(tick);
    } else {
      show();
      page.learned(page.now(), null);
    }
  }
  /** One step from these examples. @param {Example[]} examples */
  function step(examples) {
    play(false);
    const net = copied(page.now());
    page.begin(net);
    const how = { ...settings(), batch: examples.length };
    const { gradient: push } = gradient(net, examples, how.cost);
    teacherOf(net).drop();
    for (const example of examples) learn(net, example, how);
    page.learned(net, push);
    show();
  }
  byId("play").addEventListener("click", () => play(!playing));
  byId("step").addEventListener("click", () => {
    const n = settings().batch;
    step(Array.from({ length: n }, () => anyDigit(given.strokes, Math.random)));
    page.say(`One step, from ${n} drawn ${n === 1 ? "digit" : "digits"}.`);
  });
  new ResizeObserver(show).observe(byId("curve"));

  return {
    pause: () => play(false),
    step,
    /** Begins to count anew, with a network that has learned nothing here. */
    anew() {
      play(false);
      [teacher, seen] = [null, 0];
      curve.clear();
      show();
    },
    get playing() {
      return playing;
    },
  };
}
