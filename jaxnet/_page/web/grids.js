// Grids of numbers on a canvas, one pixel of the canvas a number; and pointing and painting there.

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Columns and rows for so many numbers: a square, or all of it that is needed. */
function shape(n) {
  const columns = Math.ceil(Math.sqrt(n));
  return [columns, Math.ceil(n / columns)];
}

/** A number as the page writes it: with a true minus, and short however large it is. */
export function number(v, digits = 2) {
  const text = Math.abs(v) < 1e5 ? v.toFixed(digits) : v.toExponential(2);
  return Number(text) === 0 ? text.replace("-", "") : text.replaceAll("-", "−");
}

function fill(canvas, n, color) {
  const [columns, rows] = shape(n);
  if (canvas.width !== columns || canvas.height !== rows) {
    [canvas.width, canvas.height] = [columns, rows];
    canvas.style.aspectRatio = `${columns} / ${rows}`;
  }
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, rows);
  for (let i = 0; i < n; i++) {
    const [r, g, b] = color(i);
    picture.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
}

/** Activations: black is 0, white 1. */
export function gray(canvas, a) {
  fill(canvas, a.length, (i) => Array(3).fill(255 * Math.min(Math.max(a[i], 0), 1)));
}

/** The magnitude to show in full color: few numbers are larger; as palette.scale. */
export function scale(values) {
  const seen = Float64Array.from(values, Math.abs).filter((v) => v > 0).sort();
  if (!seen.length) return 1;
  const largest = seen[seen.length - 1];
  const at = 0.97 * (seen.length - 1);
  const [below, above] = [seen[Math.floor(at)], seen[Math.ceil(at)]];
  let reached = below + (at % 1) * (above - below); // the 97th percentile
  if (largest < 1.5 * reached) reached = largest; // and so none is beyond
  const unit = 10 ** (Math.floor(Math.log10(reached)) - 1);
  return Number((Math.ceil(reached / unit - 1e-9) * unit).toPrecision(2));
}

/** Numbers around zero: black is 0, full color `most` and beyond; colors are those of + and −. */
export function signed(canvas, values, most, pair) {
  const colors = pair.map(rgb);
  fill(canvas, values.length, (i) => {
    const share = Math.min(Math.abs(values[i]) / most, 1) || 0;
    return colors[values[i] < 0 ? 1 : 0].map((c) => c * share);
  });
}

/** Where on a canvas a pointer is, in its pixels; the middle of the first is (0, 0). */
function place(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const within = (share, side) => Math.min(Math.max(share, 0), 1) * side - 0.5;
  return [
    within((event.clientX - box.left) / box.width, canvas.width),
    within((event.clientY - box.top) / box.height, canvas.height),
  ];
}

let lifting = null; // lifts the pen that is down, if one is

/** Ends what is being drawn, before anything else changes what it is drawn on. */
export const liftPen = () => lifting?.();

/** Calls begin(place), move(place) and end() as a pointer draws, or the keyboard: arrows move a
 *  cursor, the space bar sets the pen down and lifts it. Where the cursor is, at(place) is told;
 *  say(sentence) is for those who cannot see it. */
export function pen(canvas, cursor, { begin, move, end, at = () => {}, say }) {
  let down = null; // the pointer that draws, or "keys"
  let [x, y] = [0, 0];

  const show = () => {
    x = Math.min(Math.max(Math.round(x), 0), canvas.width - 1);
    y = Math.min(Math.max(Math.round(y), 0), canvas.height - 1);
    cursor.style.left = `${(100 * x) / canvas.width}%`;
    cursor.style.top = `${(100 * y) / canvas.height}%`;
    cursor.style.width = `${100 / canvas.width}%`;
    cursor.style.height = `${100 / canvas.height}%`;
    cursor.classList.toggle("down", down === "keys");
    at([x, y]);
  };
  const toMiddle = () => {
    [x, y] = [canvas.width / 2, canvas.height / 2];
    show();
  };
  const lift = () => {
    if (down === null) return;
    [down, lifting] = [null, null];
    end();
    show();
  };
  const lower = (by, where) => {
    liftPen();
    [down, lifting] = [by, lift];
    [x, y] = where;
    begin(where);
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
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
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(name, (event) => event.pointerId === down && lift());
  }
  canvas.addEventListener("blur", () => down === "keys" && lift());
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step[event.key]) {
      x += step[event.key][0];
      y += step[event.key][1];
      show();
      if (down === "keys") move([x, y]);
    } else if (event.key === " " || event.key === "Enter") {
      if (down === "keys") lift();
      else if (down === null) lower("keys", [x, y]);
    } else if (event.key === "Escape") lift();
    else return;
    event.preventDefault();
    say(`row ${y + 1}, column ${x + 1}, ${down === null ? "lifted" : "down"}`);
  });
  toMiddle();
  return { show, toMiddle };
}
