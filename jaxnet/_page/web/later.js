// What need not be done at once.

/** A function that acts after a while, once, however often it is called until then.
 *  @param {() => void} act
 *  @param {number} wait  milliseconds */
export function later(act, wait) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      act();
    }, wait);
  };
}
