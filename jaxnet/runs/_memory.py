"""Estimates the memory that a run needs, and compares it with what is available."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
from numpy.typing import NDArray

from jaxnet._util.arguments import ArgumentError
from jaxnet.formats._spec import in_words
from jaxnet.network import init
from jaxnet.runs._options import OPTIMIZERS, Options, n_validation

_COPIES = 6  # of weights and optimizer state: in training, for the checkpoint, and its bytes


def check_memory(options: Options, images: NDArray[Any]) -> None:
    """Raises if a run takes more memory than there is."""
    needed, there = bytes_needed(options, images), bytes_available()
    if needed <= there:
        return
    alone = bytes_needed(options._replace(ensemble=1), images)
    name = "ensemble" if alone <= there else "sizes"
    what = f"{options.ensemble:,} networks of " if options.ensemble > 1 else ""
    raise ArgumentError(
        name,
        f"training {what}{in_words(options.sizes)} takes about {_in_words(needed)} of memory, and "
        f"there are {_in_words(there)}.",
    )


def bytes_needed(options: Options, images: NDArray[Any]) -> int:
    """About how many bytes a run takes at a time."""
    sizes, members = options.sizes, options.ensemble
    params = jax.eval_shape(lambda key: init(key, sizes), jax.random.key(0))
    kept = _n_bytes(params) + _n_bytes(
        jax.eval_shape(OPTIMIZERS[options.optimizer](0.1).init, params)
    )
    gradients = 2 * _n_bytes(params)
    unseen = n_validation(options, len(images))
    activations = 4 * sum(sizes[1:]) * (3 * options.batch_size + 2 * unseen)
    shared = 3 * images.nbytes + 4 * sizes[0] * unseen
    return members * (_COPIES * kept + gradients + activations) + shared


def bytes_available() -> int:
    """About how many bytes there are for it: on the device, or of the system or its container."""
    limits = [_of_device(), *_of_system()]
    return min((n for n in limits if n is not None), default=2**63)


def _n_bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _of_device() -> int | None:
    """What a GPU or TPU has; a CPU says nothing."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def _of_system() -> list[int | None]:
    """What the system says is available, and what a container allows."""
    found: list[int | None] = []
    with suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, IndexError):
        _, _, rest = Path("/proc/meminfo").read_text().partition("MemAvailable:")
        found.append(1024 * int(rest.split()[0]))
    return found + _of_groups(Path("/"))


def _of_groups(root: Path) -> list[int | None]:
    """The limits of the control groups, of either version, that this process is in."""
    found: list[int | None] = []
    lines: list[str] = []
    with suppress(OSError):
        lines = os.fsdecode((root / "proc/self/cgroup").read_bytes()).split("\n")
    for controllers, group in (line.split(":", 2)[1:] for line in lines if line.count(":") > 1):
        kind, name = "", "memory.max"
        if "memory" in controllers.split(","):
            kind, name = "memory", "memory.limit_in_bytes"
        # In a container, the outer groups may be hidden, and its own is the root.
        for folder in (group, *Path(group).parents):
            with suppress(OSError, ValueError):
                path = root.joinpath("sys/fs/cgroup", kind, str(folder).lstrip("/"), name)
                found.append(int(path.read_text()))
    return found


def _in_words(n_bytes: int) -> str:
    """Bytes in the largest unit that leaves a number above one."""
    power = max(min((n_bytes.bit_length() - 1) // 10, 8), 1)
    return f"{n_bytes / 1024**power:,.3g} {'KMGTPEZY'[power - 1]}iB"
