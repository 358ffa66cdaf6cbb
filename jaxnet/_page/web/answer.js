// The answer: the digit, ten bars, and buttons to teach which of them is right.

import { largest } from "./network.js";
import { number } from "./grids.js";
/** @typedef {import("./network.js").Numbers} Numbers */

/** Writes a text where it is not there yet: else the browser would lay out the page anew.
 *  @param {HTMLElement} part
 *  @param {string} text */
function write(part, text) {
  if (part.textContent !== text) part.textContent = text;
}

/** @param {(id: string) => any} byId  @param {(digit: number) => void} teach */
export function answers(byId, teach) {
  const bars = Array.from({ length: 10 }, (_, digit) => {
    const line = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.innerHTML = `<b>${digit}</b><span class="bar"><i></i><em></em></span><span class="value"></span>`;
    button.title = `If this is a ${digit}: take one step towards that answer`;
    button.addEventListener("click", () => teach(digit));
    line.append(button);
    byId("bars").append(line);
    /** @param {string} name  @returns {any} */
    const part = (name) => button.querySelector(name);
    return { button, line, own: part("i"), other: part("em"), value: part(".value") };
  });
  return {
    /** @param {Numbers} a  the outputs
     *  @param {number | null} answer
     *  @param {string} why  there is none
     *  @param {Numbers | null} theirs  another network's outputs */
    show(a, answer, why, theirs) {
      const most = largest(a, 1);
      /** @param {number} v */
      const width = (v) => `${100 * Math.min(Math.max(v / most, 0), 1)}%`;
      write(byId("answer"), String(answer ?? "–"));
      write(byId("why"), why);
      bars.forEach(({ line, own, other, value }, digit) => {
        line.classList.toggle("brightest", digit === answer);
        own.style.width = width(a[digit]);
        other.style.left = theirs ? width(theirs[digit]) : "-100%";
        write(value, number(a[digit]));
      });
    },
    /** What need not be said sixty times a second. @param {Numbers} a */
    describe(a) {
      bars.forEach(({ button }, digit) => {
        button.ariaLabel = `${digit}, activation ${number(a[digit])}; teach that this is a ${digit}`;
      });
    },
  };
}
