// Digits drawn from pen strokes, as jaxnet/data/synthetic.py draws them: a change there wants one
// here. The strokes and the ranges of hands come from there with the page.

import { SIDE, ink, measured, placed } from "./drawing.js";

const PIECES = 32; // straight pieces that a digit is drawn with

/** @typedef {import("./drawing.js").Point} Point */
/**
 * @typedef {object} Strokes
 * @property {[name: string, low: number, high: number][]} hand  what differs from hand to hand
 * @property {Point[][][][]} ways  for each digit its ways, each a list of strokes
 * @property {number} often  numbers the ways, each as often as the others
 */
/** @typedef {{ label: number, image: Float32Array }} Example */

/** A digit by a hand: numbers from 0 to 1, where in its range each property lies.
 *  @param {Strokes} strokes
 *  @param {number[]} numbers
 *  @param {number} digit
 *  @returns {Float32Array} */
export function drawDigit({ hand, ways, often }, numbers, digit) {
  const is = Object.fromEntries(
    hand.map(([name, low, high], k) => [name, low + numbers[k] * (high - low)]),
  );
  const own = ways[digit];
  const way = own[Math.min(Math.floor(is.way * often), often - 1) % own.length];
  const lines = way.map((points) => curve(points, PIECES / way.length).map((p) => bent(p, is)));
  const { extent, middle } = measured(lines);
  const size = (is.size * (20 - is.pen)) / extent;
  const [right, down] = [14 + is.right - size * middle[0], 14 + is.down - size * middle[1]];
  return ink(placed(lines, size, right, down), is.pen, SIDE);
}

/** Places on the Catmull-Rom spline through a stroke's points, from -0.5 to 0.5.
 *  @param {Point[]} points
 *  @param {number} pieces
 *  @returns {Point[]} */
function curve(points, pieces) {
  const p = [points[0], ...points, points[points.length - 1]];
  return Array.from({ length: pieces + 1 }, (_, k) => {
    const at = (k * (points.length - 1)) / pieces;
    const i = Math.min(Math.floor(at), points.length - 2);
    const u = at - i;
    const [x, y] = [0, 1].map((axis) => {
      const [a, b, c, d] = [0, 1, 2, 3].map((n) => p[i + n][axis] / 100 - 0.5);
      return b + (u / 2) * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * b - a - 3 * c + d)));
    });
    return [x, y];
  });
}

/** A point of the pen's path, bent, scaled, sheared and rotated as a hand does.
 *  @param {Point} point
 *  @param {Record<string, number>} is
 *  @returns {Point} */
function bent([x, y], is) {
  const swayX = Math.sin(is.sway_xx * x + is.sway_xy * y + is.phase_x);
  const swayY = Math.sin(is.sway_yx * x + is.sway_yy * y + is.phase_y);
  [x, y] = [x + 0.04 * swayX, y + 0.04 * swayY];
  x = is.width * x - is.slant * y;
  const [cos, sin] = [Math.cos(is.turn), Math.sin(is.turn)];
  return [cos * x - sin * y, sin * x + cos * y];
}

/** A random digit. A careless hand goes beyond the ranges, by 70 % on each side.
 *  @param {Strokes} strokes
 *  @param {() => number} uniform
 *  @param {number} [digit]
 *  @param {boolean} [careless]
 *  @returns {Example} */
export function anyDigit(strokes, uniform, digit, careless = false) {
  const label = digit ?? Math.floor(10 * uniform());
  const numbers = strokes.hand.map(([name], k) => {
    const u = uniform();
    return careless && k && name !== "size" ? 2.4 * u - 0.7 : u;
  });
  return { label, image: drawDigit(strokes, numbers, label) };
}
