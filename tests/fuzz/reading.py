"""Reads changed files, one after another, in a process of its own."""

import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

LONGEST = 300  # characters of a message
MOST_FAULTS = 20  # more say nothing new
NAME = "input"


def read_many(name, seed, first, seconds, at, said):
    """Reads inputs from the first on, in a process of its own."""
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    from tests.fuzz.kinds import KINDS  # after the changes above

    kind = KINDS[name]
    seeds = kind.seeds()
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    ) as folder:
        path = Path(folder, NAME + kind.ending)
        for content in seeds:  # as they are, before the clock runs: imports and compilations
            path.write_bytes(content)
            for reader in kind.readers:
                fault_of(reader, path)
        until, number, faults = time.monotonic() + seconds, first, 0
        while time.monotonic() < until:
            at.value = number
            path.write_bytes(made(kind, seeds, name, seed, number))
            for reader in kind.readers if path.exists() else ():
                if path.exists() and (fault := fault_of(reader, path)):
                    said.put((number, fault))
                    faults += 1
                    if faults == MOST_FAULTS:
                        return
            number += 1


def made(kind, seeds, name, seed, number):
    """The input of a number: bytes changed, or what they mean."""
    from tests.fuzz import mutate

    chance = random.Random(f"{name} {seed} {number}")
    content = chance.choice(seeds)
    changes = (*kind.changes, None)
    change = chance.choice(changes)
    if change is None:
        return mutate.of_bytes(chance, content, seeds)
    return change(chance, content)


def fault_of(reader, path):
    """What is wrong with how a reader takes a file; None if it is a value or a sentence."""
    from jaxnet import FileError

    try:
        reader(path)
    except FileError as error:
        said = str(error)
        if NAME not in said and "answers" not in said:
            return f"does not name the file: {said:.200}"
        if len(said) - len(str(path.parent)) > LONGEST or "\n" in said:
            return f"is no short sentence: {said!r:.400}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error!s:.200} ({where.filename}:{where.lineno})"
    return None
