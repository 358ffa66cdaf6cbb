"""How many cores there are to work on."""

import os


def cores() -> int:
    """How many cores this process may use: what NPROC says, as XLA goes by it, or the system.

    Example:
        >>> from jaxnet.cores import cores
        >>> cores() >= 1
        True
    """
    said = os.environ.get("NPROC", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
