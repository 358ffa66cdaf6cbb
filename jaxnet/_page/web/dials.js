// Where the dials begin and how they go back, the squashing function, and how all is shown.

import { PIXELS } from "./drawing.js";
import { given } from "./embedded.js";
import { DEEPEST, WIDEST, startFrom } from "./links.js";
import { count, sizes } from "./network.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./links.js").State} State */

/** A button that does nothing now keeps the focus.
 *  @param {(id: string) => any} byId
 *  @param {string} id
 *  @param {boolean} off */
export const setOff = (byId, id, off) => (byId(id).ariaDisabled = String(off));

/**
 * @typedef {object} Dialed
 * @property {() => State} now
 * @property {(net: Network) => void} turn
 * @property {(start: State["start"]) => void} begin
 * @property {(change: Partial<State>) => void} set
 * @property {() => void} changed
 * @property {(sentence: string) => void} report
 */

/** @param {(id: string) => any} byId  @param {Dialed} page */
export function dials(byId, { now, turn, begin, set, changed, report }) {
  byId("reset").addEventListener("click", () => {
    if (now().net !== now().start.net) begin(now().start);
  });
  byId("reset-neuron").addEventListener("click", () => {
    const { net, start, chosen } = now();
    if (!chosen || net === start.net) return;
    const [layer, n] = chosen;
    const [own, theirs] = [net.layers[layer - 1], start.net.layers[layer - 1]];
    const off = new Set([...net.off].filter((name) => name !== chosen.join("-")));
    const reset = {
      weights: own.weights.with(n, theirs.weights[n]),
      biases: own.biases.with(n, theirs.biases[n]),
    };
    turn({ ...net, layers: net.layers.with(layer - 1, reset), off });
  });

  for (const [name, title] of given.networks) byId("start").append(new Option(title, name));
  byId("start").append(
    new Option("all dials at zero", "zero"),
    new Option("random dials", "random"),
    new Option("dials turned since", ""),
  );
  /** @param {string} name */
  function startAt(name) {
    const hidden = (byId("hidden").value.match(/\d+/g) ?? []).map(Number);
    const most = Math.max(0, ...hidden);
    if (hidden.length > DEEPEST || most > WIDEST || hidden.includes(0)) {
      const limits = `at most ${DEEPEST} numbers of neurons, from 1 to ${WIDEST}`;
      return report(`Hidden layers: ${limits}, such as 16, 16.`);
    }
    const seed = Math.floor(2 ** 32 * Math.random());
    const start = startFrom(name, [PIXELS, ...hidden, 10], seed);
    if (start) begin(start);
  }
  byId("start").addEventListener("change", () => {
    if (byId("start").value) startAt(byId("start").value);
    else changed();
  });
  byId("hidden").addEventListener("change", () => startAt("random"));
  byId("fresh").addEventListener("click", () => startAt("random"));

  for (const name of ["sigmoid", "relu"]) {
    byId("squash").append(new Option(name.replace("relu", "ReLU"), name));
  }
  byId("squash").addEventListener("change", () =>
    turn({ ...now().net, squash: byId("squash").value }),
  );
  for (const id of ["compare", "safe", "framed"]) {
    byId(id).addEventListener("change", () => set({ [id]: byId(id).checked }));
  }

  return {
    /** @param {State} state */
    show({ net, start, chosen, compare, safe, framed }) {
      setOff(byId, "reset", net === start.net);
      setOff(byId, "reset-neuron", !chosen || net === start.net);
      byId("compare").checked = compare;
      byId("safe").checked = safe;
      byId("framed").checked = framed;
      byId("start").value = net === start.net && start.name !== "file" ? start.name : "";
      if (![...byId("squash").options].some(({ value }) => value === net.squash)) {
        byId("squash").append(new Option(net.squash, net.squash));
      }
      byId("squash").value = net.squash;
    },
    /** What changes only with the sizes. @param {Network} net */
    fit(net) {
      const widths = sizes(net);
      const all = count(net).toLocaleString("en");
      byId("about").textContent = `${widths.join(" → ")} neurons, ${all} dials`;
      byId("hidden").value = widths.slice(1, -1).join(", ");
    },
  };
}
