// The network as the video draws it: the image, the neurons as circles, the edges between them.

import { BLUE, LIT, sharp } from "./canvas.js";
import { gray, number, scale } from "./grids.js";
import { SIDE } from "./drawing.js";
import { largest } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */
/** @typedef {import("./network.js").Numbers} Numbers */
/** @typedef {import("./network.js").Run} Run */
/** @typedef {import("./learning.js").Sums} Sums */
/** @typedef {{ n: number, x: number, y: number, reach: number }} Circle */
/** @typedef {{ neurons: Circle[], gap: Circle | null }} Column */
/**
 * What to draw.
 * @typedef {object} Scene
 * @property {Network} net
 * @property {Run} layers
 * @property {Neuron | null} chosen
 * @property {number | null} answer  the output to mark
 * @property {import("./grids.js").Pair} pair
 * @property {boolean} marks  whether negative edges are dashed
 * @property {Map<string, number>} losses  the share of digits lost without a neuron, by "layer-neuron"
 * @property {Sums | null} push  gradients: edges show where a step pushes them
 * @property {number} at  how many layers the image has passed through; a fraction is on its way
 */

const SHOWN = 18; // neurons of a longer layer are left out in its middle
const LEVELS = [0.14, 0.3, 0.5, 0.75, 1]; // brightness of edges: a few strokes are quick to draw
const FROM_PIXELS = 30; // edges into one neuron, the strongest

/** Draws into a canvas, and lays a button over each neuron.
 *  @param {HTMLCanvasElement} canvas
 *  @param {HTMLElement} buttons
 *  @param {Network} reference  the network whose weights are edges in full brightness
 *  @param {(neuron: Neuron, by: PointerEvent | null) => void} choose */
export function diagram(canvas, buttons, reference, choose) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = document.createElement("canvas");
  let [width, height, radius] = [0, 0, 0];
  let box = { x: 0, y: 0, side: 0 };
  /** @type {Column[]} */
  let columns = [];
  const full = reference.layers.map(({ weights }) =>
    scale(Float64Array.from(weights.flatMap((w) => [...w]))),
  );

  /** @param {Network} net */
  function lay(net) {
    ({ width, height } = sharp(canvas));
    const side = Math.min(0.3 * width, 0.62 * height);
    box = { x: 0.015 * width, y: (height - side) / 2, side };
    const rows = Math.min(SHOWN, Math.max(...net.layers.map((layer) => layer.biases.length)));
    radius = Math.min((0.96 * height) / (rows + 0.5) / 2.5, (0.5 * width) / net.layers.length / 4);
    const [from, to] = [box.x + side + 0.16 * width, 0.97 * width - 2.6 * radius];
    columns = net.layers.map(({ biases: { length } }, n) => {
      const cut = length > SHOWN;
      const places = cut ? SHOWN - 1 : length;
      const step = Math.min((0.96 * height) / (places + 0.5), 3.4 * radius);
      const x = net.layers.length === 1 ? to : from + (n * (to - from)) / (net.layers.length - 1);
      const neurons = Array.from({ length: places }, (_, k) => ({
        n: cut && k > places / 2 ? length - places + k : k,
        x,
        y: height / 2 + (k - (places - 1) / 2) * step,
        reach: step / 2,
      }));
      const gap = cut ? neurons.splice((places - 1) / 2, 1)[0] : null;
      return { neurons, gap };
    });
    const kept = focused()?.dataset.at;
    buttons.replaceChildren(
      ...columns.flatMap(({ neurons }, layer) =>
        neurons.map(({ n, x, y, reach }) => {
          const button = document.createElement("button");
          const wide = Math.max(reach, Math.min(22, width / columns.length / 4));
          button.type = "button";
          button.dataset.at = `${layer + 1}-${n}`;
          button.tabIndex = -1;
          Object.assign(button.style, {
            left: `${x - wide}px`,
            top: `${y - reach}px`,
            width: `${2 * wide}px`,
            height: `${2 * reach}px`,
          });
          button.addEventListener("click", (event) => {
            choose([layer + 1, n], event instanceof PointerEvent ? event : null);
          });
          return button;
        }),
      ),
    );
    if (kept) button(kept)?.focus({ preventScroll: true });
  }
  const focused = () =>
    buttons.contains(document.activeElement)
      ? /** @type {HTMLElement} */ (document.activeElement)
      : null;
  /** @param {string} at  @returns {HTMLElement | null} */
  const button = (at) => buttons.querySelector(`[data-at="${at}"]`);

  /** How strong an edge must be for full brightness: the same for every network of this depth, so
   *  that networks can be compared.
   *  @param {number} k
   *  @param {number} n_layers */
  function fullAt(k, n_layers) {
    if (k === 0) return full[0];
    return k === n_layers - 1 ? full[full.length - 1] : full[Math.min(1, full.length - 1)];
  }

  /** Draws the edges; those of a neuron that is not chosen stay dim. @param {Scene} scene */
  function edges({ net, layers, chosen, pair, marks, push, at }) {
    /** @type {Map<number, Path2D>} */
    const paths = new Map();
    const heads = new Path2D();
    /** @param {number} share
     *  @param {number} x0
     *  @param {number} y0
     *  @param {number} x1
     *  @param {number} y1
     *  @param {boolean} own
     *  @param {number} reached */
    const draw = (share, x0, y0, x1, y1, own, reached) => {
      const bright = Math.min(Math.sqrt(Math.abs(share)), chosen && !own ? LEVELS[1] : 1);
      const level = LEVELS.findIndex((limit) => bright <= limit);
      const key = 10 * Number(share < 0) + level;
      let path = paths.get(key);
      if (!path) paths.set(key, (path = new Path2D()));
      const [x, y] = [x0 + reached * (x1 - x0), y0 + reached * (y1 - y0)];
      path.moveTo(x0, y0);
      path.lineTo(x, y);
      if (reached < 1 && level > 1) {
        heads.moveTo(x - 0.04 * (x1 - x0), y - 0.04 * (y1 - y0));
        heads.lineTo(x, y);
      }
    };
    columns.forEach(({ neurons }, k) => {
      const reached = Math.min(2 * (at - k), 1);
      if (reached <= 0) return;
      const rows = push ? push[k].weights : net.layers[k].weights;
      const { a } = layers[k];
      const white = largest(a, 1);
      /** @type {[number, number, number][]} */
      const sources = k
        ? columns[k - 1].neurons.map(({ n, x, y }) => [n, x + radius, y])
        : Array.from(a.keys(), (i) => middle(i)).filter(([i]) => a[i] > 0.05);
      /** @param {number} n  @param {number} i */
      const value = (n, i) => (push ? -rows[n][i] : (rows[n][i] * a[i]) / white);
      let most = fullAt(k, columns.length);
      if (push) {
        most = 0;
        for (const { n } of neurons)
          for (const [i] of sources) most = Math.max(most, Math.abs(value(n, i)));
      }
      if (!most) return;
      for (const { n, x, y } of neurons) {
        const into = chosen !== null && chosen[0] === k + 1 && chosen[1] === n;
        const shares = sources.map(([i]) => Math.min(Math.max(value(n, i) / most, -1), 1));
        const sorted = Float64Array.from(shares, Math.abs).sort();
        const least = Math.max(k || into ? 0.015 : 0.05, k ? 0 : (sorted.at(-FROM_PIXELS) ?? 0));
        sources.forEach(([i, x0, y0], j) => {
          const own = into || (chosen !== null && k > 0 && chosen[0] === k && chosen[1] === i);
          if (Math.abs(shares[j]) >= least) draw(shares[j], x0, y0, x - radius, y, own, reached);
        });
      }
    });
    const brighterLater = [...paths].sort(([p], [q]) => (p % 10) - (q % 10));
    for (const [key, path] of brighterLater) {
      context.strokeStyle = pair[key >= 10 ? 1 : 0];
      context.globalAlpha = 0.85 * LEVELS[key % 10];
      context.lineWidth = 0.5 + LEVELS[key % 10];
      context.setLineDash(marks && key >= 10 ? [4, 3] : []);
      context.stroke(path);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    context.lineWidth = 2;
    context.strokeStyle = "#ffffff";
    context.stroke(heads);
  }

  /** @param {number} i  @returns {[number, number, number]} */
  const middle = (i) => {
    const cell = box.side / SIDE;
    return [i, box.x + ((i % SIDE) + 0.5) * cell, box.y + (Math.floor(i / SIDE) + 0.5) * cell];
  };
  /** @param {number} x
   *  @param {number} y
   *  @param {number} r
   *  @param {string} color
   *  @param {number} wide */
  function circle(x, y, r, color, wide) {
    context.beginPath();
    context.arc(x, y, r, 0, 2 * Math.PI);
    context.strokeStyle = color;
    context.lineWidth = wide;
    context.stroke();
  }

  /** @param {Scene} scene */
  function draw(scene) {
    const { net, layers, chosen, answer, losses, at } = scene;
    context.clearRect(0, 0, width, height);
    gray(pixels, layers[0].a);
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, box.x, box.y, box.side, box.side);
    context.strokeStyle = "#59606f";
    context.lineWidth = 1;
    context.strokeRect(box.x - 0.5, box.y - 0.5, box.side + 1, box.side + 1);
    edges(scene);
    context.textBaseline = "middle";
    columns.forEach(({ neurons, gap }, k) => {
      const { z, a } = layers[k + 1];
      const white = largest(a, 1);
      const last = k === columns.length - 1;
      const [summed, lit] = [at >= k + 0.5, Math.min(Math.max(4 * (at - k - 0.75), 0), 1)];
      for (const { n, x, y } of neurons) {
        const off = net.off.has(`${k + 1}-${n}`);
        const shade = Math.round(255 * lit * Math.min(Math.max(a[n] / white, 0), 1));
        const marked = last && n === answer && lit === 1;
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fillStyle = `rgb(${shade},${shade},${shade})`;
        context.fill();
        circle(x, y, radius, marked ? LIT : off ? "#59606f" : "#a7adb9", marked ? 3 : 1);
        const loss = losses.get(`${k + 1}-${n}`) ?? 0;
        if (loss > 0 && !off) {
          const wide = Math.min(0.6, loss) * radius;
          circle(x, y, radius + 1 + wide / 2, BLUE, wide);
        }
        if (off) {
          const reach = 0.7 * radius;
          context.beginPath();
          context.moveTo(x - reach, y - reach);
          context.lineTo(x + reach, y + reach);
          context.moveTo(x - reach, y + reach);
          context.lineTo(x + reach, y - reach);
          context.stroke();
        }
        if (chosen && chosen[0] === k + 1 && chosen[1] === n)
          circle(x, y, radius + 4, "#ffffff", 1.5);
        context.textAlign = "center";
        if (last) {
          context.fillStyle = marked ? LIT : "#d5d9e1";
          context.font = `${marked ? 700 : 400} ${Math.max(11, 1.3 * radius)}px system-ui, sans-serif`;
          context.fillText(String(n), x + 2.1 * radius, y);
        }
        if (summed && at < k + 1.4) {
          context.textAlign = "right";
          context.font = `600 ${Math.max(11, radius)}px system-ui, sans-serif`;
          context.fillStyle = lit ? "#ffffff" : LIT;
          context.strokeStyle = "#0d0f14";
          context.lineWidth = 4;
          const text = lit ? number(a[n]) : number(z[n], 1);
          context.strokeText(text, x - radius - 4, y);
          context.fillText(text, x - radius - 4, y);
        }
      }
      if (gap) {
        context.textAlign = "center";
        context.fillStyle = "#d5d9e1";
        context.font = `${1.6 * radius}px system-ui, sans-serif`;
        context.fillText("⋮", gap.x, gap.y);
      }
    });
  }

  /** What each button says; one of them, the chosen or the first, can be reached by Tab.
   *  @param {(neuron: Neuron) => string} names
   *  @param {Run} layers
   *  @param {Neuron | null} chosen */
  function describe(names, layers, chosen) {
    const at = (chosen ?? [1, columns[0].neurons[0].n]).join("-");
    const shown = button(at) ?? buttons.firstElementChild;
    for (const each of /** @type {Iterable<HTMLElement>} */ (buttons.children)) {
      const [layer, n] = placeOf(each);
      each.ariaLabel = `${names([layer, n])}, activation ${layers[layer].a[n].toFixed(2)}`;
      each.ariaPressed = String(each.dataset.at === at && chosen !== null);
      each.tabIndex = each === shown ? 0 : -1;
    }
  }
  /** @param {HTMLElement} of  @returns {Neuron} */
  function placeOf({ dataset: { at } }) {
    const [layer, n] = String(at).split("-").map(Number);
    return [layer, n];
  }

  buttons.addEventListener("keydown", (event) => {
    const [layer, n] = placeOf(/** @type {HTMLElement} */ (event.target));
    const column = columns[layer - 1].neurons;
    const k = column.findIndex((neuron) => neuron.n === n);
    /** @param {Column | undefined} other */
    const beside = (other) => other?.neurons[Math.min(k, other.neurons.length - 1)].n;
    /** @type {Record<string, [number, number | undefined]>} */
    const ways = {
      ArrowUp: [layer, column[k - 1]?.n],
      ArrowDown: [layer, column[k + 1]?.n],
      ArrowLeft: [layer - 1, beside(columns[layer - 2])],
      ArrowRight: [layer + 1, beside(columns[layer])],
    };
    const next = ways[event.key];
    if (!next) return;
    event.preventDefault();
    if (next[1] === undefined) return;
    button(next.join("-"))?.focus({ preventScroll: true });
    choose([next[0], next[1]], null);
  });

  return {
    lay,
    draw,
    describe,
    button,
    /** The neuron that a pointer's event is on. @param {Event} event  @returns {Neuron | null} */
    under: ({ target }) =>
      target instanceof HTMLElement && target.dataset.at ? placeOf(target) : null,
    /** The neurons that are drawn. @returns {Neuron[]} */
    shown: () =>
      columns.flatMap(({ neurons }, k) =>
        neurons.map(({ n }) => /** @type {Neuron} */ ([k + 1, n])),
      ),
    /** Where a neuron is drawn, as shares of the picture. @param {Neuron} neuron */
    where([layer, n]) {
      const found = columns[layer - 1]?.neurons.find((neuron) => neuron.n === n);
      return found && { x: found.x / width, y: found.y / height };
    },
  };
}
