// Numbers as text, and grids of numbers on a canvas.

/** @typedef {import("./network.js").Numbers} Numbers */
/** @typedef {[positive: string, negative: string]} Pair  of hues */

/** @param {string} hex */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Columns and rows for so many numbers: a square, or all of it that is needed.
 *  @param {number} n */
function shape(n) {
  const columns = Math.ceil(Math.sqrt(n));
  return [columns, Math.ceil(n / columns)];
}

/** A number as the page writes it: with a true minus, and short however large it is.
 *  @param {number} v
 *  @param {number} [digits] */
export function number(v, digits = 2) {
  const text = Math.abs(v) < 1e5 ? v.toFixed(digits) : v.toExponential(2);
  return Number(text) === 0 ? text.replace("-", "") : text.replaceAll("-", "−");
}

/** Draws a cell for each number, `wide` pixels of the canvas wide. The canvas is told its columns
 *  and rows.
 *  @param {HTMLCanvasElement} canvas
 *  @param {number} n
 *  @param {(i: number) => number[]} color
 *  @param {number} [wide]
 *  @param {(i: number) => boolean} [marked]  which cells have a dark middle */
function fill(canvas, n, color, wide = 1, marked = () => false) {
  const [columns, rows] = shape(n);
  if (canvas.width !== columns * wide || canvas.height !== rows * wide) {
    [canvas.width, canvas.height] = [columns * wide, rows * wide];
    canvas.style.aspectRatio = `${columns} / ${rows}`;
    Object.assign(canvas.dataset, { columns, rows });
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const picture = context.createImageData(columns * wide, rows * wide);
  const words = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < n; i++) {
    const [r, g, b] = color(i);
    const word = 0xff000000 | (b << 16) | (g << 8) | r;
    const first = Math.floor(i / columns) * wide * columns * wide + (i % columns) * wide;
    for (let y = 0; y < wide; y++) {
      for (let x = 0; x < wide; x++) words[first + y * columns * wide + x] = word;
    }
    if (marked(i)) {
      const middle = Math.floor(wide / 2);
      for (const y of [middle - 1, middle]) {
        for (const x of [middle - 1, middle]) words[first + y * columns * wide + x] = 0xff000000;
      }
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Activations: black is 0, white 1. @param {HTMLCanvasElement} canvas  @param {Numbers} a */
export function gray(canvas, a) {
  fill(canvas, a.length, (i) => Array(3).fill(255 * Math.min(Math.max(a[i], 0), 1)));
}

/** The magnitude to show in full color: few numbers are larger; as palette.scale.
 *  @param {Numbers} values */
export function scale(values) {
  const seen = Float64Array.from(values, Math.abs)
    .filter((v) => v > 0)
    .sort();
  if (!seen.length) return 1;
  const largest = seen[seen.length - 1];
  const at = 0.97 * (seen.length - 1);
  const [below, above] = [seen[Math.floor(at)], seen[Math.ceil(at)]];
  let reached = below + (at % 1) * (above - below); // the 97th percentile
  if (largest < 1.5 * reached) reached = largest; // and so none is beyond
  const unit = 10 ** (Math.floor(Math.log10(reached)) - 1);
  return Number((Math.ceil(reached / unit - 1e-9) * unit).toPrecision(2));
}

/** Numbers around zero: black is 0, full color `most` and beyond; the hue is the sign, and so is
 *  the dark middle of negative cells where marks are wanted.
 *  @param {HTMLCanvasElement} canvas
 *  @param {Numbers} values
 *  @param {number} most
 *  @param {Pair} pair
 *  @param {boolean} marks */
export function signed(canvas, values, most, pair, marks) {
  const colors = pair.map(rgb);
  fill(
    canvas,
    values.length,
    (i) => {
      const share = Math.min(Math.abs(values[i]) / most, 1) || 0;
      return colors[values[i] < 0 ? 1 : 0].map((c) => c * share);
    },
    marks ? 6 : 1,
    (i) => marks && values[i] < -0.1 * most,
  );
}
