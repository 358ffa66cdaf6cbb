// Everything that was done, in its order: states, none of which is written into once it is here.

/** @template State
 *  @param {State} state
 *  @param {(state: State) => number} limit  how many steps back to keep */
export function history(state, limit) {
  /** @type {State[]} */
  const past = [];
  /** @type {State[]} */
  const future = [];
  /** @type {unknown} */
  let gesture = null; // of the last step: what belongs to it goes on with that step
  return {
    get now() {
      return state;
    },
    /** The next state; those of one gesture, such as a stroke, are one step.
     *  @param {State} next
     *  @param {unknown} [by] */
    push(next, by = null) {
      if (by === null || by !== gesture) {
        past.push(state);
        past.splice(0, past.length - limit(next));
        future.length = 0;
      }
      [state, gesture] = [next, by];
    },
    /** What the present state has become without anybody's doing. @param {State} next */
    replace(next) {
      state = next;
    },
    undo() {
      const before = past.pop();
      if (before === undefined) return;
      future.push(state);
      [state, gesture] = [before, null];
    },
    redo() {
      const next = future.pop();
      if (next === undefined) return;
      past.push(state);
      [state, gesture] = [next, null];
    },
    get canUndo() {
      return past.length > 0;
    },
    get canRedo() {
      return future.length > 0;
    },
  };
}
