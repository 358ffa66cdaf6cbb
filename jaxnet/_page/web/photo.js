// A photo or any other picture of one digit as the network saw digits: light ink on black, 20
// pixels along its longest side, centered by mass in 28×28.

import { SIDE, centered } from "./drawing.js";
import { largest } from "./network.js";

const LOOKED_AT = 280; // pixels along the longer side that are looked at
const INK = 0.4; // of the way from the background to the darkest: what counts as ink
const LONG = 20; // pixels of the digit, the other side in proportion

/** @param {Blob} file */
export async function imageOf(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, LOOKED_AT / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((v) => Math.ceil(scale * v));
  const context = paper(width, height);
  context.fillStyle = "#fff"; // what is transparent is paper
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const gray = Float32Array.from({ length: width * height }, (_, i) => luminance(data, 4 * i));

  // The background is what most pixels have; ink is what differs most from it.
  const background = [...gray].sort((a, b) => a - b)[Math.floor(gray.length / 2)];
  const ink = gray.map((v) => Math.abs(v - background));
  const most = largest(ink, 0);
  if (most < 0.1) return null;
  let [left, top, right, bottom] = [width, height, -1, -1];
  ink.forEach((v, i) => {
    if (v < INK * most) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  });

  // The ink as a picture of its own, which the browser scales.
  const inked = context.createImageData(width, height);
  ink.forEach((v, i) => {
    const share = Math.min(Math.max((v / most - 0.15) / 0.6, 0), 1);
    inked.data.set([255, 255, 255, 255 * share], 4 * i);
  });
  context.putImageData(inked, 0, 0);
  const [wide, tall] = [right - left + 1, bottom - top + 1];
  const size = LONG / Math.max(wide, tall);
  const framed = paper(SIDE, SIDE);
  framed.imageSmoothingQuality = "high";
  const [w, h] = [size * wide, size * tall];
  const [x, y] = [(SIDE - w) / 2, (SIDE - h) / 2];
  framed.drawImage(context.canvas, left, top, wide, tall, x, y, w, h);
  const pixels = framed.getImageData(0, 0, SIDE, SIDE).data;
  return centered(Float32Array.from({ length: SIDE * SIDE }, (_, i) => pixels[4 * i + 3] / 255));
}

/** @param {number} width  @param {number} height */
function paper(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
}

/** Of Rec. 601, as Pillow's "L". @param {Uint8ClampedArray} data  @param {number} i */
const luminance = (data, i) => (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]) / 255;
