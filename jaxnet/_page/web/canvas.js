// A canvas that is drawn on in the page's own pixels, and the colors of what is drawn.

export const LIT = "#ffd84a"; // what stands out
export const BLUE = "#7cc6f2"; // what stands beside it

/** Clears a canvas and makes it as sharp as the screen.
 *  @param {HTMLCanvasElement} canvas */
export function sharp(canvas) {
  const density = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * density, height * density].map(Math.round);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(density, 0, 0, density, 0, 0);
  return { context, width, height };
}
