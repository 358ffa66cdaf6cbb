// For the browser's console: `jaxnet.params`, `jaxnet.activations(image)`, and what else there is.

import { anyDigit, drawDigit } from "./digits.js";
import { digits, given } from "./embedded.js";
import { gradient } from "./learning.js";
import { run, seeded } from "./network.js";
import { readings, rightOnes } from "./wall.js";
/** @typedef {import("./digits.js").Example} Example */
/** @typedef {import("./links.js").State} State */

/** @param {{ now: () => State, image: () => Float32Array, show: (x: Float32Array) => void }} page */
export function offer({ now, image, show }) {
  const net = () => now().net;
  /** @type {any} */ (globalThis).jaxnet = {
    get params() {
      return net();
    },
    get image() {
      return Array.from(image());
    },
    /** Draws 784 numbers on the pad. @param {number[]} x */
    show: (x) => show(Float32Array.from(x)),
    /** Every layer's, the image first. @param {Float32Array} x */
    activations: (x) => run(net(), x).map(({ a }) => Array.from(a)),
    /** The mean cost and its gradient. @param {Example[]} examples  @param {string} cost */
    gradient: (examples, cost) => gradient(net(), examples, cost),
    /** The share that is read right. @param {Example[]} examples */
    accuracy(examples) {
      const runs = examples.map(({ image: x }) => run(net(), x));
      return rightOnes(examples, readings(runs)) / examples.length;
    },
    /** The 200 digits of the wall. */
    wall: () => digits,
    /** New digits, drawn as those that it learns from. @param {number} n  @param {number} seed */
    digits(n, seed) {
      const uniform = seeded(seed);
      return Array.from({ length: n }, () => anyDigit(given.strokes, uniform));
    },
    /** A digit by a hand: fourteen numbers from 0 to 1.
     *  @param {number[]} hand
     *  @param {number} digit */
    draw: (hand, digit) => Array.from(drawDigit(given.strokes, hand, digit)),
  };
}
