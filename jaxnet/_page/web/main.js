// The page: what is drawn and what the dials are, and everything that shows them.

import { BLANK, SIDE, isBlank, over, toImage } from "./drawing.js";
import { diagram } from "./diagram.js";
import { bytes, download, fromFragment, fromSafetensors, toFragment, toSafetensors } from "./files.js";
import { gray, liftPen, number, pen } from "./grids.js";
import { history } from "./history.js";
import { count, predict, predicted, random, row, run, sizes, unshared, zero } from "./network.js";
import { inspector } from "./neuron.js";

const PIXELS = SIDE * SIDE;
const byId = (id) => document.getElementById(id);
const given = JSON.parse(byId("given").textContent);

function decode({ layers, squash, lastSquash }) {
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const arrays = layers.map((layer) => ({
    weights: floats(layer.weights),
    biases: floats(layer.biases),
  }));
  return { layers: arrays, squash, lastSquash };
}
const networks = Object.fromEntries(given.networks.map(([name, , net]) => [name, decode(net)]));
const { trained } = networks;
const digits = bytes(given.digits);
const samples = Array.from({ length: digits.length / PIXELS }, (_, k) => ({
  label: k % 10,
  image: Float32Array.from(digits.subarray(PIXELS * k, PIXELS * (k + 1)), (v) => v / 255),
}));

// Of the dials, `start` is the network that they were set to before they were turned.
const first = networks[given.networks[0][0]];
const drawing = history(over(samples[3].image));
const dials = history({ net: first, start: first });
let latest = drawing; // which of the two changed last
let gesture = null; // of the last turn of a dial: what belongs to it is undone with it
let chosen = null; // [layer, neuron]
let image = toImage(drawing.now, true);
let layers = run(first, image);
const now = () => dials.now.net;
const colors = () => given.pairs[byId("safe").checked ? "safe" : "video"];
const against = () => (byId("compare").checked ? trained : null);

/** The name of a neuron whose purpose is known, and that purpose as a sentence. */
function reason(layer, n) {
  const name = Object.keys(networks).find((known) => networks[known] === dials.now.start);
  return given.reasons[name]?.[layer - 1]?.[n];
}
function names(layer, n) {
  if (layer === now().layers.length) return `output ${n}`;
  const made = reason(layer, n);
  return `neuron ${n + 1} of hidden layer ${layer}${made ? `, “${made[0]}”` : ""}`;
}

// What changes is shown once a frame, however often it changes.
let waiting = false;
function show() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    image = toImage(drawing.now, byId("framed").checked);
    layers = run(now(), image);
    showPad();
    picture.draw(now(), layers, chosen, colors());
    showAnswer();
    if (chosen) showNeuron(now(), layers, chosen, against(), colors());
    clearTimeout(telling);
    telling = setTimeout(tell, 250);
  });
}

/** What need not be said sixty times a second. */
let telling;
function tell() {
  const { a } = layers.at(-1);
  const answer = read();
  byId("said").textContent =
    answer === null ? "Nothing is read." : `Read as ${answer}, with an activation of ${number(a[Math.min(answer, a.length - 1)])}.`;
  picture.describe(names, layers, chosen);
}
const say = (sentence) => (byId("said").textContent = sentence);

/** The digit that is read; null where nothing is drawn, or all outputs are the same. */
function read() {
  const { z } = layers.at(-1);
  const tie = z.length > 1 && z.every((v) => v === z[0]);
  return isBlank(drawing.now) || tie ? null : predicted(z);
}

/** A button that does nothing now keeps the focus. */
const setOff = (id, off) => (byId(id).ariaDisabled = String(off));

// The pad.
function showPad() {
  gray(byId("pad"), toImage(drawing.now, false));
  byId("pad-hint").hidden = !isBlank(drawing.now);
  setOff("undo", !drawing.canUndo);
  setOff("redo", !drawing.canRedo);
  setOff("clear", isBlank(drawing.now));
}
function draw(next) {
  latest = drawing;
  drawing.push(next);
  show();
}
pen(byId("pad"), byId("pad-cursor"), {
  begin(at) {
    draw({ ...drawing.now, strokes: [...drawing.now.strokes, [at]] });
  },
  move(at) {
    const { base, strokes } = drawing.now;
    drawing.replace({ base, strokes: strokes.with(-1, [...strokes.at(-1), at]) });
    show();
  },
  end: show,
  say,
});
/** Something else in place of the drawing: a pen that is down is lifted first. */
function drawInstead(next) {
  liftPen();
  draw(next);
}
byId("undo").addEventListener("click", () => step(drawing, "undo"));
byId("redo").addEventListener("click", () => step(drawing, "redo"));
byId("clear").addEventListener("click", () => isBlank(drawing.now) || drawInstead(BLANK));
byId("framed").addEventListener("change", show);

for (let digit = 0; digit < 10; digit++) {
  const ones = samples.filter(({ label }) => label === digit);
  const [button, canvas] = ["button", "canvas"].map((tag) => document.createElement(tag));
  let next = 0;
  gray(canvas, ones[0].image);
  button.type = "button";
  button.ariaLabel = `a sample of ${digit}`;
  button.append(canvas);
  button.addEventListener("click", () => {
    drawInstead(over(ones[next].image));
    next = (next + 1) % ones.length;
    gray(canvas, ones[next].image);
  });
  byId("samples").append(button);
}

// The answer.
const bars = Array.from({ length: 10 }, (_, digit) => {
  const line = document.createElement("li");
  line.innerHTML = `<b>${digit}</b><span class="bar"><i></i><em></em></span><span class="value"></span>`;
  byId("bars").append(line);
  return line;
});
function showAnswer() {
  const { a } = layers.at(-1);
  const most = Math.max(1, ...a);
  const answer = read();
  const theirs = against() && run(trained, image).at(-1).a;
  byId("answer").textContent = answer ?? "–";
  bars.forEach((line, digit) => {
    const width = (v) => `${100 * Math.min(Math.max(v / most, 0), 1)}%`;
    line.classList.toggle("brightest", digit === answer);
    line.querySelector("i").style.width = width(a[digit]);
    line.querySelector("em").style.left = theirs ? width(theirs[digit]) : "-100%";
    line.querySelector(".value").textContent = number(a[digit]);
  });
}

// The network, one of its neurons, and all the dials.
const picture = diagram(byId("network"), byId("neurons"), choose);
const showNeuron = inspector(byId("neuron"), { now, turn, choose, names, reason, say });
function choose(neuron) {
  liftPen();
  const opens = !chosen;
  chosen = String(neuron) === String(chosen) ? null : neuron;
  byId("neuron").hidden = !chosen;
  setOff("reset-neuron", !chosen);
  picture.describe(names, layers, chosen);
  show();
  if (chosen && opens) byId("neuron").scrollIntoView({ block: "nearest", behavior: "smooth" });
}
byId("close").addEventListener("click", () => {
  const [layer, n] = chosen;
  choose(chosen);
  byId("neurons").querySelector(`[data-at="${layer}-${n}"]`)?.focus();
});

/** The dials are now those of this network; turns of one gesture are one step back. */
function turn(net, by = null) {
  const next = { ...dials.now, net };
  if (by !== null && by === gesture) dials.replace(next);
  else dials.push(next);
  [latest, gesture] = [dials, by];
  turned();
}
/** Begins anew from a network, which may have other sizes. */
function begin(net) {
  liftPen();
  dials.push({ net, start: net });
  [latest, gesture] = [dials, null];
  fit();
}
function step(which, way) {
  liftPen();
  which[way]();
  [latest, gesture] = [which, null];
  if (which === dials) fit();
  else show();
}

/** Shows what does not change with every drawing. */
function turned() {
  const { net, start } = dials.now;
  const known = Object.keys(networks).find((name) => networks[name] === net);
  byId("start").value = known ?? "";
  if (![...byId("squash").options].some(({ value }) => value === net.squash)) {
    byId("squash").append(new Option(net.squash.replace("relu", "ReLU"), net.squash));
  }
  byId("squash").value = net.squash;
  setOff("undo-dials", !dials.canUndo);
  setOff("redo-dials", !dials.canRedo);
  setOff("reset", net === start);
  setOff("reset-neuron", !chosen || net === start);
  show();
  scoring ??= setTimeout(score, 40);
}
function fit() {
  const net = now();
  if (chosen && !(chosen[1] < net.layers[chosen[0] - 1]?.biases.length)) chosen = null;
  byId("neuron").hidden = !chosen;
  const dialsOf = count(net).toLocaleString("en");
  byId("about").textContent = `${sizes(net).join(" → ")} neurons, ${dialsOf} dials`;
  lay();
  turned();
}
function lay() {
  layers = run(now(), image);
  picture.lay(now());
  picture.describe(names, layers, chosen);
  show();
}

const reads = (net) => samples.filter(({ label, image: x }) => predict(net, x) === label).length;
const ofTrained = reads(trained);
let scoring;
function score() {
  scoring = undefined;
  const right = reads(now());
  for (const place of document.querySelectorAll(".right")) {
    place.textContent = `${right} of ${samples.length}`;
  }
  byId("score-bar").value = right / samples.length;
  byId("score-trained").textContent = `The trained network reads ${ofTrained}.`;
}

byId("undo-dials").addEventListener("click", () => step(dials, "undo"));
byId("redo-dials").addEventListener("click", () => step(dials, "redo"));
byId("reset").addEventListener("click", () => now() === dials.now.start || begin(dials.now.start));
byId("reset-neuron").addEventListener("click", () => {
  const { net, start } = dials.now;
  if (!chosen || net === start) return;
  const [layer, n] = chosen;
  const to = unshared(net, layer - 1);
  row(to.layers[layer - 1], n).set(row(start.layers[layer - 1], n));
  to.layers[layer - 1].biases[n] = start.layers[layer - 1].biases[n];
  turn(to);
});
const made = { zero, random };
for (const [name, title] of given.networks) byId("start").append(new Option(title, name));
byId("start").append(
  new Option("all dials at zero", "zero"),
  new Option("random dials", "random"),
  new Option("dials turned since", ""),
);
byId("start").addEventListener("change", ({ target: { value } }) => {
  if (value) begin(networks[value] ?? made[value](now()));
  else turned();
});
for (const name of ["sigmoid", "relu"]) {
  byId("squash").append(new Option(name.replace("relu", "ReLU"), name));
}
byId("squash").addEventListener("change", ({ target: { value } }) => turn({ ...now(), squash: value }));
for (const id of ["compare", "safe"]) {
  byId(id).addEventListener("change", () => {
    paint();
    show();
  });
}
function paint() {
  const [positive, negative] = colors();
  document.documentElement.style.setProperty("--positive", positive);
  document.documentElement.style.setProperty("--negative", negative);
}

// What is kept, and what comes from elsewhere.
const report = (sentence) => (byId("status").textContent = sentence);
byId("save").addEventListener("click", () => {
  const notes = { made: "by hand, on the page of jaxnet" };
  download("network.safetensors", new Blob([toSafetensors(now(), notes)]));
  report("Saved. In Python: params, info = jaxnet.load('network.safetensors')");
});
byId("load").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  try {
    const net = fromSafetensors(await file.arrayBuffer(), PIXELS);
    begin(net);
    report(`${file.name}: ${count(net).toLocaleString("en")} dials are set as in this file.`);
  } catch (error) {
    report(`${file.name}: ${error.message}`);
  }
  target.value = "";
});
byId("link").addEventListener("click", async () => {
  try {
    window.history.replaceState(null, "", toFragment(image));
  } catch {
    return report("There is no link to a page in a notebook: write it to a file by jaxnet page.");
  }
  try {
    await navigator.clipboard.writeText(location.href);
    report("The link is copied; who opens it sees this drawing.");
  } catch {
    report("The link is in the address bar now; who opens it sees this drawing.");
  }
});
byId("picture").addEventListener("click", () => {
  const from = byId("network");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [from.width, from.height];
  const context = copy.getContext("2d");
  context.fillStyle = getComputedStyle(from.parentElement).backgroundColor;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(from, 0, 0);
  copy.toBlob((blob) => download("network.png", blob));
  report("The picture is saved as network.png.");
});
function fromLink() {
  const linked = fromFragment(location.hash, PIXELS);
  if (linked) drawInstead(over(linked));
}
addEventListener("hashchange", fromLink);

byId("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = theme === "dark" ? "light" : "dark";
});
addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input[type=number]")) return;
  const key = event.key.toLowerCase();
  const way = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
  if (!way) return;
  event.preventDefault();
  step(latest, way);
});
new ResizeObserver(lay).observe(byId("network"));

paint();
fit();
fromLink();

// For the console: jaxnet.activations(image) of any 784 numbers, jaxnet.show(image), jaxnet.params.
globalThis.jaxnet = {
  activations: (x) => run(now(), x).map(({ a }) => Array.from(a)),
  show: (x) => drawInstead(over(Float32Array.from(x))),
  get image() {
    return Array.from(image);
  },
  get params() {
    return now();
  },
};
