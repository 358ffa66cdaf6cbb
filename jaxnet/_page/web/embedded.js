// What comes with the page: the networks, how digits are drawn, and the digits of the wall.

import { anyDigit } from "./digits.js";
import { over } from "./drawing.js";
import { bytes } from "./files.js";
import { seeded } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./digits.js").Example} Example */
/** @typedef {import("./links.js").State} State */
/** @typedef {{ layers: { weights: string, biases: string }[], squash: string, lastSquash: string }} Embedded */
/**
 * What jaxnet/_page/__init__.py embeds.
 * @typedef {object} Given
 * @property {[name: string, title: string, net: Embedded][]} networks  the first is shown first
 * @property {Record<string, [name: string, purpose: string][][]>} reasons  what neurons are for, by network and layer
 * @property {{ video: import("./grids.js").Pair, safe: import("./grids.js").Pair }} pairs
 * @property {import("./digits.js").Strokes} strokes
 */

export const PER_DIGIT = 20; // on the wall
const CARELESS = 7; // of them, drawn by a hand that goes beyond what the network learned

/** @type {Given} */
export const given = JSON.parse(document.getElementById("given")?.textContent ?? "");

/** @param {Embedded} embedded  @returns {Network} */
function decode({ layers, squash, lastSquash }) {
  const floats = (/** @type {string} */ text) => new Float32Array(bytes(text).buffer);
  const arrays = layers.map(({ weights, biases }) => {
    const [all, b] = [floats(weights), floats(biases)];
    const n_in = all.length / b.length;
    return { weights: Array.from(b, (_, n) => all.slice(n * n_in, (n + 1) * n_in)), biases: b };
  });
  return { layers: arrays, squash, lastSquash, off: new Set() };
}
/** @type {Record<string, Network>} */
export const networks = Object.fromEntries(
  given.networks.map(([name, , net]) => [name, decode(net)]),
);
const hands = seeded(1);
/** @type {Example[]} */
export const digits = Array.from({ length: 10 * PER_DIGIT }, (_, k) => {
  const careless = k % PER_DIGIT >= PER_DIGIT - CARELESS;
  return anyDigit(given.strokes, hands, Math.floor(k / PER_DIGIT), careless);
});

const [[first]] = given.networks;
export const sample = 3 * PER_DIGIT; // on the pad at first: a 3
/** @type {State} */
export const beginning = {
  drawing: over(digits[sample].image, sample),
  net: networks[first],
  start: { name: first, seed: 0, net: networks[first] },
  chosen: null,
  framed: true,
  compare: false,
  safe: false,
  scene: "",
};
