// What a reload brings back: the browser's storage for this page and this tab, where there is one.

import { PIXELS } from "./drawing.js";
import { base64, bytes, fromSafetensors, toSafetensors } from "./files.js";
import { fromFragment, toFragment } from "./links.js";
import { count } from "./network.js";
/** @typedef {import("./links.js").State} State */

const ROOM = 500_000; // dials that there is room for
const shelf = `jaxnet ${location.pathname}`;

/** Keeps what a link can hold, the strokes, and the dials where they are too many for a link.
 *  @param {State} state
 *  @param {Float32Array} image */
export function shelve(state, image) {
  const { fragment, whole } = toFragment(state, image);
  const fits = count(state.net) <= ROOM;
  const net = whole || !fits ? null : base64(toSafetensors(state.net, {}));
  const { base, strokes, ready } = state.drawing;
  const drawn = { base: base && Array.from(base), strokes, ready };
  const loaded = state.start.name === "file"; // of which the link says nothing
  const kept = { hash: location.hash, fragment, net, loaded, drawn };
  try {
    sessionStorage.setItem(shelf, JSON.stringify(kept));
  } catch {
    // There is no storage here, or it is full: a reload begins anew.
  }
}

/** The state that was kept under this very address; null if none was.
 *  @param {State} state
 *  @returns {State | null} */
export function unshelve(state) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(shelf) ?? "null");
    if (kept?.hash !== location.hash) return null;
    const found = fromFragment(kept.fragment, state);
    const { base, strokes, ready } = kept.drawn;
    if (ready === undefined) found.drawing = { base: base && Float32Array.from(base), strokes };
    if (!kept.net) return found;
    const net = { ...fromSafetensors(bytes(kept.net).buffer, PIXELS), off: found.net.off };
    const start = kept.loaded ? { name: "file", seed: 0, net } : found.start;
    return { ...found, net, start };
  } catch {
    return null;
  }
}
