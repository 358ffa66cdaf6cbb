"""Reads changed files until the time is up; fails if one does not end in a value or a sentence.

Input `n` of a kind and a seed is always the same, so `--only n` reads one again. Each kind is read
in a process of its own, which a watchdog ends where a file takes too long or too much memory.
"""

import argparse
import ctypes
import multiprocessing as mp
import os
import sys
import tempfile
import time
import traceback
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

from tests.fuzz.reading import MOST_FAULTS, NAME, made, read_many

MOST_SECONDS = 10  # for one file; on a machine that does other things besides


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--seconds", type=float, default=5, help="for each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this input alone, and show what it says")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"  # its default needs TensorFlow
    from tests.fuzz.kinds import KINDS

    unknown = {*options.kinds} - {*KINDS}
    if unknown:
        parser.error(f"expected kinds of {', '.join(KINDS)}; got {', '.join(unknown)}")
    if options.only is not None:
        return show(options)
    total, bad = 0, 0
    for name in options.kinds or KINDS:
        n, faults = watch(name, options.seed, options.seconds, KINDS[name].most_bytes)
        print(f"{name:12} {n:10,} inputs, {len(faults)} faults", flush=True)
        for at, what in faults.items():
            print(f"  python -m tests.fuzz {name} --seed {options.seed} --only {at}: {what}")
        total, bad = total + n, bad + len(faults)
    print(f"{'all':12} {total:10,} inputs, {bad} faults")
    return int(bad > 0)


def watch(name, seed, seconds, most_bytes):
    """Reads one kind in child processes; returns how many inputs, and faults by number."""
    faults, first, until = {}, 0, None
    spawn = mp.get_context("spawn")  # a fork would copy JAX's threads
    while until is None or (time.monotonic() < until and len(faults) < MOST_FAULTS):
        at, said = RawValue(ctypes.c_long, -1), spawn.SimpleQueue()
        left = seconds if until is None else until - time.monotonic()
        process = spawn.Process(target=read_many, args=(name, seed, first, left, at, said))
        process.start()
        before, since, base, fault = -1, time.monotonic(), None, None
        while process.is_alive() and fault is None:
            process.join(0.05)
            if at.value < 0:
                continue
            until = until or time.monotonic() + seconds
            if at.value != before:
                before, since = at.value, time.monotonic()
            elif time.monotonic() - since > MOST_SECONDS:
                fault = f"takes more than {MOST_SECONDS} s"
            if size := resident(process.pid):
                base = base or size
                if size - base > most_bytes:
                    fault = f"takes {size - base:,} bytes"
            faults |= taken_from(said)
        process.kill()
        process.join()
        faults |= taken_from(said)
        if fault is None and process.exitcode == 0:
            return at.value + 1, faults
        faults[at.value] = fault or f"ends the process with {process.exitcode}"
        if at.value < 0:
            break
        first = at.value + 1
    return first, faults


def taken_from(said):
    """The faults that a child has told so far."""
    faults = {}
    while not said.empty():
        number, what = said.get()
        faults[number] = what
    return faults


def resident(pid):
    """The memory of a process, in bytes; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def show(options):
    """Reads one input in this process."""
    from tests.fuzz.kinds import KINDS

    (name,) = options.kinds
    kind = KINDS[name]
    content = made(kind, kind.seeds(), name, options.seed, options.only)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME + kind.ending)
        for reader in kind.readers:
            path.write_bytes(content)
            try:
                reader(path)
            except Exception:
                traceback.print_exc()
    return 0


if __name__ == "__main__":
    sys.exit(main())
