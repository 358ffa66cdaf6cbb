// One neuron by itself: its weights, what comes in, its equation with the numbers, its dials.

import { SIDE, edge, ink } from "./drawing.js";
import { number, pen, scale, signed } from "./grids.js";
import { inputs, row, sizes, unshared } from "./network.js";

const DIAL_LIMIT = 1e6; // what a dial can be set to
const SAME_TURN = 700; // milliseconds within which a slider goes on with the turn that it began

/** The part of the page on one neuron; returns draw(net, layers, chosen, against, colors).
 *  now() is the network; turn(net, gesture) changes it, and what has the same gesture is undone
 *  as one; names(layer, n) and reason(layer, n) say what a neuron is. */
export function inspector(part, { now, turn, choose, names, reason, say }) {
  const find = (name) => part.querySelector(`[data-is="${name}"]`);
  const weights = find("weights");
  let [layer, n, cell] = [1, 0, 0];
  const here = () => now().layers[layer - 1];

  // Painting: what the brush has covered since it came down, over the row as it was then.
  let [points, before, waiting] = [[], null, false];
  function brush() {
    waiting = false;
    if (!before) return;
    const tool = part.querySelector("[name=tool]:checked").value;
    if (tool === "look") return;
    const [width, strength] = ["width", "strength"].map((name) => find(name).valueAsNumber);
    const side = weights.width;
    const by = tool === "edge" ? edge(points[0], points.at(-1), width, side) : ink([points], width, side);
    const most = tool === "less" ? -strength : strength;
    const net = unshared(before, layer - 1);
    const w = row(net.layers[layer - 1], n);
    w.forEach((v, i) => {
      const next = tool === "zero" ? v * (1 - by[i]) : v + most * by[i];
      w[i] = Math.min(Math.max(next, -DIAL_LIMIT), DIAL_LIMIT);
    });
    turn(net, points);
  }
  const hand = pen(weights, find("cursor"), {
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
      cell = Math.min(y * weights.width + x, inputs(here()) - 1);
      showDial("weight", row(here(), n)[cell]);
      find("weight-name").textContent = `Weight from ${input(cell)}`;
    },
    say,
  });

  // Sliders and numbers.
  let [gesture, until] = [null, 0];
  for (const [name, write] of [
    ["bias", (to, v) => (to.biases[n] = v)],
    ["weight", (to, v) => (row(to, n)[cell] = v)],
  ]) {
    for (const control of [find(name), find(`${name}-number`)]) {
      control.addEventListener("input", (event) => {
        const v = control.valueAsNumber;
        if (!(Math.abs(v) <= DIAL_LIMIT)) return;
        if (gesture?.control !== control || event.timeStamp > until) gesture = { control };
        until = event.timeStamp + SAME_TURN;
        const net = unshared(now(), layer - 1);
        write(net.layers[layer - 1], v);
        turn(net, gesture);
      });
      control.addEventListener("change", () => showDial(name, name === "bias" ? here().biases[n] : row(here(), n)[cell]));
    }
  }

  /** A dial's slider and number; what is being typed is left alone. */
  function showDial(name, v) {
    const [slider, field] = [find(name), find(`${name}-number`)];
    const reach = Math.max(10, 2 ** Math.ceil(Math.log2(Math.abs(v) + 1e-9)));
    if (document.activeElement !== slider || reach > slider.max) {
      [slider.min, slider.max, slider.step] = [-reach, reach, reach / 1000];
    }
    slider.value = v;
    if (document.activeElement !== field) field.value = Number(v.toPrecision(6));
  }

  function input(i) {
    if (layer > 1) return names(layer - 1, i);
    return `the pixel in row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;
  }

  // What feeds it most: five lines that are there from the start, so that the focus stays.
  const feeds = Array.from({ length: 5 }, () => {
    const [item, what, much] = ["li", "button", "span"].map((tag) => document.createElement(tag));
    what.type = "button";
    what.addEventListener("click", () => layer > 1 && choose([layer - 1, Number(what.value)]));
    item.append(what, much);
    find("feeds").append(item);
    return { item, what, much };
  });

  function grid(name, values, colors) {
    const most = scale(values);
    const largest = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    signed(find(name), values, most, colors);
    find(`${name}-scale`).textContent =
      `full color: ±${number(most).replace(/\.?0+$/, "")}; the largest: ${number(largest)}`;
  }

  /** Where the squashing function turns, in words. */
  function threshold(squash, bias) {
    const passes = `where the sum passes ${number(-bias)}`;
    if (squash === "sigmoid") return `With its bias of ${number(bias)} it is half lit ${passes}.`;
    if (squash === "relu") return `With its bias of ${number(bias)} it lights up ${passes}.`;
    return `Its bias is ${number(bias)}.`;
  }

  return function draw(net, layers, chosen, against, colors) {
    const another = layer !== chosen[0] || n !== chosen[1];
    [layer, n] = chosen;
    const w = row(here(), n);
    const b = here().biases[n];
    const { a } = layers[layer - 1];
    const { z, a: out } = layers[layer];
    const contributions = Float64Array.from(w, (v, i) => v * a[i]);

    find("name").textContent = names(layer, n);
    const made = reason(layer, n);
    find("reason").textContent = made?.[1] ?? "";
    grid("weights", w, colors);
    grid("contributions", contributions, colors);
    const comparable = against && String(sizes(against)) === String(sizes(net));
    find("other-figure").hidden = !comparable;
    if (comparable) {
      const theirs = against.layers[layer - 1];
      grid("other", row(theirs, n), colors);
      find("other-bias").textContent = `, bias ${number(theirs.biases[n])}`;
    }

    const sum = contributions.reduce((p, q) => p + q, 0);
    const squash = layer === net.layers.length ? net.lastSquash : net.squash;
    const name = squash === "sigmoid" ? "σ" : squash.replace("relu", "ReLU");
    find("equation").textContent =
      `a = ${name}(w·a + b) = ${name}(${number(sum)} ${b < 0 ? "−" : "+"} ${number(Math.abs(b))}) ` +
      `= ${name}(${number(z[n])}) = ${number(out[n], 3)}`;
    const up = contributions.reduce((s, v) => s + Math.max(v, 0), 0);
    find("sum").textContent =
      `What comes in adds ${number(up)} and takes away ${number(up - sum)}: a weighted sum of ` +
      `${number(sum)}. ${threshold(squash, b)}`;

    const strongest = Array.from(contributions.keys())
      .filter((i) => contributions[i])
      .sort((i, j) => Math.abs(contributions[j]) - Math.abs(contributions[i]));
    feeds.forEach(({ item, what, much }, k) => {
      const i = strongest[k];
      item.hidden = i === undefined;
      if (item.hidden) return;
      [what.value, what.textContent, what.disabled] = [i, input(i), layer === 1];
      much.textContent = `: ${number(a[i])} × ${number(w[i])} = ${number(contributions[i])}`;
    });
    find("nothing").hidden = strongest.length > 0;

    showDial("bias", b);
    if (another) hand.toMiddle();
    else hand.show();
  };
}
