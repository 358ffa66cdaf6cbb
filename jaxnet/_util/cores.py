"""The number of CPU cores."""

import os


def cores() -> int:
    """The cores this process may use: $NPROC if set (XLA honors it too), else its CPU affinity."""
    given = os.environ.get("NPROC", "")
    if given.isdecimal() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
