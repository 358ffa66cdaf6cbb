// Networks in safetensors, as jaxnet.save writes them; bytes as letters; files for the reader.

import { SQUASHES, inputs, settled, sizes } from "./network.js";
/** @typedef {import("./network.js").Network} Network */

/** Bytes of a file that jaxnet.load reads.
 *  @param {Network} network
 *  @param {Record<string, string>} notes */
export function toSafetensors(network, notes) {
  const net = settled(network);
  const about = { squash: net.squash, last_squash: net.lastSquash, sizes: sizes(net).join("-") };
  /** @type {Record<string, unknown>} */
  const header = { __metadata__: { ...about, ...notes } };
  /** @type {Float32Array[]} */
  const arrays = [];
  let end = 0;
  /** @param {string} name  @param {number[]} shape  @param {Float32Array[]} rows */
  const add = (name, shape, rows) => {
    const from = end;
    for (const row of rows) end += 4 * row.length;
    header[name] = { dtype: "F32", shape, data_offsets: [from, end] };
    arrays.push(...rows);
  };
  net.layers.forEach((layer, n) => {
    const out = layer.biases.length;
    add(`${n}.weights`, [out, inputs(layer)], layer.weights);
    add(`${n}.biases`, [out], [layer.biases]);
  });
  let text = new TextEncoder().encode(JSON.stringify(header));
  const padding = (8 - (text.length % 8)) % 8;
  text = Uint8Array.of(...text, ...Array(padding).fill(32));
  const bytes = new Uint8Array(8 + text.length + end);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  let at = 8 + text.length;
  for (const array of arrays) {
    array.forEach((v, i) => {
      view.setFloat32(at + 4 * i, v, true);
    });
    at += 4 * array.length;
  }
  return bytes;
}

/** @type {Record<string, [bytes: number, number: (view: DataView, at: number) => number]>} */
const READ = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F16: [2, (view, at) => half(view.getUint16(at, true))],
  BF16: [2, (view, at) => brain(view.getUint16(at, true))],
};

/** @param {number} bits */
function half(bits) {
  const [sign, power, part] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (power === 31) return NaN; // or infinite, which is refused as well
  return sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
}

/** @param {number} bits */
function brain(bits) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}

/** The network in a file's bytes; an Error of one sentence if there is none that fits here.
 *  @param {ArrayBuffer} buffer
 *  @param {number} pixels */
export function fromSafetensors(buffer, pixels) {
  try {
    return networkIn(buffer, pixels);
  } catch (error) {
    const why = error instanceof Refusal ? error.message : "it is not a whole safetensors file";
    throw new Error(`This is not a network that can be used here: ${why}.`);
  }
}

class Refusal extends Error {}

/** @param {ArrayBuffer} buffer  @param {number} pixels  @returns {Network} */
function networkIn(buffer, pixels) {
  /** @param {boolean} fits  @param {string} why */
  const demand = (fits, why) => {
    if (!fits) throw new Refusal(why);
  };
  const view = new DataView(buffer);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { __metadata__: about, ...tensors } = header;
  /** @param {unknown} name */
  const known = (name) => typeof name === "string" && Object.hasOwn(SQUASHES, name);
  demand(known(about?.squash) && known(about.last_squash), "its squashing functions are not known");

  /** @param {string} name  @param {number} dimensions  @returns {[Float32Array, number[]]} */
  const read = (name, dimensions) => {
    demand(Object.hasOwn(tensors, name), `${name} is missing`);
    const { dtype, shape, data_offsets: offsets } = tensors[name];
    demand(Object.hasOwn(READ, dtype), `${name} holds no floating-point numbers`);
    /** @param {unknown} v */
    const whole = (v) => typeof v === "number" && Number.isSafeInteger(v) && v >= 0;
    demand(
      [...shape, ...offsets].every(whole) && offsets.length === 2,
      `${name} has no true shape`,
    );
    demand(shape.length === dimensions && !shape.includes(0), `${name} has another shape`);
    const [bytes, number] = READ[dtype];
    const n = shape.reduce((/** @type {number} */ p, /** @type {number} */ q) => p * q);
    const [from, to] = offsets.map((/** @type {number} */ offset) => 8 + length + offset);
    demand(to - from === n * bytes && to <= buffer.byteLength, "it is cut short");
    const values = Float32Array.from({ length: n }, (_, i) => number(view, from + i * bytes));
    demand(values.every(Number.isFinite), `${name} holds a number that is not finite`);
    return [values, shape];
  };
  const layers = [];
  let before = pixels;
  for (let n = 0; n === 0 || Object.hasOwn(tensors, `${n}.weights`); n++) {
    const [weights, [out, n_in]] = read(`${n}.weights`, 2);
    const [biases, [length]] = read(`${n}.biases`, 1);
    demand(
      out === length && n_in === before,
      `layer ${n} has ${out} × ${n_in} weights and ${length} biases, over ${before} inputs`,
    );
    const row = (/** @type {number} */ k) => weights.slice(k * n_in, (k + 1) * n_in);
    layers.push({ weights: Array.from({ length: out }, (_, k) => row(k)), biases });
    before = out;
  }
  demand(Object.keys(tensors).length === 2 * layers.length, "it holds other arrays too");
  demand(before === 10, `it has ${before} outputs, not one for each of the ten digits`);
  return { layers, squash: about.squash, lastSquash: about.last_squash, off: new Set() };
}

/** Gives the reader a file. @param {string} name  @param {Blob} blob */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Bytes from base64, in a link's alphabet or the usual one. @param {string} text */
export function bytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
    c.charCodeAt(0),
  );
}

/** Bytes as base64 in a link's alphabet. @param {ArrayLike<number>} from */
export function base64(from) {
  let text = "";
  for (let i = 0; i < from.length; i++) text += String.fromCharCode(from[i]);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
