// The forward pass of jaxnet/network.py, repeated: a change there wants one here.

/** @typedef {Float32Array | Float64Array} Numbers */
/** @typedef {{ weights: Float32Array[], biases: Float32Array }} Layer  weights[n] are those into neuron n */
/**
 * A network, never written into once it is shown, but by a training run that owns it.
 * @typedef {object} Network
 * @property {Layer[]} layers
 * @property {string} squash  the hidden layers'
 * @property {string} lastSquash
 * @property {ReadonlySet<string>} off  hidden neurons that are switched off, each "layer-neuron"
 */
/** @typedef {{ z: Numbers, a: Numbers }[]} Run  weighted sums and activations; first the image */
/** @typedef {[layer: number, n: number]} Neuron  the layer counted from 1, the neuron from 0 */

/** @param {(z: number) => number} f  @returns {(z: Numbers) => Numbers} */
const each = (f) => (z) => z.map(f);
/** @param {number} z */
const sigmoid = (z) => 1 / (1 + Math.exp(-z));

/** The largest number. @param {Iterable<number>} values  @param {number} [least] */
export function largest(values, least = -Infinity) {
  let most = least;
  for (const v of values) if (v > most) most = v;
  return most;
}
/** @param {Iterable<number>} values */
export function total(values) {
  let sum = 0;
  for (const v of values) sum += v;
  return sum;
}

/** @param {Numbers} z  @returns {Numbers} */
export function softmax(z) {
  const most = largest(z);
  const powers = z.map((v) => Math.exp(v - most));
  const sum = total(powers);
  return powers.map((p) => p / sum);
}

/** Every squashing function by name; those of jaxnet/formats/_squashes.py are put in here.
 *  @type {Record<string, (z: Numbers) => Numbers>} */
export const SQUASHES = { sigmoid: each(sigmoid) };

/** @param {Layer} layer */
export const inputs = (layer) => layer.weights[0].length;
/** @param {Network} net */
export const sizes = (net) => [inputs(net.layers[0]), ...net.layers.map((l) => l.biases.length)];
/** Whether all layers are as wide.
 *  @param {Network} net
 *  @param {Network} other */
export const sameSizes = (net, other) => String(sizes(net)) === String(sizes(other));
/** @param {Network} net  @param {Neuron} neuron */
export const hasNeuron = (net, [layer, n]) =>
  Number.isInteger(n) && n >= 0 && n < (net.layers[layer - 1]?.biases.length ?? 0);
/** @param {Network} net */
export const count = (net) =>
  net.layers.reduce((sum, l) => sum + l.biases.length * (inputs(l) + 1), 0);
/** @param {Network} net  @param {number} layer */
export const squashOf = (net, layer) => (layer === net.layers.length ? net.lastSquash : net.squash);

/** The indices of what is not zero: most pixels are black. @param {Numbers} a */
export function lit(a) {
  const found = new Uint32Array(a.length);
  let n = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== 0) found[n++] = i;
  return found.subarray(0, n);
}

/** The weighted sums w a + b of one layer. @param {Layer} layer  @param {Numbers} a */
function weightedSums({ weights, biases }, a) {
  const z = Float64Array.from(biases);
  const on = lit(a);
  for (let n = 0; n < z.length; n++) {
    const w = weights[n];
    let sum = z[n];
    for (let j = 0; j < on.length; j++) sum += w[on[j]] * a[on[j]];
    z[n] = sum;
  }
  return z;
}

/** The activations of a layer from its sums.
 *  @param {Network} net
 *  @param {number} layer
 *  @param {Numbers} z */
function squashed(net, layer, z) {
  const a = SQUASHES[squashOf(net, layer)](z);
  return net.off.size ? a.map((v, n) => (net.off.has(`${layer}-${n}`) ? 0 : v)) : a;
}

/** Every layer's sums and activations for one image.
 *  @param {Network} net
 *  @param {Numbers} image
 *  @returns {Run} */
export function run(net, image) {
  const layers = [{ z: image, a: image }];
  net.layers.forEach((layer, k) => {
    const z = weightedSums(layer, layers[k].a);
    layers.push({ z, a: squashed(net, k + 1, z) });
  });
  return layers;
}

/** The sums and activations of the last layer. @param {Run} layers */
export const outputs = (layers) => layers[layers.length - 1];

/** The last sums as they would be without a hidden neuron.
 *  @param {Network} net
 *  @param {Run} layers
 *  @param {Neuron} neuron */
export function without(net, layers, [layer, n]) {
  const a = layers[layer].a[n];
  let z = layers[layer + 1].z.map((v, m) => v - net.layers[layer].weights[m][n] * a);
  for (let k = layer + 1; k < net.layers.length; k++) {
    z = weightedSums(net.layers[k], squashed(net, k, z));
  }
  return z;
}

/** The index of the largest, the first of equals: of logits, since saturated outputs tie.
 *  @param {Numbers} z */
export const brightest = (z) => z.indexOf(largest(z));

/** The digit that a network answers; null where several outputs share the largest sum.
 *  @param {Numbers} z */
export function answered(z) {
  const best = brightest(z);
  if (best < 0) return null; // none is a number
  return z.every((v, n) => n === best || v !== z[best]) ? best : null;
}

/** The same network with the numbers into one neuron copied, to be written into.
 *  @param {Network} net
 *  @param {Neuron} neuron
 *  @returns {Network} */
export function unshared(net, [layer, n]) {
  const { weights, biases } = net.layers[layer - 1];
  const copy = { weights: weights.with(n, weights[n].slice()), biases: biases.slice() };
  return { ...net, layers: net.layers.with(layer - 1, copy) };
}

/** All of it copied. @param {Network} net  @returns {Network} */
export const copied = (net) => filled(net, (v) => v);

/** @param {Network} net */
export const zero = (net) => filled(net, () => 0);

/** Weights uniform in ±sqrt(6 / (in + out)), biases zero (Glorot and Bengio, 2010, equation 16).
 *  @param {number[]} widths  of all layers, the pixels first
 *  @param {number} seed
 *  @param {Network} like  whose squashing functions it has */
export function random(widths, seed, like) {
  const uniform = seeded(seed);
  const layers = widths.slice(1).map((out, k) => {
    const reach = Math.sqrt(6 / (widths[k] + out));
    const row = () => Float32Array.from({ length: widths[k] }, () => reach * (2 * uniform() - 1));
    return { weights: Array.from({ length: out }, row), biases: new Float32Array(out) };
  });
  return { ...like, layers, off: new Set() };
}

/** @param {Network} net  @param {(v: number) => number} f  @returns {Network} */
function filled(net, f) {
  const layers = net.layers.map(({ weights, biases }) => ({
    weights: weights.map((row) => row.map(f)),
    biases: biases.map(f),
  }));
  return { ...net, layers };
}

/** The network without its switched-off neurons: no weight leads on from them, which is the same.
 *  @param {Network} net
 *  @returns {Network} */
export function settled(net) {
  if (!net.off.size) return net;
  const to = copied(net);
  for (const name of net.off) {
    const [layer, n] = name.split("-").map(Number);
    for (const row of to.layers[layer].weights) row[n] = 0;
  }
  return { ...to, off: new Set() };
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). @param {number} seed */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
