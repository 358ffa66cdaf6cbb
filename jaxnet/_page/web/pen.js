// Pointing and painting on a grid of numbers, with a pointer or the keyboard.

/** @typedef {import("./drawing.js").Point} Point */

/** The columns and rows of what a canvas shows. @param {HTMLCanvasElement} canvas */
const extent = ({ dataset: { columns, rows } }) => [Number(columns), Number(rows)];

/** Where on a canvas a pointer is, in its cells; the middle of the first is (0, 0).
 *  @param {HTMLCanvasElement} canvas
 *  @param {MouseEvent} event
 *  @returns {Point} */
function place(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const [columns, rows] = extent(canvas);
  /** @param {number} share  @param {number} side */
  const within = (share, side) => Math.min(Math.max(share, 0), 1) * side - 0.5;
  return [
    within((event.clientX - box.left) / box.width, columns),
    within((event.clientY - box.top) / box.height, rows),
  ];
}

/** Puts a cursor around one cell of a grid.
 *  @param {HTMLElement} cursor
 *  @param {number} x
 *  @param {number} y
 *  @param {number} columns
 *  @param {number} rows */
export function pointAt(cursor, x, y, columns, rows) {
  cursor.style.left = `${(100 * x) / columns}%`;
  cursor.style.top = `${(100 * y) / rows}%`;
  cursor.style.width = `${100 / columns}%`;
  cursor.style.height = `${100 / rows}%`;
}

/** @type {(() => void) | null} */
let lifting = null; // lifts the pen that is down, if one is

/** Ends what is being drawn, before anything else changes what it is drawn on. */
export const liftPen = () => lifting?.();

/**
 * @typedef {object} Hand
 * @property {(at: Point) => void} begin  the pen comes down
 * @property {(at: Point) => void} move
 * @property {() => void} end
 * @property {(at: Point) => void} [at]  where the cursor is now
 * @property {(at: Point, down: boolean) => void} say  tells those who cannot see it, after a key
 * @property {() => boolean} [scrolls]  whether a finger scrolls the page instead
 */

/** Calls a hand's functions as a pointer draws, or the keyboard: arrows move a cursor, the space
 *  bar sets the pen down and lifts it.
 *  @param {HTMLCanvasElement} canvas
 *  @param {HTMLElement} cursor
 *  @param {Hand} hand */
export function pen(
  canvas,
  cursor,
  { begin, move, end, at = () => {}, say, scrolls = () => false },
) {
  /** @type {number | "keys" | null} */
  let down = null; // the pointer that draws
  let [x, y] = [0, 0];

  const show = () => {
    const [columns, rows] = extent(canvas);
    x = Math.min(Math.max(Math.round(x), 0), columns - 1);
    y = Math.min(Math.max(Math.round(y), 0), rows - 1);
    pointAt(cursor, x, y, columns, rows);
    cursor.classList.toggle("down", down === "keys");
    at([x, y]);
  };
  const toMiddle = () => {
    const [columns, rows] = extent(canvas);
    [x, y] = [columns / 2, rows / 2];
    show();
  };
  const lift = () => {
    if (down === null) return;
    [down, lifting] = [null, null];
    end();
    show();
  };
  /** @param {number | "keys"} by  @param {Point} where */
  const lower = (by, where) => {
    liftPen();
    [down, lifting] = [by, lift];
    [x, y] = where;
    begin(where);
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    if (scrolls()) {
      [x, y] = place(canvas, event);
      show();
      return;
    }
    canvas.setPointerCapture(event.pointerId);
    lower(event.pointerId, place(canvas, event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== down) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const e of events.length ? events : [event]) move(place(canvas, e));
    [x, y] = place(canvas, event);
    show();
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    canvas.addEventListener(name, (event) => event.pointerId === down && lift());
  }
  canvas.addEventListener("blur", () => down === "keys" && lift());
  canvas.addEventListener("keydown", (event) => {
    /** @type {Record<string, Point>} */
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) {
      x += step[0];
      y += step[1];
      show();
      if (down === "keys") move([x, y]);
    } else if (event.key === " " || event.key === "Enter") {
      if (down === "keys") lift();
      else if (down === null) lower("keys", [x, y]);
    } else if (event.key === "Escape" && down === "keys") {
      lift();
      event.stopPropagation();
    } else return;
    event.preventDefault();
    say([x, y], down !== null);
  });
  return { show, toMiddle };
}
