// The forward pass of jaxnet/network.py, repeated: a change there wants one here. A layer is { weights, biases }, the weights row by
// row: row n holds the connections into neuron n. A network is { layers, squash, lastSquash }.

const each = (f) => (z) => z.map(f);
const sigmoid = (z) => 1 / (1 + Math.exp(-z));

function softmax(z) {
  const most = Math.max(...z);
  const powers = z.map((v) => Math.exp(v - most));
  const sum = powers.reduce((p, q) => p + q);
  return powers.map((p) => p / sum);
}

// Every squashing function by name; the entries come from jaxnet/formats/_squashes.py.
export const SQUASHES = {/* squashes */};

export const inputs = (layer) => layer.weights.length / layer.biases.length;
export const row = (layer, n) => layer.weights.subarray(n * inputs(layer), (n + 1) * inputs(layer));
export const sizes = (net) => [inputs(net.layers[0]), ...net.layers.map((l) => l.biases.length)];
export const count = (net) =>
  net.layers.reduce((sum, l) => sum + l.weights.length + l.biases.length, 0);

/** The weighted sums w a + b of one layer. */
function weightedSums({ weights, biases }, a) {
  const z = Float64Array.from(biases);
  for (let n = 0, i = 0; n < z.length; n++) {
    for (let j = 0; j < a.length; j++, i++) z[n] += weights[i] * a[j];
  }
  return z;
}

/** Every layer's { z, a } for one image; the image itself is the first, without z. */
export function run(net, image) {
  const layers = [{ a: image }];
  net.layers.forEach((layer, n) => {
    const z = weightedSums(layer, layers[n].a);
    const last = n === net.layers.length - 1;
    layers.push({ z, a: SQUASHES[last ? net.lastSquash : net.squash](z) });
  });
  return layers;
}

/** The index of the largest, the first of equals: of logits, since saturated outputs tie. */
export const brightest = (z) => z.reduce((best, v, n) => (v > z[best] ? n : best), 0);

/** A single output stands for 1 where its logit exceeds zero, and else for 0. */
export const predicted = (z) => (z.length === 1 ? Number(z[0] > 0) : brightest(z));

export const predict = (net, image) => predicted(run(net, image).at(-1).z);

/** The same network with one layer's arrays copied, to be written into. */
export function unshared(net, n) {
  const { weights, biases } = net.layers[n];
  const copy = { weights: weights.slice(), biases: biases.slice() };
  return { ...net, layers: net.layers.with(n, copy) };
}

export const zero = (net) => filled(net, () => 0);

/** Weights uniform in ±sqrt(6 / (in + out)), biases zero (Glorot and Bengio, 2010, equation 16). */
export const random = (net) =>
  filled(net, (n_in, n_out) => (2 * Math.random() - 1) * Math.sqrt(6 / (n_in + n_out)));

function filled(net, weight) {
  const layers = net.layers.map((layer) => ({
    weights: layer.weights.map(() => weight(inputs(layer), layer.biases.length)),
    biases: new Float32Array(layer.biases.length),
  }));
  return { ...net, layers };
}
