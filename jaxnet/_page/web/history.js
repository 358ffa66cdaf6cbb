// A value that changes, and all that it was: values are never written into once they are here.

export function history(value) {
  const [past, future] = [[], []];
  const back = 100; // steps that are kept
  return {
    get now() {
      return value;
    },
    /** The next value; what it was can be had back. */
    push(next) {
      past.push(value);
      if (past.length > back) past.shift();
      future.length = 0;
      value = next;
    },
    /** The same step as before, further on: while a pointer draws or a slider slides. */
    replace(next) {
      value = next;
    },
    undo() {
      if (past.length) {
        future.push(value);
        value = past.pop();
      }
    },
    redo() {
      if (future.length) {
        past.push(value);
        value = future.pop();
      }
    },
    get canUndo() {
      return past.length > 0;
    },
    get canRedo() {
      return future.length > 0;
    },
  };
}
