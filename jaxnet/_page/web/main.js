// The page: what the reader has done, and everything that shows it.

import { answers } from "./answer.js";
import { card } from "./card.js";
import { offer } from "./console.js";
import { diagram } from "./diagram.js";
import { dials, setOff } from "./dials.js";
import { BLANK, begun, isBlank, over, toImage } from "./drawing.js";
import { PER_DIGIT, beginning, digits, given, networks, sample } from "./embedded.js";
import { gray, number } from "./grids.js";
import { history } from "./history.js";
import { keepers } from "./keep.js";
import { later } from "./later.js";
import { lessons } from "./lessons.js";
import { fromFragment } from "./links.js";
import { looks, wantsContrast } from "./looks.js";
import { answered, count, hasNeuron, outputs, run, sameSizes } from "./network.js";
import { inspector } from "./neuron.js";
import { liftPen, pen } from "./pen.js";
import { tour } from "./scenes.js";
import { shelve, unshelve } from "./shelf.js";
import { lossesOf, marker, readings, rightOnes, wall } from "./wall.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */
/** @typedef {import("./network.js").Run} Run */
/** @typedef {import("./digits.js").Example} Example */
/** @typedef {import("./links.js").State} State */
/** @typedef {import("./learning.js").Sums} Sums */

const A_LAYER = 1600; // milliseconds of a pulse
const LARGE = 200_000; // dials of a network whose past is not kept as long
/** @param {string} id  @returns {any} */
const byId = (id) => document.getElementById(id);
const motionless = matchMedia("(prefers-reduced-motion: reduce)");
const sticky = matchMedia("(min-width: 62rem) and (min-height: 36rem)");

const { trained } = networks;
const past = history({ ...beginning, safe: wantsContrast() }, ({ net }) =>
  count(net) > LARGE ? 12 : 100,
);
const now = () => past.now;
let image = toImage(now().drawing, true);
/** @type {Run} */
let layers = run(now().net, image);
/** @type {{ net: Network, runs: Run[] } | null} */
let marked = null; // the digits of the wall, by that network
/** @type {Map<string, number>} */
let losses = new Map();
/** @type {Sums | null} */
let push = null; // the gradients of the last single step
let slowly = 0; // when the pulse began; 0 for none
let drawing = false; // whether a pen is down

const look = looks(byId, {
  safe: () => now().safe,
  wish: (safe) => set({ safe }),
  render: () => render(performance.now()),
});
const against = () => (now().compare ? trained : null);

/** The name of a neuron whose purpose is known, and that purpose as a sentence.
 *  @param {Neuron} neuron
 *  @returns {[string, string] | undefined} */
const purpose = ([layer, n]) => given.reasons[now().start.name]?.[layer - 1]?.[n];
/** @param {Neuron} neuron */
function names(neuron) {
  const [layer, n] = neuron;
  if (layer === now().net.layers.length) return `output ${n}`;
  const made = purpose(neuron);
  return `neuron ${n + 1} of hidden layer ${layer}${made ? `, “${made[0]}”` : ""}`;
}
/** @param {string} sentence */
const say = (sentence) => (byId("said").textContent = sentence);
/** Says something for a while, at the bottom of the window. @param {string} sentence */
function report(sentence) {
  byId("status").textContent = sentence;
  clearTimeout(reporting);
  reporting = setTimeout(() => (byId("status").textContent = ""), 8000);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
let reporting;

/** The next state; steps with the same gesture are undone as one.
 *  @param {Partial<State>} change
 *  @param {unknown} [gesture] */
function set(change, gesture = null) {
  past.push({ ...now(), ...change }, gesture);
  changed();
}
/** @param {"undo" | "redo"} way */
function step(way) {
  liftPen();
  school.pause();
  past[way]();
  changed();
}

/** @type {Partial<State>} */
let shown = {}; // the state that the page shows
/** Brings everything up to date with the state. */
function changed() {
  const { net, chosen, safe, scene } = now();
  if (chosen && !hasNeuron(net, chosen)) {
    past.replace({ ...now(), chosen: null });
    return changed();
  }
  const before = shown;
  shown = now();
  byId("neuron").hidden = !chosen;
  setOff(byId, "undo", !past.canUndo);
  setOff(byId, "redo", !past.canRedo);
  dialing.show(now());
  if (scene !== before.scene) tours.show(scene);
  if (safe !== before.safe) look.paint();
  if (net !== before.net) {
    push = null;
    if (!before.net || !sameSizes(net, before.net)) {
      dialing.fit(net);
      lay();
    }
    if (!school.playing || !scorer.busy) score();
  }
  if (String(chosen) !== String(before.chosen)) {
    picture.describe(names, layers, chosen);
    tellOfWall();
  }
  if (!school.playing) keep();
  show();
}

// What changes is shown once a frame, however often it changes.
let waiting = false;
function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame((time) => {
    waiting = false;
    render(time);
  });
}
/** @param {number} time */
function render(time) {
  const { net, chosen } = now();
  image = toImage(now().drawing, now().framed);
  layers = run(net, image);
  if (slowly && (time - slowly) / A_LAYER > net.layers.length + 0.5) slowly = 0;
  const passed = slowly ? Math.max(0, (time - slowly) / A_LAYER) : Infinity;
  const at = motionless.matches ? Math.floor(2 * passed) / 2 + 0.5 : passed;
  gray(byId("pad"), toImage(now().drawing, false));
  byId("pad-hint").hidden = !isBlank(now().drawing);
  setOff(byId, "clear", isBlank(now().drawing));
  const view = { net, layers, pair: look.pair(), marks: look.marks() };
  const rings = slowly ? new Map() : losses;
  picture.draw({ ...view, chosen, answer: read(), losses: rings, push, at });
  if (slowly) show();
  showAnswer();
  if (chosen) looking.draw({ ...view, chosen, against: against() });
  if (pointed) showCard(pointed);
  clearTimeout(telling);
  telling = setTimeout(tell, 250);
}

/** What need not be said sixty times a second. @type {ReturnType<typeof setTimeout> | undefined} */
let telling;
let told = "";
function tell() {
  if (school.playing) return;
  const { a } = outputs(layers);
  const answer = read();
  const sentence =
    answer === null
      ? whyNot()
      : `Classified as ${answer}, with an activation of ${number(a[answer])}.`;
  if (told !== (told = sentence)) say(sentence);
  picture.describe(names, layers, now().chosen);
  answering.describe(a);
}
/** The answer; null where nothing is drawn, or two outputs tie. */
const read = () => (isBlank(now().drawing) ? null : answered(outputs(layers).z));
function whyNot() {
  const { z } = outputs(layers);
  if (isBlank(now().drawing)) return "Nothing is drawn, so there is no answer.";
  return z.every((v) => v === z[0])
    ? "All ten outputs are equal: this network has no answer."
    : "Two outputs tie: this network has no answer.";
}

// The pad.
/** @type {object | null} */
let stroke = null;
pen(byId("pad"), byId("pad-cursor"), {
  begin(at) {
    [stroke, drawing] = [{}, true];
    set({ drawing: begun(now().drawing, at) }, stroke);
  },
  move(at) {
    const { base, strokes } = now().drawing;
    const last = strokes[strokes.length - 1];
    set({ drawing: { base, strokes: strokes.with(-1, [...last, at]) } }, stroke);
  },
  end() {
    drawing = false;
    show();
  },
  say: ([x, y], down) => say(`row ${y + 1}, column ${x + 1}, ${down ? "down" : "lifted"}`),
});
/** Something else in place of the drawing: a pen that is down is lifted first.
 *  @param {State["drawing"]} next */
function drawInstead(next) {
  liftPen();
  set({ drawing: next });
}
/** @param {Example} example */
const put = (example) => drawInstead(over(example.image, digits.indexOf(example)));
byId("undo").addEventListener("click", () => step("undo"));
byId("redo").addEventListener("click", () => step("redo"));
byId("clear").addEventListener("click", () => isBlank(now().drawing) || drawInstead(BLANK));
let samples = sample;
byId("another").addEventListener("click", () => {
  samples += 1 + PER_DIGIT; // of the next digit
  put(digits[samples % digits.length]);
});

// The answer, which can be taught.
const answering = answers(byId, (digit) => {
  if (isBlank(now().drawing))
    return report("Draw something first; then you can teach it what that is.");
  liftPen();
  school.step([{ image, label: digit }]);
  say(`One step towards ${digit} for this drawing.`);
});
function showAnswer() {
  const [own, other] = [outputs(layers).a, against()];
  if (slowly) return answering.show(new Float32Array(own.length), null, "on its way", null);
  const answer = read();
  const theirs = other && outputs(run(other, image)).a;
  answering.show(own, answer, answer === null ? whyNot() : "", theirs);
}

// The network, a card on one of its neurons, and one neuron by itself.
const cards = card(byId("card"), names);
/** @type {Neuron | null} */
let pointed = null; // the neuron that has a card
const picture = diagram(byId("network"), byId("neurons"), trained, (neuron, by) => {
  choose(neuron);
  const touched = by !== null && by.pointerType === "touch";
  if (touched) point(now().chosen);
  byId("card").classList.toggle("touched", touched);
});
const looking = inspector(byId("neuron"), {
  now: () => now().net,
  turn,
  choose,
  names,
  reason: (neuron) => purpose(neuron)?.[1] ?? "",
  say,
  put,
});
/** @param {Neuron} neuron */
function choose(neuron) {
  liftPen();
  const same = String(neuron) === String(now().chosen);
  set({ chosen: same ? null : neuron });
  if (!now().chosen || !sticky.matches) return;
  const { top } = byId("neuron").getBoundingClientRect();
  const { bottom } = byId("stage").getBoundingClientRect();
  if (top < bottom - 1 || top > 0.85 * innerHeight) byId("neuron").scrollIntoView();
}
function close() {
  const { chosen } = now();
  if (!chosen) return;
  choose(chosen);
  point(null);
  picture.button(chosen.join("-"))?.focus({ preventScroll: true });
}
/** @param {Neuron | null} neuron */
function point(neuron) {
  pointed = neuron;
  if (neuron) showCard(neuron);
  else cards.hide();
}
/** @param {Neuron} neuron */
function showCard(neuron) {
  const place = picture.where(neuron);
  if (!place) return point(null);
  cards.show({ net: now().net, layers, neuron, place, pair: look.pair(), marks: look.marks() });
}
byId("neurons").addEventListener("pointerover", (/** @type {PointerEvent} */ event) => {
  if (event.pointerType !== "touch") point(picture.under(event));
});
byId("neurons").addEventListener("pointerleave", (/** @type {PointerEvent} */ event) => {
  if (event.pointerType !== "touch") point(null);
});
byId("look-inside").addEventListener("click", () => {
  point(null);
  byId("neuron").scrollIntoView({ behavior: motionless.matches ? "auto" : "smooth" });
});
byId("close").addEventListener("click", close);
byId("slowly").addEventListener("click", () => {
  slowly = performance.now();
  say("The image passes through the network, layer by layer.");
  show();
});

/** The dials are now those of this network; turns of one gesture are one step back.
 *  @param {Network} net
 *  @param {unknown} [gesture] */
function turn(net, gesture = null) {
  school.pause();
  set({ net }, gesture);
}
/** Begins anew from a network, which may have other sizes. @param {State["start"]} start */
function begin(start) {
  liftPen();
  school.anew();
  set({ net: start.net, start });
}
const school = lessons(byId, {
  now: () => now().net,
  begin(net) {
    liftPen();
    past.push({ ...now(), net });
    changed();
  },
  learned(net, gradients) {
    past.replace({ ...now(), net });
    changed();
    push = gradients;
  },
  busy: () => drawing,
  say,
  report,
});

// The wall, and what it says of each neuron.
const hung = wall(byId("walling"), digits, put);
const scorer = marker(digits, (net, runs) => {
  marked = { net, runs };
  const answersThere = readings(runs);
  hung.show(answersThere);
  for (const place of document.querySelectorAll(".right")) {
    place.textContent = `${rightOnes(digits, answersThere)} of ${digits.length}`;
  }
  if (now().chosen) tellOfWall();
  ring();
  if (net !== now().net) score(); // it has learned meanwhile
});
const score = later(() => scorer.mark(now().net), 40);
const ring = later(() => {
  if (!marked) return;
  losses = lossesOf(marked.net, digits, marked.runs, picture.shown());
  tellOfWall();
  show();
}, 300);
function tellOfWall() {
  const { chosen } = now();
  if (!chosen || !marked || !sameSizes(marked.net, now().net)) return;
  looking.compare(now().net, marked.runs, chosen, losses.get(chosen.join("-")));
}

// The dials.
const dialing = dials(byId, { now, turn, begin, set, changed, report });

// What is kept, and what comes from elsewhere.
/** @type {Network | null} */
let saved = null; // that the reader has elsewhere
keepers(byId, {
  now,
  image: () => image,
  begin,
  draw: (x) => drawInstead(over(x)),
  saved: (net) => (saved = net),
  report,
});
function fromLink() {
  liftPen();
  school.anew();
  past.push(fromFragment(location.hash, now()));
  changed();
}
addEventListener("hashchange", fromLink);

// Nothing is lost by a reload, and leaving with dials that are nowhere else asks first.
const keepNow = () => shelve(now(), image);
const keep = later(keepNow, 400);
addEventListener("pagehide", keepNow);
addEventListener("beforeunload", (event) => {
  const { net, start } = now();
  if (net !== start.net && net !== saved) event.preventDefault();
});

addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Escape" && !event.defaultPrevented) {
    point(null);
    return close();
  }
  if (!(event.ctrlKey || event.metaKey) || target.matches("input[type=number], input[type=text]"))
    return;
  const key = event.key.toLowerCase();
  const way = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
  if (!way) return;
  event.preventDefault();
  step(way);
});
function lay() {
  layers = run(now().net, image);
  picture.lay(now().net);
  picture.describe(names, layers, now().chosen);
  show();
}
new ResizeObserver(lay).observe(byId("network"));

const tours = tour(byId);
const kept = unshelve(now());
const linked = location.hash ? fromFragment(location.hash, now()) : now();
past.replace(kept ?? linked);
changed();
offer({
  now,
  image: () => image,
  show: (x) => drawInstead(over(x)),
});
