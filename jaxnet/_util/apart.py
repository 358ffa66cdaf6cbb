"""Runs parsers of untrusted files in a process of its own, with limits on memory and time.

Some libraries take gigabytes, never end or end the process when a file is damaged. Here they end
with one sentence.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError

SECONDS = 20  # of processor time
BYTES = 2**29  # and sixteen times the file's
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from jaxnet._util import apart; "


def run_apart(function: str, content: bytes, path: Any) -> Mapping[str, NDArray[Any]]:
    """Runs `module:function` on a file's bytes; it returns arrays by name, none of objects."""
    # A ValueError, and a process that fails, become a FileError with the file's name.
    done = subprocess.run(
        [sys.executable, "-c", _CODE + "apart.answer(sys.argv[2])", json.dumps(sys.path), function],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise FileError(f"{path}: reading it takes too much memory or time, or fails.")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    if "error" in found:
        raise FileError(f"{path}: {found['error']}")
    return found


def answer(function: str) -> None:
    """Runs in the other process: reads the file from standard input, writes the arrays."""
    content = sys.stdin.buffer.read()
    _limit(BYTES + 16 * len(content))
    module, _, name = function.partition(":")
    # A bare package stands for the real one, whose face would import JAX.
    package, _, _ = module.rpartition(".")
    sys.modules[package] = bare = ModuleType(package)
    bare.__path__ = [str(Path(__file__).parents[1] / package.rpartition(".")[2])]
    try:
        found = getattr(import_module(module), name)(content)
    except ValueError as error:
        found = {"error": np.array(str(error))}
    np.savez(buffer := io.BytesIO(), allow_pickle=False, **found)
    sys.stdout.buffer.write(buffer.getvalue())


def _limit(n_bytes: int) -> None:
    """Limits this process, where the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    limits = {resource.RLIMIT_DATA: n_bytes, resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_CORE: 0}
    for kind, limit in limits.items():
        with suppress(OSError, ValueError):  # the system's own limit is lower, or it has none
            resource.setrlimit(kind, (limit, limit))
