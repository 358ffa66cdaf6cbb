"""Networks as safetensors files: named arrays and a text header, no code.

The arrays are named `0.weights`, `0.biases`, `1.weights` and so on, first layer first. The
header names the squashing functions and holds the notes.
"""

import os
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet._util.tensors import to_bytes
from jaxnet.formats._spec import Notes, Spec, in_words, with_notes
from jaxnet.network import SQUASHES, Layer, Params

_DTYPES = {"F64", "F32", "F16", "BF16"}


def save(
    path: str | os.PathLike[str],
    params: Params,
    squash: str,
    last_squash: str,
    notes: Notes | None = None,
) -> None:
    """Saves a network as `jaxnet.save` does."""
    tensors = {
        f"{n}.{name}": np.ascontiguousarray(array)
        for n, layer in enumerate(params)
        for name, array in Layer(*layer)._asdict().items()
    }
    header = {"squash": squash, "last_squash": last_squash}
    if fault := _fault(tensors, header):
        raise ValueError(f"Expected a network that can be loaded again; {fault}.")
    header["sizes"] = in_words(_sizes(params))
    header = with_notes(header, notes or {})
    with replacing(path) as file:
        file.write(to_bytes(tensors, header))


def load(path: str | os.PathLike[str]) -> tuple[Params, Spec]:
    """Loads what `save` wrote."""
    try:
        open_file(path).close()
        with safe_open(os.fspath(path), framework="numpy") as file:
            header = dict(file.metadata() or {})
            names = [*file.keys()]
            for name in names:
                if (kind := file.get_slice(name).get_dtype()) not in _DTYPES:
                    raise FileError(f"{path}: {name!r:.60} holds {kind}, not floats.")
            if fault := _misnamed(names):
                raise FileError(f"{path}: not a network of jaxnet: {fault}.")
            tensors = {name: np.asarray(file.get_tensor(name)) for name in names}
    except (FileError, OSError):
        raise
    except Exception as error:  # SafetensorError, and errors from malformed shapes
        raise FileError(f"{path}: not a whole safetensors file.") from error
    if fault := _fault(tensors, header):
        raise FileError(f"{path}: not a network of jaxnet: {fault}.")
    with np.errstate(over="ignore"):
        # In NumPy, so that values are concrete even while JAX traces.
        tensors = {
            name: a.astype(jax.dtypes.canonicalize_dtype(a.dtype)) for name, a in tensors.items()
        }
    if not all(np.isfinite(a).all() for a in tensors.values()):
        raise FileError(f"{path}: not a network of jaxnet: its numbers are too large for float32.")
    params = tuple(
        Layer(jnp.asarray(tensors[f"{n}.weights"]), jnp.asarray(tensors[f"{n}.biases"]))
        for n in range(len(tensors) // 2)
    )
    sizes = _sizes(params)
    if (said := header.pop("sizes", None)) not in (None, in_words(sizes)):
        raise FileError(
            f"{path}: its header says sizes {said:.60}, but its arrays have {in_words(sizes)}."
        )
    squash, last_squash = header.pop("squash"), header.pop("last_squash")
    return params, Spec(sizes, squash, last_squash, dict(sorted(header.items())))


def _sizes(params: Params) -> tuple[int, ...]:
    return (params[0][0].shape[1], *(len(b) for _, b in params))


def _misnamed(names: Collection[str]) -> str | None:
    expected = {f"{n}.{field}" for n in range(len(names) // 2) for field in Layer._fields}
    if not expected or set(names) != expected:
        got = ", ".join(sorted(names))
        return f"it holds arrays named {got!r:.200}, not 0.weights, 0.biases, 1.weights and so on"
    return None


def _fault(tensors: Mapping[str, NDArray[Any]], header: Mapping[str, str]) -> str | None:
    """Why these are not a network, as a clause; None if they are."""
    for name in ("squash", "last_squash"):
        if header.get(name) not in SQUASHES:
            return f"{name} is {header.get(name)!r:.60}, which is not one of {', '.join(SQUASHES)}"
    if fault := _misnamed(tensors):
        return fault
    n_in = tensors["0.weights"].shape[-1:]
    for n in range(len(tensors) // 2):
        w, b = tensors[f"{n}.weights"], tensors[f"{n}.biases"]
        if w.ndim != 2 or w.size == 0 or w.shape != b.shape + n_in:
            expected = f"(out, {n_in[0] if n_in else 'in'}) and (out,)"
            return f"layer {n} has weights {w.shape} and biases {b.shape}, not {expected}"
        for name, array in (("weights", w), ("biases", b)):
            if not jnp.issubdtype(array.dtype, jnp.floating):
                return f"{n}.{name} holds {array.dtype}, not floating-point numbers"
            if not np.isfinite(array).all():
                return f"{n}.{name} holds NaN or infinity"
        n_in = b.shape
    return None
