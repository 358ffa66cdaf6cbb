"""Checkpoints: a tree of arrays and a few words about it, in one safetensors file."""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet._util.tensors import to_bytes

Tree = TypeVar("Tree")


def save(path: str | os.PathLike[str], tree: Any, notes: Mapping[str, str]) -> None:
    """Saves a pytree of arrays, bit-exactly and atomically."""
    arrays = _by_name(jax.tree.map(partial(np.asarray, order="C"), tree))
    with replacing(path) as file:
        file.write(to_bytes(arrays, {**notes, "sha256": _digest(arrays)}))


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads the arrays that `save` wrote, by name, and the notes."""
    open_file(path).close()
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            notes = dict(file.metadata() or {})
            arrays = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except OSError:
        raise
    except Exception as error:  # SafetensorError, and errors from malformed headers
        raise FileError(f"{path}: not a whole checkpoint.") from error
    if notes.pop("sha256", None) != _digest(arrays):
        raise FileError(f"{path}: damaged checkpoint (checksum mismatch).")
    return arrays, notes


def as_tree(arrays: Mapping[str, Any], like: Tree, path: str | os.PathLike[str]) -> Tree:
    """The arrays of a file as a pytree of the structure, shapes and types of another."""
    expected = _by_name(like)
    if arrays.keys() != expected.keys():
        raise FileError(f"{path}: a checkpoint of another kind of run; use another file.")
    for name, leaf in expected.items():
        got = arrays[name]
        shape = got.shape[:1] + leaf.shape[1:] if leaf.shape[:1] == (0,) else leaf.shape
        if (got.shape, got.dtype) != (shape, leaf.dtype):
            raise FileError(
                f"{path}: holds {name} as {got.dtype}{list(got.shape)}, and not as "
                f"{leaf.dtype}{list(leaf.shape)}; start anew in another file."
            )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _by_name(tree: Any) -> dict[str, Any]:
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}
