"""Networks in files of any format, chosen by the file's ending."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.formats import _safetensors, flax, keras, onnx, torch
from jaxnet.formats._spec import Notes, Spec
from jaxnet.formats._squashes import as_name
from jaxnet.network import SQUASHES, Params, Squash

TRAINED = Path(__file__).parents[1] / "_pretrained" / "network.safetensors"


class UnknownSquash(FileError):
    """A file holds arrays only, so the caller has to name the squashing functions."""


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    squash: Squash | None = None,
    last_squash: Squash | None = None,
) -> tuple[Params, Spec]:
    """Loads a network from a file: jaxnet's own, or one of another framework.

    Args:
        path: a file that ends in `.safetensors` (whose arrays may have jaxnet's, PyTorch's or
            Flax's names), `.onnx`, `.pt`, `.pth`, `.bin` or `.ckpt` (PyTorch's), `.keras` or `.h5`;
            or, with any other ending, one that `save` wrote. By default, the trained network that
            comes with jaxnet.
        squash: the hidden layers' activation function, for a file that does not say, such as
            PyTorch's.
        last_squash: the last layer's.

    Returns:
        The network, in the precision it was saved in (float64 where JAX has it enabled,
        else float32), and its spec. `spec.squash` and `**spec.squashes` go into every function that
        takes one squash, or both.

    Raises:
        FileError: damaged, not one network of finite numbers, squashing functions that the file
            contradicts, or none where the file does not say.
        ModuleNotFoundError: the package that reads such files is not installed.
        OSError: the file cannot be opened or read.

    Example:
        >>> import jax, jaxnet
        >>> params, spec = jaxnet.load()
        >>> spec.sizes, spec.by_layer
        ((784, 16, 16, 10), ('sigmoid', 'sigmoid', 'sigmoid'))
        >>> jaxnet.forward(params, jax.numpy.zeros(784), **spec.squashes).shape
        (10,)
    """
    path = TRAINED if path is None else Path(path)
    given = [None if f is None else as_name(f) for f in (squash, last_squash)]
    if form := FORMATS.get(path.suffix.lower()):
        params, spec = form.read(path, *given)
    else:
        with open_file(path) as file:
            begins = file.read(9)
        if begins[8:] != b"{":  # of a safetensors file, whatever its name
            raise FileError(f"{path}: networks are read from {', '.join(FORMATS)}, not this.")
        params, spec = _safetensors.load(path)
    for name, known in zip(given, (spec.squash, spec.last_squash), strict=True):
        if name not in (None, known):
            raise FileError(f"{path}: the file says {known}, not {name}.")
    return params, spec


def save(
    path: str | os.PathLike[str],
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    notes: Notes | None = None,
) -> None:
    """Saves a network to a file, atomically, in the format of the file's ending.

    Args:
        path: where to write; usually ends in `.safetensors`. With `.onnx`, `.pt`, `.pth`, `.bin`
            and `.keras` it is written for others; of these, only `.onnx` stores the notes, and
            PyTorch's store the arrays only. `.ckpt` and `.h5` are only read. Any other ending is
            jaxnet's own format, too.
        params: the network.
        squash: the hidden layers' activation function, one in `SQUASHES`, or its name.
        last_squash: the last layer's.
        notes: anything worth recording: training data, method, accuracy. Numbers are saved as
            their text, and `load` returns text.

    Raises:
        FileError: an ending that is only read.
        TypeError, ValueError: not one network of finite floating-point numbers, an unknown
            squash, one that the other framework defines differently, or a note that is neither
            text nor a number.
        ModuleNotFoundError: the package that writes such files is not installed.
        OSError: the file cannot be written.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "random.safetensors")
        >>> jaxnet.save(path, jaxnet.init(jax.random.key(0)), squash="relu", notes={"epochs": 0})
        >>> params, spec = jaxnet.load(path)
        >>> spec.sizes, spec.squash, spec.notes
        ((784, 16, 16, 10), 'relu', {'epochs': '0'})
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower(), FORMATS[".safetensors"])
    if form.write is None:
        raise _only_read(path)
    form.write(path, params, as_name(squash), as_name(last_squash), notes)


def check_ending(path: Path, *, written: bool = False) -> None:
    """Fails early on a file whose ending is no format's, or is only read."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise FileError(
            f"{path}: networks are converted between {', '.join(FORMATS)}, not {suffix or 'this'}."
        )
    if written and FORMATS[suffix].write is None:
        raise _only_read(path)


def _only_read(path: Path) -> FileError:
    endings = ", ".join(ending for ending, form in FORMATS.items() if form.write)
    return FileError(f"{path}: {path.suffix} files are only read; write one of {endings}.")


def _read_safetensors(
    path: Path, squash: str | None, last_squash: str | None
) -> tuple[Params, Spec]:
    """Reads arrays with jaxnet's, PyTorch's or Flax's names."""
    open_file(path).close()
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            names: list[str] = [*file.keys()]
    except Exception:  # the reader below will say so
        names = []
    if any(name.endswith("weight") for name in names):
        return _read_arrays(
            path, partial(torch.from_state_dict, declared=False), squash, last_squash
        )
    if any(name.endswith("kernel") for name in names):
        return _read_arrays(path, flax.from_arrays, squash, last_squash)
    return _safetensors.load(path)


def _read_torch(path: Path, squash: str | None, last_squash: str | None) -> tuple[Params, Spec]:
    return _read_arrays(path, torch.from_state_dict, squash, last_squash)


def _read_arrays(
    path: Path,
    build: Callable[..., tuple[Params, Spec]],
    squash: str | None,
    last_squash: str | None,
) -> tuple[Params, Spec]:
    """Builds a network from another framework's arrays, under names that `build` knows."""
    state, said = torch.load_state_dict(path)
    for known in ("format", "sizes"):  # implied by the arrays
        said.pop(known, None)
    squash, last_squash = said.pop("squash", squash), said.pop("last_squash", last_squash)
    if squash is None or last_squash is None:
        raise UnknownSquash(
            f"{path}: arrays alone do not name the squashing functions; pass squash= and "
            f"last_squash=, each one of {', '.join(SQUASHES)}."
        )
    try:
        params, spec = build(state, squash=squash, last_squash=last_squash)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{path}: {error}") from error
    return params, spec._replace(notes=said)


def _write_torch(
    path: Path, params: Params, squash: str, last_squash: str, notes: Notes | None
) -> None:
    torch.save_state_dict(path, params, squash=squash, last_squash=last_squash, notes=notes)


def _write_onnx(
    path: Path, params: Params, squash: str, last_squash: str, notes: Notes | None
) -> None:
    content = onnx.export(params, squash=squash, last_squash=last_squash, notes=notes)
    with replacing(path) as file:
        file.write(content)


def _write_keras(path: Path, params: Params, squash: str, last_squash: str, _: Any) -> None:
    keras.save(path, params, squash=squash, last_squash=last_squash)


class Format(NamedTuple):
    """How files of one kind are read and written.

    Attributes:
        read: takes the path and the caller's squashes, which apply if the file names none.
        write: takes the path, the network, its squashes and its notes; None if they are only read.
    """

    read: Callable[[Path, str | None, str | None], tuple[Params, Spec]]
    write: Callable[[Path, Params, str, str, Notes | None], None] | None


# To add a format, write its module and give it a line here.
FORMATS: Mapping[str, Format] = {
    ".safetensors": Format(_read_safetensors, _safetensors.save),
    ".onnx": Format(lambda path, *_: onnx.load(path), _write_onnx),
    ".pt": Format(_read_torch, _write_torch),
    ".pth": Format(_read_torch, _write_torch),
    ".bin": Format(_read_torch, _write_torch),
    ".ckpt": Format(_read_torch, None),
    ".keras": Format(lambda path, *_: keras.load(path), _write_keras),
    ".h5": Format(lambda path, *_: keras.load(path), None),
}
