"""Networks read from and written to files in any format, chosen by the file's ending."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.formats import flax, keras, onnx, safetensors, torch
from jaxnet.formats._spec import Spec
from jaxnet.network import SQUASHES, Params


class UnknownSquash(FileError):
    """A file holds arrays only, so the caller has to name the squashing functions."""


def read(
    path: str | os.PathLike[str], *, squash: str | None = None, last_squash: str | None = None
) -> tuple[Params, Spec]:
    """Loads a network from a file in one of the `FORMATS`.

    Args:
        path: the file; a `.safetensors` may hold the arrays under jaxnet's names, PyTorch's or
            Flax's.
        squash: the hidden layers' activation function, a name in `SQUASHES`, if the
            file does not say.
        last_squash: the last layer's.

    Returns:
        The network and its spec.

    Raises:
        FileError: a bad file or network, or a squash that contradicts the file; of the kind
            `UnknownSquash` if the file does not name the squash and the caller did not.
        ModuleNotFoundError: the package that reads such files is not installed.
        OSError: the file cannot be opened or read.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.safetensors")
        >>> jaxnet.save(path, jaxnet.pretrained())
        >>> read(path)[1].sizes
        (784, 16, 16, 10)
    """
    path = Path(path)
    check_ending(path)
    params, spec = FORMATS[path.suffix.lower()].read(path, squash, last_squash)
    for given, known in ((squash, spec.squash), (last_squash, spec.last_squash)):
        if given not in (None, known):
            raise FileError(f"{path}: the file says {known}, not {given}.")
    return params, spec


def write(
    path: str | os.PathLike[str], params: Params, spec: Spec, *, pytorch: bool = False
) -> None:
    """Saves a network to a file in one of the `FORMATS`, atomically.

    Args:
        path: where to write; `.pt`, `.pth` and `.bin` store only arrays, `.keras` omits the notes,
            `.ckpt` and `.h5` are only read.
        params: the network.
        spec: its description, as `read` returns it.
        pytorch: use PyTorch's array names in a `.safetensors`.

    Raises:
        FileError: an ending that is unknown or only read, or `pytorch=True` with one other than
            `.safetensors`.
        TypeError, ValueError: not one network of finite floats, or a squash that the other
            framework defines differently.
        ModuleNotFoundError: the package that writes such files is not installed.
        OSError: the file cannot be written.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> jaxnet.save(folder / "digits.safetensors", jaxnet.pretrained())
        >>> write(folder / "digits.onnx", *read(folder / "digits.safetensors"))
        >>> read(folder / "digits.onnx")[1].squash
        'sigmoid'
    """
    path = Path(path)
    check_output(path, pytorch=pytorch)
    write_file = _write_torch if pytorch else FORMATS[path.suffix.lower()].write
    assert write_file
    write_file(path, params, spec)


def check_ending(path: str | os.PathLike[str]) -> None:
    """Fails early on a path that `read` would reject for its ending.

    Example:
        >>> check_ending("digits.onnx")
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise FileError(
            f"{path}: networks are converted between {', '.join(FORMATS)}, not {suffix or 'this'}."
        )


def check_output(path: str | os.PathLike[str], *, pytorch: bool = False) -> None:
    """Fails early on a path that `write` would reject for its ending.

    Example:
        >>> check_output("digits.safetensors", pytorch=True)
    """
    check_ending(path)
    suffix = Path(path).suffix.lower()
    if pytorch and suffix != ".safetensors":
        raise FileError(f"{path}: PyTorch's names are for .safetensors; {suffix} has its own.")
    if FORMATS[suffix].write is None:
        written = ", ".join(ending for ending, form in FORMATS.items() if form.write)
        raise FileError(f"{path}: {suffix} files are only read; write one of {written}.")


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
    return safetensors.load(path)


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


def _write_safetensors(path: Path, params: Params, spec: Spec) -> None:
    _, squash, last_squash, notes = spec
    safetensors.save(path, params, squash=squash, last_squash=last_squash, notes=notes)


def _write_torch(path: Path, params: Params, spec: Spec) -> None:
    _, squash, last_squash, notes = spec
    torch.save_state_dict(path, params, squash=squash, last_squash=last_squash, notes=notes)


def _write_onnx(path: Path, params: Params, spec: Spec) -> None:
    _, squash, last_squash, notes = spec
    content = onnx.export(params, squash=squash, last_squash=last_squash, notes=notes)
    with replacing(path) as file:
        file.write(content)


def _write_keras(path: Path, params: Params, spec: Spec) -> None:
    keras.save(path, params, squash=spec.squash, last_squash=spec.last_squash)


class Format(NamedTuple):
    """How files of one kind are read and written.

    Attributes:
        read: takes the path and the caller's squashes, which apply if the file names none.
        write: takes the path, the network and its spec; None if they are only read.
    """

    read: Callable[[Path, str | None, str | None], tuple[Params, Spec]]
    write: Callable[[Path, Params, Spec], None] | None


# To add a format, write its module and give it a line here.
FORMATS: Mapping[str, Format] = {
    ".safetensors": Format(_read_safetensors, _write_safetensors),
    ".onnx": Format(lambda path, *_: onnx.load(path), _write_onnx),
    ".pt": Format(_read_torch, _write_torch),
    ".pth": Format(_read_torch, _write_torch),
    ".bin": Format(_read_torch, _write_torch),
    ".ckpt": Format(_read_torch, None),
    ".keras": Format(lambda path, *_: keras.load(path), _write_keras),
    ".h5": Format(lambda path, *_: keras.load(path), None),
}
