// The network as the video draws it: the image, the neurons as circles, the edges between them.

import { gray } from "./grids.js";
import { SIDE } from "./drawing.js";
import { brightest, row } from "./network.js";

const SHOWN = 18; // neurons of a longer layer are left out in its middle
const LEVELS = [0.14, 0.3, 0.5, 0.75, 1]; // brightness of edges: a few strokes are quick to draw
const FROM_PIXELS = 30; // edges into one neuron, the strongest
const LIT = "#ffd84a";

/** Draws into a canvas, and lays a button over each neuron: choose([layer, neuron]) is called. */
export function diagram(canvas, buttons, choose) {
  const context = canvas.getContext("2d");
  const pixels = document.createElement("canvas");
  let [width, height, radius, box, columns] = [0, 0, 0, null, []];

  function lay(net) {
    const density = Math.min(window.devicePixelRatio || 1, 2);
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * density, height * density].map(Math.round);
    context.setTransform(density, 0, 0, density, 0, 0);
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
    const kept = document.activeElement?.dataset?.at;
    buttons.replaceChildren(
      ...columns.flatMap(({ neurons }, layer) =>
        neurons.map(({ n, x, y, reach }) => {
          const button = document.createElement("button");
          button.type = "button";
          button.dataset.at = `${layer + 1}-${n}`;
          button.tabIndex = -1;
          Object.assign(button.style, {
            left: `${x - reach}px`,
            top: `${y - reach}px`,
            width: `${2 * reach}px`,
            height: `${2 * reach}px`,
          });
          button.addEventListener("click", () => choose([layer + 1, n]));
          return button;
        }),
      ),
    );
    if (kept) buttons.querySelector(`[data-at="${kept}"]`)?.focus();
  }

  /** Paths of edges by sign and brightness; those of a neuron that is not chosen stay dim. */
  function edges(net, layers, chosen, pair) {
    const paths = new Map();
    const draw = (share, x0, y0, x1, y1, own) => {
      const bright = Math.min(Math.sqrt(Math.abs(share)), chosen && !own ? LEVELS[1] : 1);
      const level = LEVELS.findIndex((limit) => bright <= limit);
      const key = 10 * (share < 0) + level;
      if (!paths.has(key)) paths.set(key, new Path2D());
      paths.get(key).moveTo(x0, y0);
      paths.get(key).lineTo(x1, y1);
    };
    columns.forEach(({ neurons }, k) => {
      const [layer, a] = [net.layers[k], layers[k].a];
      const sources = k
        ? columns[k - 1].neurons.map(({ n, x, y }) => [n, x + radius, y])
        : Array.from(a.keys(), (i) => [i, ...middle(i)]).filter(([i]) => a[i] > 0.05);
      let most = 0;
      for (const { n } of neurons) {
        const w = row(layer, n);
        for (const [i] of sources) most = Math.max(most, Math.abs(w[i] * a[i]));
      }
      if (!most) return;
      for (const { n, x, y } of neurons) {
        const w = row(layer, n);
        const into = chosen && chosen[0] === k + 1 && chosen[1] === n;
        const shares = sources.map(([i]) => (w[i] * a[i]) / most);
        const sorted = Float64Array.from(shares, Math.abs).sort();
        const least = Math.max(k || into ? 0.015 : 0.08, k ? 0 : (sorted.at(-FROM_PIXELS) ?? 0));
        sources.forEach(([i, x0, y0], j) => {
          const own = into || (chosen && k && chosen[0] === k && chosen[1] === i);
          if (Math.abs(shares[j]) >= least) draw(shares[j], x0, y0, x - radius, y, own);
        });
      }
    });
    const brighterLater = [...paths].sort(([p], [q]) => (p % 10) - (q % 10));
    for (const [key, path] of brighterLater) {
      context.strokeStyle = pair[key >= 10 ? 1 : 0];
      context.globalAlpha = 0.85 * LEVELS[key % 10];
      context.lineWidth = 0.5 + LEVELS[key % 10];
      context.stroke(path);
    }
    context.globalAlpha = 1;
  }

  const middle = (i) => {
    const cell = box.side / SIDE;
    return [box.x + ((i % SIDE) + 0.5) * cell, box.y + (Math.floor(i / SIDE) + 0.5) * cell];
  };

  function draw(net, layers, chosen, pair) {
    context.clearRect(0, 0, width, height);
    gray(pixels, layers[0].a);
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, box.x, box.y, box.side, box.side);
    context.strokeStyle = "#59606f";
    context.lineWidth = 1;
    context.strokeRect(box.x - 0.5, box.y - 0.5, box.side + 1, box.side + 1);
    edges(net, layers, chosen, pair);
    context.textAlign = "center";
    context.textBaseline = "middle";
    const answer = brightest(layers.at(-1).z);
    columns.forEach(({ neurons, gap }, k) => {
      const { a } = layers[k + 1];
      const white = Math.max(1, ...a);
      const last = k === columns.length - 1;
      for (const { n, x, y } of neurons) {
        const shade = Math.round(255 * Math.min(Math.max(a[n] / white, 0), 1));
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fillStyle = `rgb(${shade},${shade},${shade})`;
        context.fill();
        const marked = last && n === answer;
        context.strokeStyle = marked ? LIT : "#a7adb9";
        context.lineWidth = marked ? 3 : 1;
        context.stroke();
        if (chosen && chosen[0] === k + 1 && chosen[1] === n) {
          context.beginPath();
          context.arc(x, y, radius + 4, 0, 2 * Math.PI);
          context.strokeStyle = "#ffffff";
          context.lineWidth = 1.5;
          context.stroke();
        }
        if (last) {
          context.fillStyle = marked ? LIT : "#d5d9e1";
          context.font = `${marked ? 700 : 400} ${Math.max(11, 1.3 * radius)}px system-ui, sans-serif`;
          context.fillText(n, x + 2.1 * radius, y);
        }
      }
      if (gap) {
        context.fillStyle = "#d5d9e1";
        context.font = `${1.6 * radius}px system-ui, sans-serif`;
        context.fillText("⋮", gap.x, gap.y);
      }
    });
  }

  /** What each button says; one of them, the chosen or the first, can be reached by Tab. */
  function describe(names, layers, chosen) {
    const at = (chosen ?? [1, columns[0].neurons[0].n]).join("-");
    const shown = buttons.querySelector(`[data-at="${at}"]`) ?? buttons.firstElementChild;
    for (const button of buttons.children) {
      const [layer, n] = button.dataset.at.split("-").map(Number);
      button.ariaLabel = `${names(layer, n)}, activation ${layers[layer].a[n].toFixed(2)}`;
      button.ariaPressed = String(button.dataset.at === at && chosen !== null);
      button.tabIndex = button === shown ? 0 : -1;
    }
  }

  buttons.addEventListener("keydown", (event) => {
    const [layer, n] = event.target.dataset.at.split("-").map(Number);
    const column = columns[layer - 1].neurons;
    const k = column.findIndex((neuron) => neuron.n === n);
    const beside = (other) => other && other.neurons[Math.min(k, other.neurons.length - 1)].n;
    const next = {
      ArrowUp: [layer, column[k - 1]?.n],
      ArrowDown: [layer, column[k + 1]?.n],
      ArrowLeft: [layer - 1, beside(columns[layer - 2])],
      ArrowRight: [layer + 1, beside(columns[layer])],
    }[event.key];
    if (!next) return;
    event.preventDefault();
    if (next[1] === undefined) return;
    buttons.querySelector(`[data-at="${next.join("-")}"]`).focus();
    choose(next);
  });

  return { lay, draw, describe };
}
