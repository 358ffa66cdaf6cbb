// One neuron by itself: its weights, what comes in, its equation with the numbers, its dials.

import { SIDE, edge, ink } from "./drawing.js";
import { digits } from "./embedded.js";
import { gray, number, scale, signed } from "./grids.js";
import { inputs, largest, sameSizes, squashOf, total, unshared } from "./network.js";
import { pen } from "./pen.js";
import { excitement } from "./wall.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */
/** @typedef {import("./network.js").Numbers} Numbers */
/** @typedef {import("./network.js").Run} Run */
/** @typedef {import("./drawing.js").Point} Point */
/** @typedef {import("./digits.js").Example} Example */
/**
 * What to show of it.
 * @typedef {object} View
 * @property {Network} net
 * @property {Run} layers
 * @property {Neuron} chosen
 * @property {Network | null} against  a network to compare with
 * @property {import("./grids.js").Pair} pair
 * @property {boolean} marks
 */

const DIAL_LIMIT = 1e6; // what a dial can be set to
const SAME_TURN = 700; // milliseconds within which a slider goes on with the turn that it began
const EXAMPLES = 8; // of the digits that excite it most, and least

/** @type {Record<string, string>} */
const FORMULAS = {
  sigmoid: "σ(z) = 1 / (1 + e⁻ᶻ)",
  relu: "ReLU(z) = max(0, z)",
  tanh: "tanh(z) = (eᶻ − e⁻ᶻ) / (eᶻ + e⁻ᶻ)",
  leaky_relu: "leaky ReLU(z) = z where z ≥ 0, otherwise z / 100",
  elu: "ELU(z) = z where z > 0, otherwise eᶻ − 1",
  gelu: "GELU(z) = z/2 · (1 + tanh(√(2/π) · (z + 0.044715 z³)))",
  silu: "SiLU(z) = z / (1 + e⁻ᶻ)",
  softplus: "softplus(z) = ln(1 + eᶻ)",
  softmax: "softmax(z) = eᶻ / Σ eᶻ, the sum over all neurons of the layer",
  identity: "identity(z) = z",
};

/** The part of the page on one neuron. `now()` is the network; `turn(net, gesture)` changes it,
 *  and what has the same gesture is undone as one.
 *  @param {HTMLElement} part
 *  @param {{ now: () => Network, turn: (net: Network, gesture?: unknown) => void, choose: (neuron: Neuron) => void, names: (neuron: Neuron) => string, reason: (neuron: Neuron) => string, say: (sentence: string) => void, put: (example: Example) => void }} page */
export function inspector(part, { now, turn, choose, names, reason, say, put }) {
  /** @param {string} name  @returns {any} */
  const find = (name) => part.querySelector(`[data-is="${name}"]`);
  const weights = find("weights");
  /** @type {Neuron} */
  let here = [1, 0];
  let cell = 0;
  const layer = () => now().layers[here[0] - 1];
  const row = () => layer().weights[here[1]];
  const tool = () => part.querySelector("[name=tool]:checked")?.getAttribute("value");

  // Painting: what the brush has covered since it came down, over the row as it was then.
  /** @type {Point[]} */
  let points = [];
  /** @type {Network | null} */
  let before = null;
  let waiting = false;
  function brush() {
    waiting = false;
    if (!before || tool() === "look") return;
    const [width, strength] = ["width", "strength"].map((name) => find(name).valueAsNumber);
    const side = Number(weights.dataset.columns);
    const edged = tool() === "edge";
    const by = edged
      ? edge(points[0], points[points.length - 1], width, side)
      : ink([points], width, side);
    const most = tool() === "less" ? -strength : strength;
    const net = unshared(before, here);
    const w = net.layers[here[0] - 1].weights[here[1]];
    w.forEach((v, i) => {
      const next = tool() === "zero" ? v * (1 - by[i]) : v + most * by[i];
      w[i] = Math.min(Math.max(next, -DIAL_LIMIT), DIAL_LIMIT);
    });
    turn(net, points);
  }
  const hand = pen(weights, find("cursor"), {
    scrolls: () => tool() === "look",
    begin(at) {
      [before, points] = [now(), [at]];
      brush();
    },
    move(at) {
      points.push(at);
      if (!waiting) requestAnimationFrame(brush);
      waiting = true;
    },
    end() {
      if (waiting) brush();
      before = null;
    },
    at([x, y]) {
      cell = Math.min(y * Number(weights.dataset.columns) + x, inputs(layer()) - 1);
      showDial("weight", row()[cell]);
      find("weight-name").textContent = `Weight from ${input(cell)}`;
    },
    say(_, down) {
      say(`Weight from ${input(cell)}: ${number(row()[cell], 3)}${down ? ", brush down" : ""}`);
    },
  });
  part.addEventListener("change", () => (weights.dataset.tool = tool()));

  // Sliders and numbers.
  /** @type {{ control: unknown } | null} */
  let gesture = null;
  let until = 0;
  /** @type {Record<string, [() => number, (to: Network, v: number) => void]>} */
  const dials = {
    bias: [() => layer().biases[here[1]], (to, v) => (to.layers[here[0] - 1].biases[here[1]] = v)],
    weight: [() => row()[cell], (to, v) => (to.layers[here[0] - 1].weights[here[1]][cell] = v)],
  };
  for (const [name, [read, write]] of Object.entries(dials)) {
    for (const control of [find(name), find(`${name}-number`)]) {
      control.addEventListener("input", (/** @type {Event} */ event) => {
        const v = control.valueAsNumber;
        if (!(Math.abs(v) <= DIAL_LIMIT)) return;
        if (gesture?.control !== control || event.timeStamp > until) gesture = { control };
        until = event.timeStamp + SAME_TURN;
        const net = unshared(now(), here);
        write(net, v);
        turn(net, gesture);
      });
      control.addEventListener("change", () => showDial(name, read()));
    }
  }
  find("off").addEventListener("change", () => {
    const [off, name] = [new Set(now().off), here.join("-")];
    if (!off.delete(name)) off.add(name);
    turn({ ...now(), off });
  });

  /** A dial's slider and number; what is being typed is left alone.
   *  @param {string} name
   *  @param {number} v */
  function showDial(name, v) {
    const [slider, field] = [find(name), find(`${name}-number`)];
    const reach = Math.max(10, 2 ** Math.ceil(Math.log2(Math.abs(v) + 1e-9)));
    if (document.activeElement !== slider || reach > slider.max) {
      [slider.min, slider.max, slider.step] = [-reach, reach, reach / 1000];
    }
    slider.value = v;
    if (document.activeElement !== field) field.value = Number(v.toPrecision(5));
  }

  /** @param {number} i */
  function input(i) {
    if (here[0] > 1) return names([here[0] - 1, i]);
    return `the pixel in row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;
  }

  // What feeds it most: five lines that are there from the start, so that the focus stays.
  const feeds = Array.from({ length: 5 }, () => {
    const item = document.createElement("li");
    const what = document.createElement("button");
    const much = document.createElement("span");
    what.type = "button";
    what.addEventListener("click", () => here[0] > 1 && choose([here[0] - 1, Number(what.value)]));
    item.append(what, much);
    find("feeds").append(item);
    return { item, what, much };
  });

  // Which digits excite it: buttons that put them on the pad, and a bar for each digit's mean.
  const pictures = ["most", "least"].map((which) =>
    Array.from({ length: EXAMPLES }, () => {
      const button = document.createElement("button");
      const canvas = document.createElement("canvas");
      button.type = "button";
      button.append(canvas);
      button.addEventListener("click", () => put(digits[Number(button.value)]));
      find(which).append(button);
      return { button, canvas };
    }),
  );
  const means = Array.from({ length: 10 }, (_, digit) => {
    const item = document.createElement("li");
    item.innerHTML = `<b>${digit}</b><span class="bar"><i></i></span><span></span>`;
    find("means").append(item);
    return item;
  });

  /** @param {string} name  @param {Numbers} values  @param {View} view */
  function grid(name, values, { pair, marks }) {
    const most = scale(values);
    signed(find(name), values, most, pair, marks);
    find(`${name}-scale`).textContent =
      `full color: ±${number(most).replace(/\.?0+$/, "")}; the largest: ${number(largest(values.map(Math.abs)))}`;
  }

  /** Where the squashing function turns, in words. @param {string} squash  @param {number} bias */
  function threshold(squash, bias) {
    const passes = `where the sum passes ${number(-bias)}`;
    if (squash === "sigmoid") return `With its bias of ${number(bias)} it is half lit ${passes}.`;
    if (squash === "relu") return `With its bias of ${number(bias)} it lights up ${passes}.`;
    return `Its bias is ${number(bias)}.`;
  }

  /** @param {View} view */
  function draw(view) {
    const { net, layers, chosen, against } = view;
    const another = String(here) !== String(chosen);
    here = chosen;
    const [k, n] = chosen;
    const [w, b] = [row(), layer().biases[n]];
    const { a } = layers[k - 1];
    const { z, a: out } = layers[k];
    const contributions = Float64Array.from(w, (v, i) => v * a[i]);

    find("name").textContent = names(chosen);
    find("reason").textContent = reason(chosen);
    grid("weights", w, view);
    grid("contributions", contributions, view);
    const comparable = against !== null && sameSizes(against, net);
    find("other-figure").hidden = !comparable;
    if (comparable) {
      const theirs = against.layers[k - 1];
      grid("other", theirs.weights[n], view);
      find("other-bias").textContent = `, bias ${number(theirs.biases[n])}`;
    }

    const sum = total(contributions);
    const squash = squashOf(net, k);
    const name = FORMULAS[squash].split("(")[0];
    const above = (/** @type {number} */ v) =>
      `⁽${[...String(v)].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(d)]).join("")}⁾`;
    find("equation").textContent =
      `a${above(k)} = ${name}(w · a${above(k - 1)} + b) = ` +
      `${name}(${number(sum)} ${b < 0 ? "−" : "+"} ${number(Math.abs(b))}) = ` +
      `${name}(${number(z[n])}) = ${number(out[n], 3)}`;
    find("formula").textContent = `where ${FORMULAS[squash]}`;
    const up = total(contributions.filter((v) => v > 0));
    find("sum").textContent =
      `What comes in adds ${number(up)} and takes away ${number(up - sum)}: a weighted sum of ` +
      `${number(sum)}. ${threshold(squash, b)}`;

    const strongest = Array.from(contributions.keys())
      .filter((i) => contributions[i])
      .sort((i, j) => Math.abs(contributions[j]) - Math.abs(contributions[i]));
    feeds.forEach(({ item, what, much }, m) => {
      const i = strongest[m];
      item.hidden = i === undefined;
      if (item.hidden) return;
      [what.value, what.textContent, what.disabled] = [
        String(i),
        input(i).replace("the pixel in ", ""),
        k === 1,
      ];
      much.textContent = `${number(a[i])} × ${number(w[i])} = ${number(contributions[i])}`;
    });
    find("nothing").hidden = strongest.length > 0;

    const last = k === net.layers.length;
    find("off-label").hidden = last;
    find("off").checked = net.off.has(chosen.join("-"));
    showDial("bias", b);
    if (another) hand.toMiddle();
    else hand.show();
  }

  /** What the neuron does among all the digits of the wall.
   *  @param {Network} net
   *  @param {Run[]} runs
   *  @param {Neuron} chosen
   *  @param {number | undefined} loss */
  function compare(net, runs, chosen, loss) {
    const { means: each, order } = excitement(digits, runs, chosen);
    [order.slice(0, EXAMPLES), order.slice(-EXAMPLES).reverse()].forEach((ones, which) => {
      ones.forEach((i, m) => {
        const { button, canvas } = pictures[which][m];
        const a = runs[i][chosen[0]].a[chosen[1]];
        button.value = String(i);
        button.ariaLabel = `a ${digits[i].label}: activation ${number(a)}`;
        button.title = button.ariaLabel;
        gray(canvas, digits[i].image);
      });
    });
    const white = largest(each, 1);
    means.forEach((item, digit) => {
      const [bar, value] = [item.querySelector("i"), item.lastElementChild];
      if (bar) bar.style.width = `${(100 * Math.min(Math.max(each[digit], 0), white)) / white}%`;
      if (value) value.textContent = number(each[digit]);
    });
    const n = Math.round((loss ?? 0) * digits.length);
    const off = net.off.has(chosen.join("-"));
    const changed =
      n < 0
        ? `${-n} more of the ${digits.length} digits are right`
        : `${n || "none"} more of the ${digits.length} digits ${n === 1 ? "is" : "are"} misclassified`;
    find("loss").textContent =
      loss === undefined
        ? ""
        : off
          ? "It is switched off: its activation is 0."
          : `Without it, ${changed}.`;
  }
  return { draw, compare };
}
