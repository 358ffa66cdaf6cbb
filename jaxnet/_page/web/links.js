// The state of the page as the fragment of a link, and back.

import { BLANK, PIXELS, isBlank, over } from "./drawing.js";
import { digits, networks } from "./embedded.js";
import { base64, bytes } from "./files.js";
import { SQUASHES, copied, hasNeuron, random, sameSizes, sizes, zero } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */
/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {{ name: string, seed: number, net: Network }} Start  where the dials were before they were turned */
/**
 * All that a reader has done.
 * @typedef {object} State
 * @property {Drawing} drawing
 * @property {Network} net
 * @property {Start} start
 * @property {Neuron | null} chosen
 * @property {boolean} framed  whether drawings are scaled and centered
 * @property {boolean} compare  with the trained network
 * @property {boolean} safe  colors for every eye, and marks
 * @property {string} scene  of the tour, or ""
 */

const MOST = 2800; // changed dials, which make 30,000 letters: browsers take as long a link
export const WIDEST = 500; // neurons of a hidden layer that a reader or a link can ask for
export const DEEPEST = 5; // hidden layers

/** A network to start from, by its name.
 *  @param {string} name
 *  @param {number[]} widths
 *  @param {number} seed
 *  @returns {Start | null} */
export function startFrom(name, widths, seed) {
  if (Object.hasOwn(networks, name)) return { name, seed, net: networks[name] };
  const made = random(widths, seed, { ...networks.trained, squash: "sigmoid" });
  if (name === "random") return { name, seed, net: made };
  return name === "zero" ? { name, seed, net: zero(made) } : null;
}

/** All numbers of a network in their order: of each layer the weights, row by row, then the
 *  biases.
 *  @param {Network} net */
const rowsOf = (net) => net.layers.flatMap(({ weights, biases }) => [...weights, biases]);

/** What differs from the start, pairs of an index and a value, eight bytes each; null if that is
 *  more than a link holds.
 *  @param {Network} net
 *  @param {Network} start */
function changes(net, start) {
  if (!sameSizes(net, start)) return null;
  const [rows, before] = [rowsOf(net), rowsOf(start)];
  /** @type {[number, number][]} */
  const found = [];
  let first = 0;
  for (const [k, row] of rows.entries()) {
    for (let i = 0; row !== before[k] && i < row.length; i++) {
      if (row[i] !== before[k][i]) found.push([first + i, row[i]]);
      if (found.length > MOST) return null;
    }
    first += row.length;
  }
  const view = new DataView(new ArrayBuffer(8 * found.length));
  found.forEach(([i, v], k) => {
    view.setUint32(8 * k, i, true);
    view.setFloat32(8 * k + 4, v, true);
  });
  return new Uint8Array(view.buffer);
}

/** @param {Network} start  @param {Uint8Array} diff */
function withChanges(start, diff) {
  const net = copied(start);
  const rows = rowsOf(net);
  const view = new DataView(diff.buffer);
  let [row, first] = [0, 0];
  for (let at = 0; at + 8 <= diff.length; at += 8) {
    const [i, v] = [view.getUint32(at, true), view.getFloat32(at + 4, true)];
    while (row < rows.length && i >= first + rows[row].length) first += rows[row++].length;
    if (row === rows.length || i < first || !Number.isFinite(v)) return null;
    rows[row][i - first] = v;
  }
  return net;
}

/** The fragment of a link to this state, and what of it a link cannot hold.
 *  @param {State} state
 *  @param {Float32Array} image  what the network sees */
export function toFragment({ drawing, net, start, chosen, framed, compare, safe, scene }, image) {
  const parts = new Map();
  if (scene) parts.set("scene", scene);
  if (drawing.ready !== undefined) parts.set("digit", drawing.ready);
  else parts.set("drawing", isBlank(drawing) ? "" : base64(image.map((v) => Math.round(255 * v))));
  const linkable = start.name !== "file";
  if (linkable) parts.set("network", start.name);
  if (start.name === "random") parts.set("seed", start.seed);
  if (["random", "zero"].includes(start.name)) parts.set("sizes", sizes(start.net).join("-"));
  const diff = linkable ? changes(net, start.net) : null;
  if (diff?.length) parts.set("dials", base64(diff));
  if (net.squash !== start.net.squash) parts.set("squash", net.squash);
  if (net.off.size) parts.set("off", [...net.off].join("."));
  if (chosen) parts.set("neuron", chosen.join("-"));
  if (!framed) parts.set("framed", 0);
  if (compare) parts.set("compare", 1);
  if (safe) parts.set("safe", 1);
  const text = [...parts].map(([name, value]) => `${name}=${value}`).join("&");
  return { fragment: `#${text}`, whole: diff !== null };
}

/** The state that a link asks for: what it does not name stays as it is, and what it names in a
 *  way that makes no sense.
 *  @param {string} fragment
 *  @param {State} state
 *  @returns {State} */
export function fromFragment(fragment, state) {
  const parts = new URLSearchParams(fragment.slice(1));
  /** @param {string} name */
  const flag = (name) =>
    ["0", "1"].includes(parts.get(name) ?? "") ? parts.get(name) === "1" : null;
  const next = { ...state, scene: parts.get("scene") ?? state.scene };
  next.drawing = drawingIn(parts) ?? state.drawing;

  const named = parts.get("network");
  if (named !== null) {
    const widths = (parts.get("sizes") ?? "784-16-16-10").split("-").map(Number);
    const hidden = widths.slice(1, -1);
    const sound =
      widths[0] === PIXELS &&
      widths[widths.length - 1] === 10 &&
      hidden.length <= DEEPEST &&
      hidden.every((n) => Number.isInteger(n) && n > 0 && n <= WIDEST);
    const start = sound && startFrom(named, widths, Number(parts.get("seed")) >>> 0);
    if (start) Object.assign(next, { start, net: start.net, chosen: null });
    const diff = unwritten(parts.get("dials"));
    if (start && diff) next.net = withChanges(start.net, diff) ?? start.net;
  }
  const squash = parts.get("squash");
  if (squash && Object.hasOwn(SQUASHES, squash)) next.net = { ...next.net, squash };
  /** @param {string} text  @returns {Neuron | null} */
  const neuron = (text) => {
    const [layer, n] = text.split("-").map(Number);
    return hasNeuron(next.net, [layer, n]) ? [layer, n] : null;
  };
  const off = (parts.get("off") ?? "").split(".").flatMap((text) => {
    const one = neuron(text);
    return one && one[0] < next.net.layers.length ? [one.join("-")] : [];
  });
  if (off.length) next.net = { ...next.net, off: new Set(off) };
  if (parts.has("neuron")) next.chosen = neuron(parts.get("neuron") ?? "");
  next.framed = flag("framed") ?? (named === null ? state.framed : true);
  next.compare = flag("compare") ?? state.compare;
  next.safe = flag("safe") ?? state.safe;
  return next;
}

/** @param {URLSearchParams} parts */
function drawingIn(parts) {
  const k = Number(parts.get("digit") ?? NaN);
  if (digits[k]) return over(digits[k].image, k);
  if (parts.get("drawing") === "") return BLANK;
  const image = unwritten(parts.get("drawing"));
  return image?.length === PIXELS ? over(Float32Array.from(image, (v) => v / 255)) : null;
}

/** @param {string | null} letters */
function unwritten(letters) {
  try {
    return letters ? bytes(letters) : null;
  } catch {
    return null;
  }
}
