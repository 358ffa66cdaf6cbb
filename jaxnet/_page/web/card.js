// A card beside a neuron: its name, its activation and bias, and its weights as a grid.

import { number, scale, signed } from "./grids.js";
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Neuron} Neuron */

/** @param {HTMLElement} part  @param {(neuron: Neuron) => string} names */
export function card(part, names) {
  /** @param {string} name  @returns {any} */
  const find = (name) => part.querySelector(`[data-is="${name}"]`);
  return {
    /** @param {{ net: Network, layers: import("./network.js").Run, neuron: Neuron, place: { x: number, y: number }, pair: import("./grids.js").Pair, marks: boolean }} view */
    show({ net, layers, neuron, place, pair, marks }) {
      const [layer, n] = neuron;
      const weights = net.layers[layer - 1].weights[n];
      find("card-name").textContent = names(neuron);
      find("card-activation").textContent = number(layers[layer].a[n], 3);
      find("card-bias").textContent = number(net.layers[layer - 1].biases[n]);
      signed(find("card-weights"), weights, scale(weights), pair, marks);
      part.hidden = false;
      const room = "calc(100% - min(11rem, 45%) - 0.3rem)";
      const beside = (/** @type {number} */ share) => `min(calc(${100 * share}% + 2rem), ${room})`;
      part.style.left = place.x < 0.55 ? beside(place.x) : "auto";
      part.style.right = place.x < 0.55 ? "auto" : beside(1 - place.x);
      part.style.top = place.y < 0.5 ? `${100 * place.y * 0.6}%` : "auto";
      part.style.bottom = place.y < 0.5 ? "auto" : `${100 * (1 - place.y) * 0.6}%`;
    },
    hide() {
      part.hidden = true;
    },
  };
}
