// The wall of test digits, a row for each: how many are read right, and who does what in it.

import { LIT } from "./canvas.js";
import { answered, outputs, run, without } from "./network.js";
import { pointAt } from "./pen.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */
/** @typedef {import("./network.js").Run} Run */
/** @typedef {import("./digits.js").Example} Example */

const CELL = 28; // pixels of the canvas for each digit
const SLICE = 6; // milliseconds of work at a time

/** Runs a network on all digits, a few milliseconds at a time; the last network asked for wins.
 *  @param {Example[]} digits
 *  @param {(net: Network, runs: Run[]) => void} done */
export function marker(digits, done) {
  let job = 0;
  let busy = false;
  return {
    /** @param {Network} net */
    mark(net) {
      const mine = ++job;
      /** @type {Run[]} */
      const runs = [];
      busy = true;
      (function some() {
        if (mine !== job) return;
        const until = performance.now() + SLICE;
        while (runs.length < digits.length) {
          runs.push(run(net, digits[runs.length].image));
          if (performance.now() > until) return void setTimeout(some);
        }
        busy = false;
        done(net, runs);
      })();
    },
    get busy() {
      return busy;
    },
  };
}

/** What each digit is read as. @param {Run[]} runs */
export const readings = (runs) => runs.map((layers) => answered(outputs(layers).z));

/** @param {Example[]} digits  @param {(number | null)[]} read */
export const rightOnes = (digits, read) =>
  digits.filter(({ label }, k) => read[k] === label).length;

/** The share of digits that are read right only with a neuron.
 *  @param {Network} net
 *  @param {Example[]} digits
 *  @param {Run[]} runs
 *  @param {Neuron[]} neurons */
export function lossesOf(net, digits, runs, neurons) {
  const right = rightOnes(digits, readings(runs));
  const hidden = neurons.filter(([layer]) => layer < net.layers.length);
  return new Map(
    hidden.map((neuron) => {
      const left = rightOnes(
        digits,
        runs.map((layers) => answered(without(net, layers, neuron))),
      );
      return [neuron.join("-"), (right - left) / digits.length];
    }),
  );
}

/** A neuron's mean for each digit, and the digits from those that excite it most to the least.
 *  @param {Example[]} digits
 *  @param {Run[]} runs
 *  @param {Neuron} neuron */
export function excitement(digits, runs, [layer, n]) {
  const means = Array(10).fill(0);
  for (const [k, { label }] of digits.entries()) {
    means[label] += (10 * runs[k][layer].a[n]) / digits.length;
  }
  const order = [...digits.keys()].sort((i, j) => runs[j][layer].z[n] - runs[i][layer].z[n]);
  return { means, order };
}

/** Draws a digit; one read wrongly is lit, and says as what.
 *  @param {CanvasRenderingContext2D} context
 *  @param {Float32Array} image
 *  @param {number} x
 *  @param {number} y
 *  @param {{ read: number | null, right: boolean }} how */
function thumbnail(context, image, x, y, { read, right }) {
  const picture = context.createImageData(CELL, CELL);
  const words = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < image.length; i++) {
    const v = Math.round(image[i] * (right ? 130 : 255));
    words[i] = right
      ? 0xff000000 | (v << 16) | (v << 8) | v
      : 0xff000000 | (((v * 74) / 255) << 16) | (((v * 216) / 255) << 8) | v;
  }
  context.putImageData(picture, x, y);
  if (right) return;
  context.strokeStyle = LIT;
  context.lineWidth = 2;
  context.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
  context.fillStyle = LIT;
  context.fillRect(x + CELL - 11, y, 11, 13);
  context.fillStyle = "#000";
  context.font = "bold 12px system-ui, sans-serif";
  context.fillText(read === null ? "?" : String(read), x + CELL - 9, y + 11);
}

/** The wall on the page: `put(example)` is called for a digit that is chosen there.
 *  @param {HTMLElement} part
 *  @param {Example[]} digits
 *  @param {(example: Example) => void} put */
export function wall(part, digits, put) {
  const canvas = /** @type {HTMLCanvasElement} */ (part.querySelector("canvas"));
  const [cursor, tells, rows] = ["wall-cursor", "tells", "rows"].map(
    (name) => /** @type {HTMLElement} */ (part.querySelector(`[data-is="${name}"]`)),
  );
  const columns = digits.length / 10;
  [canvas.width, canvas.height] = [CELL * columns, CELL * 10];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const ends = Array.from({ length: 10 }, (_, digit) => {
    const tags = ["li", "b", "span", "small"];
    const [row, name, right, others] = tags.map((tag) => document.createElement(tag));
    name.textContent = String(digit);
    row.append(name, right, others);
    rows.append(row);
    return [right, others];
  });
  /** @type {(number | null)[]} */
  let read = [];
  let drawn = "";
  let at = 0;

  /** @param {number} k */
  function tell(k) {
    const { label } = digits[k];
    const right = read[k] === label;
    const how = read[k] === null ? "no answer" : right ? "read right" : `read as ${read[k]}`;
    tells.textContent = `a ${label}, ${how}`;
  }
  function point() {
    pointAt(cursor, at % columns, Math.floor(at / columns), columns, 10);
    tell(at);
  }
  /** @param {MouseEvent} event */
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * 10);
    return Math.min(Math.max(row * columns + column, 0), digits.length - 1);
  }
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    at = under(event);
    point();
  });
  canvas.addEventListener("click", (event) => {
    at = under(event);
    point();
    put(digits[at]);
  });
  canvas.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") put(digits[at]);
    else if (!steps[event.key]) return;
    else at = Math.min(Math.max(at + steps[event.key], 0), digits.length - 1);
    event.preventDefault();
    point();
  });

  return {
    /** @param {(number | null)[]} now  what each digit is read as */
    show(now) {
      read = now;
      if (drawn === (drawn = read.join())) return;
      digits.forEach(({ label, image }, k) => {
        const how = { read: read[k], right: read[k] === label };
        thumbnail(context, image, CELL * (k % columns), CELL * Math.floor(k / columns), how);
      });
      ends.forEach(([right, rest], digit) => {
        const own = read.filter((_, k) => digits[k].label === digit);
        const wrong = own.filter((v) => v !== digit);
        /** @param {number | null} v */
        const times = (v) => wrong.filter((other) => other === v).length;
        const others = [...new Set(wrong)].sort((p, q) => times(q) - times(p)).slice(0, 3);
        const as = others.map((v) => `${v ?? "?"}${times(v) > 1 ? ` ×${times(v)}` : ""}`);
        right.textContent = String(own.length - wrong.length);
        rest.textContent = as.length ? ` · as ${as.join(", ")}` : "";
      });
    },
  };
}
