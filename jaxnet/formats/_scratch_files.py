"""Files of networks written from scratch with NumPy, read as named arrays and nothing else.

They are `.npz` files, JSON as of Nielsen's book, and pickles of arrays in lists, as the author of
the video published its networks. They are read in a process of their own, where a pickle can
build arrays, lists and numbers only.
"""

import io
import json
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a pickle may call, by the names of both NumPy 1 and 2.
_ALLOWED = {
    # What follows gives the array a shape and bytes.
    "numpy.core.multiarray._reconstruct": lambda *_: np.ndarray((0,), "b"),
    "numpy.core.numeric._frombuffer": lambda data, dtype, shape, order: np.frombuffer(
        data, dtype
    ).reshape(shape, order=order),
    "numpy.core.multiarray.scalar": lambda dtype, data: np.frombuffer(data, dtype)[0],
    "numpy.dtype": np.dtype,
    "numpy.ndarray": None,  # only named
    "_codecs.encode": lambda text, _: text.encode("latin1"),  # bytes in older protocols
}


def read(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays in a file by name, in its order: `weights.0`, `biases.0`, or as it names them."""
    is_sigmoid = False
    try:
        if content.startswith(b"PK"):
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
        else:
            text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
            is_json = text.startswith((b"{", b"["))
            whole = (
                json.loads(text)
                if is_json
                else _Unpickler(io.BytesIO(content), encoding="latin1").load()
            )
            found = dict(_named(whole, "", [_MOST_LISTS]))
            is_sigmoid = _is_nielsens(whole) or _is_pair(whole)
    except (MemoryError, _Refused):
        raise
    except Exception as error:  # many kinds, wherever the file is damaged
        raise ValueError("not a whole .npz file, JSON or pickle of arrays.") from error
    # Numbered, since an archive cannot have an array called "file".
    numbered = {f"{n}:{name}": array for n, (name, array) in enumerate(found.items())}
    return {**numbered, "sigmoids": np.array(True)} if is_sigmoid else numbered


_MOST_LISTS = 10_000


class _Refused(ValueError):
    """The pickle needs more than arrays, lists and numbers."""


class _Unpickler(pickle.Unpickler):
    """Builds arrays, lists, tuples, dictionaries, numbers and text."""

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}".replace("numpy._core", "numpy.core")
        if asked in _ALLOWED:
            return _ALLOWED[asked]
        if module.startswith("sklearn."):
            raise _Refused(
                f"holds a {name} of scikit-learn, which could run code; load it there and pass it "
                "to jaxnet.formats.from_sklearn."
            )
        raise _Refused(
            f"holds {asked:.80}, which could run code; save the arrays alone, as with numpy.savez."
        )


def _is_nielsens(value: Any) -> bool:
    """Whether this is what `Network.save` of Nielsen's network2.py writes: sigmoids alone."""
    names = {"sizes", "weights", "biases"}
    return isinstance(value, Mapping) and names <= value.keys() <= {*names, "cost"}


def _is_pair(value: Any) -> bool:
    """Whether these are two lists, of weights and of biases, as of the video's author."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    if not all(isinstance(v, list | tuple) and v for v in value) or len(value[0]) != len(value[1]):
        return False
    weights, biases = ([np.shape(a) for a in arrays] for arrays in value)
    return all(len(w) == 2 for w in weights) and all(
        len(b) == 1 or (len(b) == 2 and b[1] == 1) for b in biases
    )


def _named(value: Any, name: str, left: list[int]) -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays in lists and dictionaries, with the path to each."""
    left[0] -= 1
    if left[0] < 0:
        raise _Refused(f"holds more than {_MOST_LISTS:,} lists.")
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        value = value.tolist()
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named(inner, f"{name}.{key}".lstrip("."), left)
    elif isinstance(value, list | tuple) and (depth := _depth(value)):
        # Matrices are lists of rows; biases may be lists of numbers, or columns.
        is_biases = name.rpartition(".")[2].lower().startswith("b") and depth == 2
        if depth == 1 or (depth == 2 and not (is_biases and len(value[0]) > 1)):
            yield name, np.array(value, np.float64)
            return
        is_pair = not name and _is_pair(value)
        for n, inner in enumerate(value):
            key = ("weights", "biases")[n] if is_pair else n
            yield from _named(inner, f"{name}.{key}".lstrip("."), left)


def _depth(value: Any) -> int:
    """Nesting depth of lists of numbers, judged by first elements; 9 or more for others."""
    if isinstance(value, list | tuple):
        return 1 + min(_depth(value[0]), 8) if value else 0
    return 0 if isinstance(value, int | float | np.number) else 9
