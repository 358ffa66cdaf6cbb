// Learning, as jaxnet.training does it: costs, gradients by backpropagation, optimizers of optax.

import { SQUASHES, brightest, inputs, largest, lit, run, squashOf, total } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Numbers} Numbers */
/** @typedef {import("./digits.js").Example} Example */
/**
 * @typedef {object} Settings
 * @property {string} optimizer
 * @property {string} cost
 * @property {number} rate
 * @property {number} batch  examples a step
 * @property {number} decay  how much of a weight is added to its gradient: L2 regularization
 */
/** @typedef {{ weights: Float64Array[], biases: Float64Array }[]} Sums  of gradients, shaped as the layers */

const sigma = SQUASHES.sigmoid;

/** A cost of the last sums and the right digit, and its gradient in these sums.
 *  @type {Record<string, (z: Numbers, label: number) => [cost: number, slope: Numbers]>} */
export const COSTS = {
  "cross-entropy": (z, label) => {
    const most = largest(z);
    const all = most + Math.log(total(z.map((v) => Math.exp(v - most))));
    return [all - z[label], z.map((v, n) => Math.exp(v - all) - Number(n === label))];
  },
  "squared error": (z, label) => {
    const a = sigma(Float64Array.from(z));
    const off = a.map((v, n) => v - Number(n === label));
    return [total(off.map((v) => v * v)), a.map((v, n) => 2 * off[n] * v * (1 - v))];
  },
};

/** How far step `t` goes for weight `i` of a gradient `g`; m and v are the optimizer's memories.
 *  @type {Record<string, { rate: number, memories: number, step: (m: Float64Array, v: Float64Array, t: number) => (g: number, i: number) => number }>} */
export const OPTIMIZERS = {
  "gradient descent": { rate: 1, memories: 0, step: () => (g) => g },
  momentum: { rate: 0.1, memories: 1, step: (m) => (g, i) => (m[i] = 0.9 * m[i] + g) },
  Adam: {
    rate: 0.01,
    memories: 2,
    step: (m, v, t) => {
      const [known1, known2] = [1 - 0.9 ** t, 1 - 0.999 ** t];
      return (g, i) => {
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.999 * v[i] + 0.001 * g * g;
        return m[i] / known1 / (Math.sqrt(v[i] / known2) + 1e-8);
      };
    },
  },
};

/** A gradient in activations becomes one in sums.
 *  @param {string} squash
 *  @param {Numbers} z
 *  @param {Numbers} a
 *  @param {Numbers} slope */
function throughSquash(squash, z, a, slope) {
  if (squash === "sigmoid") return slope.map((d, n) => d * a[n] * (1 - a[n]));
  if (squash === "softmax") {
    const mean = total(slope.map((d, n) => d * a[n]));
    return slope.map((d, n) => a[n] * (d - mean));
  }
  // Any other acts on each sum alone: the central difference is right to nine digits.
  const h = 1e-5;
  const [above, below] = [h, -h].map((by) => SQUASHES[squash](z.map((v) => v + by)));
  return slope.map((d, n) =>
    z[n] === 0 && squash === "relu" ? 0 : (d * (above[n] - below[n])) / (2 * h),
  );
}

/** Adds the gradient of one example's cost to sums.
 *  @param {Network} net
 *  @param {Example} example
 *  @param {string} cost
 *  @param {Sums} sums
 *  @returns {{ cost: number, right: boolean }} */
function addGradient(net, { image, label }, cost, sums) {
  const layers = run(net, image);
  const z = layers[net.layers.length].z;
  let [paid, slope] = COSTS[cost](z, label);
  for (let k = net.layers.length; k >= 1; k--) {
    const { weights, biases } = sums[k - 1];
    const { a } = layers[k - 1];
    const on = lit(a);
    for (let n = 0; n < slope.length; n++) {
      const [d, row] = [slope[n], weights[n]];
      biases[n] += d;
      if (d !== 0) for (let j = 0; j < on.length; j++) row[on[j]] += d * a[on[j]];
    }
    if (k === 1) break;
    const back = new Float64Array(a.length);
    for (let n = 0; n < slope.length; n++) {
      const row = net.layers[k - 1].weights[n];
      for (let j = 0; j < back.length; j++) back[j] += slope[n] * row[j];
    }
    if (net.off.size) {
      for (let j = 0; j < back.length; j++) if (net.off.has(`${k - 1}-${j}`)) back[j] = 0;
    }
    slope = throughSquash(squashOf(net, k - 1), layers[k - 1].z, a, back);
  }
  return { cost: paid, right: brightest(z) === label };
}

/** @param {Network} net  @returns {Sums} */
const zeros = (net) =>
  net.layers.map((layer) => ({
    weights: layer.weights.map(() => new Float64Array(inputs(layer))),
    biases: new Float64Array(layer.biases.length),
  }));

/** The mean cost of examples and its gradient.
 *  @param {Network} net
 *  @param {Example[]} examples
 *  @param {string} cost */
export function gradient(net, examples, cost) {
  const sums = zeros(net);
  let paid = 0;
  for (const example of examples)
    paid += addGradient(net, example, cost, sums).cost / examples.length;
  for (const array of arrays(sums)) {
    for (let i = 0; i < array.length; i++) array[i] /= examples.length;
  }
  return { cost: paid, gradient: sums };
}

/** Every row of weights and every layer's biases.
 *  @template {Numbers} A
 *  @param {{ weights: A[], biases: A }[]} layers */
const arrays = (layers) => layers.flatMap(({ weights, biases }) => [...weights, biases]);

/** Learns from one example after the other, and steps after each batch; so a run can pause
 *  within a batch, when a frame is due. @param {Network} like  any network of the sizes to train */
export function trainer(like) {
  const sums = zeros(like);
  const flat = arrays(sums);
  /** @type {Float64Array[][]} */
  let memories = [];
  let optimizer = "";
  let [steps, inBatch, paid, right] = [0, 0, 0, 0];

  /** Forgets the batch that has begun. */
  function drop() {
    for (const array of flat) array.fill(0);
    [inBatch, paid, right] = [0, 0, 0];
  }
  /** @param {Network} net  @param {Settings} settings */
  function step(net, settings) {
    if (settings.optimizer !== optimizer) {
      optimizer = settings.optimizer;
      steps = 0;
      const n = OPTIMIZERS[optimizer].memories;
      memories = [0, 1].map((k) => flat.map(({ length }) => new Float64Array(k < n ? length : 0)));
    }
    steps += 1;
    const biases = new Set(net.layers.map((layer) => layer.biases));
    arrays(net.layers).forEach((w, k) => {
      const g = flat[k];
      const by = OPTIMIZERS[optimizer].step(memories[0][k], memories[1][k], steps);
      const decay = biases.has(w) ? 0 : settings.decay;
      for (let i = 0; i < w.length; i++) {
        w[i] -= settings.rate * by(g[i] / inBatch + decay * w[i], i);
      }
    });
    const done = { cost: paid / inBatch, accuracy: right / inBatch };
    drop();
    return done;
  }
  return {
    /** Takes one example; what a step that ends a batch found, else null. Writes into `net`.
     *  @param {Network} net
     *  @param {Example} example
     *  @param {Settings} settings */
    learn(net, example, settings) {
      const found = addGradient(net, example, settings.cost, sums);
      [paid, right] = [paid + found.cost, right + Number(found.right)];
      inBatch += 1;
      return inBatch >= settings.batch ? step(net, settings) : null;
    },
    drop,
  };
}
