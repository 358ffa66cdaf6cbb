// How all looks: light or dark, which pair of colors, and signs that need no color.

import { given } from "./embedded.js";

const contrast = matchMedia("(prefers-contrast: more), (forced-colors: active)");
const forced = matchMedia("(forced-colors: active)");

/** Whether the system asks for more contrast. */
export const wantsContrast = () => contrast.matches;

/** @param {(id: string) => any} byId
 *  @param {{ safe: () => boolean, wish: (safe: boolean) => void, render: () => void }} page */
export function looks(byId, page) {
  let printing = false;
  const pair = () => given.pairs[page.safe() || printing ? "safe" : "video"];

  /** Gives the style sheet the colors of positive and of negative. */
  function paint() {
    const [positive, negative] = pair();
    document.documentElement.style.setProperty("--positive", positive);
    document.documentElement.style.setProperty("--negative", negative);
  }
  contrast.addEventListener("change", () => page.wish(contrast.matches));
  for (const [event, on] of /** @type {const} */ ([
    ["beforeprint", true],
    ["afterprint", false],
  ])) {
    addEventListener(event, () => {
      printing = on;
      paint();
      page.render();
    });
  }
  byId("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const theme = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
    document.documentElement.dataset.theme = theme === "dark" ? "light" : "dark";
  });

  return {
    pair,
    paint,
    /** Whether negative numbers are marked. */
    marks: () => page.safe() || printing || forced.matches,
  };
}
