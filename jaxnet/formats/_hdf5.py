"""HDF5 files as Keras writes them, read by h5py in a process of its own.

HDF5's library loops forever, or takes gigabytes, in some damaged files, and follows links to other
files.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_OBJECTS = 10_000  # groups that hold each other have no end
_MOST_BYTES = 2**26  # in a file of any size; else four times the file's
_MOST_TEXT = 2**22  # characters of a configuration; JSON takes many times as much when parsed
_NOT_WHOLE = "not a whole Keras model; save it with model.save."
_OPTIMIZER = "optimizer"  # prefix of groups that hold a training's state


def read(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of floats by path from the root, and `config`, the model's if there is one."""
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            most = max(_MOST_BYTES, 4 * len(content))
            found = {f"/{name}": array for name, array in _arrays(h5py, file, most)}
            config = file.attrs.get("model_config")
            if config is not None:
                text = config.decode() if isinstance(config, bytes) else str(config)
                found["config"] = np.array(text[: _MOST_TEXT + 1])
    except MemoryError:
        raise
    except Exception as error:  # many kinds, wherever the file is damaged
        raise ValueError(_NOT_WHOLE) from error
    return found


def _arrays(h5py: Any, file: Any, most_bytes: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays of floats by path; raises for links."""
    groups, n_objects, n_bytes = [("", file)], 0, 0
    while groups:
        above, group = groups.pop()
        for name in group:
            place = f"{above}/{name}".lstrip("/")
            n_objects += 1
            if n_objects > _MOST_OBJECTS:
                raise ValueError(_NOT_WHOLE)
            if name.startswith(_OPTIMIZER):
                continue
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                raise ValueError(_NOT_WHOLE)
            entry = group[name]
            if isinstance(entry, h5py.Group):
                groups.append((place, entry))
            elif entry.dtype.kind == "f" and not entry.external and not entry.is_virtual:
                n_bytes += entry.nbytes
                if n_bytes > most_bytes:
                    raise MemoryError(n_bytes)
                yield place, entry[()]
