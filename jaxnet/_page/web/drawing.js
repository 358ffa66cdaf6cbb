// From a pen's path to an image of 28×28 pixels, framed as MNIST's are.

/** @typedef {[x: number, y: number]} Point  in pixels; the middle of the first is (0, 0) */
/**
 * @typedef {object} Drawing
 * @property {Float32Array | null} base  an image that was there before
 * @property {Point[][]} strokes  over it
 * @property {number} [ready]  the digit of the wall that it is; the first stroke replaces it
 */

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;
const PEN = 2.8; // pixels, the middle of what people's pens are in MNIST
const LARGEST = 1.6; // a small drawing is not enlarged more, else the first touch would fill it all

/** @type {Drawing} */
export const BLANK = { base: null, strokes: [] };
/** @param {Drawing} drawing */
export const isBlank = ({ base, strokes }) => !base && !strokes.length;

/** An image that is there already.
 *  @param {Float32Array} image
 *  @param {number} [ready]
 *  @returns {Drawing} */
export const over = (image, ready) =>
  image.some((v) => v > 0) ? { base: image, strokes: [], ready } : BLANK;

/** A drawing with a stroke that begins.
 *  @param {Drawing} drawing
 *  @param {Point} at
 *  @returns {Drawing} */
export function begun({ base, strokes, ready }, at) {
  return { base: ready === undefined ? base : null, strokes: [...strokes, [at]] };
}

/** How much of each pixel a round pen covers on its way along straight pieces.
 *  @param {Point[][]} strokes
 *  @param {number} [pen]
 *  @param {number} [side] */
export function ink(strokes, pen = PEN, side = SIDE) {
  const image = new Float32Array(side * side);
  const reach = pen / 2 + 0.5;
  for (const points of strokes) {
    points.forEach(([x1, y1], k) => {
      const [x0, y0] = points[Math.max(k - 1, 0)];
      const [dx, dy] = [x1 - x0, y1 - y0];
      const length2 = Math.max(dx * dx + dy * dy, 1e-6);
      const left = Math.max(0, Math.ceil(Math.min(x0, x1) - reach));
      const right = Math.min(side - 1, Math.floor(Math.max(x0, x1) + reach));
      const top = Math.max(0, Math.ceil(Math.min(y0, y1) - reach));
      const bottom = Math.min(side - 1, Math.floor(Math.max(y0, y1) + reach));
      for (let y = top; y <= bottom; y++) {
        for (let x = left; x <= right; x++) {
          const t = ((x - x0) * dx + (y - y0) * dy) / length2;
          const s = t < 0 ? 0 : t > 1 ? 1 : t;
          const [offX, offY] = [x - x0 - s * dx, y - y0 - s * dy];
          const covered = reach - Math.sqrt(offX * offX + offY * offY);
          const i = y * side + x;
          if (covered > image[i]) image[i] = covered < 1 ? covered : 1;
        }
      }
    });
  }
  return image;
}

/** The image as drawn; framed, also what the network is given.
 *  @param {Drawing} drawing
 *  @param {boolean} framed */
export function toImage({ base, strokes }, framed) {
  if (!base) return ink(framed ? asMnist(strokes) : strokes);
  const drawn = ink(strokes);
  const image = base.map((v, i) => Math.max(v, drawn[i]));
  return framed && strokes.length ? centered(image) : image;
}

/** The strokes, 20 pixels along the longest side, their middle of mass in the image's middle.
 *  @param {Point[][]} strokes */
function asMnist(strokes) {
  if (!strokes.length) return strokes;
  const { box, extent, middle } = measured(strokes);
  const scale = Math.min((20 - PEN) / extent, LARGEST);
  const [right, down] = box.map(([low, high], axis) => {
    const wanted = SIDE / 2 - scale * middle[axis];
    const margin = PEN / 2 - 0.5; // nothing is pushed over the edge
    return Math.min(Math.max(wanted, margin - scale * low), SIDE - 1 - margin - scale * high);
  });
  return placed(strokes, scale, right, down);
}

/** The box around strokes, its longer side, and their middle of mass.
 *  @param {Point[][]} strokes */
export function measured(strokes) {
  const points = strokes.flat();
  const box = [0, 1].map((axis) => {
    const along = points.map((p) => p[axis]);
    return [Math.min(...along), Math.max(...along)];
  });
  const extent = Math.max(...box.map(([low, high]) => high - low));
  let [mass, x, y] = [0, 0, 0];
  for (const stroke of strokes) {
    stroke.forEach(([x1, y1], k) => {
      const [x0, y0] = stroke[Math.max(k - 1, 0)];
      const length = Math.hypot(x1 - x0, y1 - y0) + 1e-6; // so that a dot has mass too
      mass += length;
      x += (length * (x0 + x1)) / 2;
      y += (length * (y0 + y1)) / 2;
    });
  }
  return { box, extent, middle: [x / mass, y / mass] };
}

/** Strokes scaled, then moved.
 *  @param {Point[][]} strokes
 *  @param {number} scale
 *  @param {number} right
 *  @param {number} down
 *  @returns {Point[][]} */
export const placed = (strokes, scale, right, down) =>
  strokes.map((stroke) => stroke.map(([x, y]) => [scale * x + right, scale * y + down]));

/** The image moved by whole pixels, so that its middle of mass is nearest to the middle.
 *  @param {Float32Array} image */
export function centered(image) {
  let [mass, middleX, middleY] = [0, 0, 0];
  image.forEach((v, i) => {
    mass += v;
    middleX += v * (i % SIDE);
    middleY += v * Math.floor(i / SIDE);
  });
  if (!mass) return image;
  const right = Math.round(SIDE / 2 - middleX / mass);
  const down = Math.round(SIDE / 2 - middleY / mass);
  return image.map((_, i) => {
    const [x, y] = [(i % SIDE) - right, Math.floor(i / SIDE) - down];
    return x >= 0 && x < SIDE && y >= 0 && y < SIDE ? image[y * SIDE + x] : 0;
  });
}

/** Weights for an edge from one place to another: positive along it, negative on both sides. (1 -
 *  v²) exp(-(u² + v²) / 2), u along and v across in half sizes, as jaxnet.design.edge.
 *  @param {Point} from
 *  @param {Point} to
 *  @param {number} width
 *  @param {number} [side] */
export function edge([x0, y0], [x1, y1], width, side = SIDE) {
  const length = Math.max(Math.hypot(x1 - x0, y1 - y0), width);
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return Float32Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [(i % side) - (x0 + x1) / 2, Math.floor(i / side) - (y0 + y1) / 2];
    const u = (x * cos + y * sin) / (length / 2);
    const v = (y * cos - x * sin) / (width / 2);
    return (1 - v * v) * Math.exp(-(u * u + v * v) / 2);
  });
}
