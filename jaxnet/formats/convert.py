"""Networks read from files and written to files of whatever kind their ending says."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.formats import keras, onnx, safetensors, torch
from jaxnet.formats._spec import Spec
from jaxnet.network import SQUASHES, Params

ENDINGS = (".safetensors", ".onnx", ".pt", ".pth", ".keras")


def read(
    path: str | os.PathLike[str], *, squash: str | None = None, last_squash: str | None = None
) -> tuple[Params, Spec]:
    """Reads a network from a file of one of the `ENDINGS`.

    Args:
        path: the file; a `.safetensors` may hold the arrays under jaxnet's names or PyTorch's.
        squash: the name in `SQUASHES` of what the hidden layers are squashed by, where the file
            does not say.
        last_squash: the same for the last layer.

    Returns:
        The network, and what the file says of it.

    Raises:
        FileError: not such a file or not such a network; the squash is not known, or the file
            says another.
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
    if path.suffix in _STATE_DICTS or (path.suffix == ".safetensors" and _is_torchs(path)):
        params, spec = _from_state_dict(path, squash, last_squash)
    else:
        params, spec = _READERS[path.suffix](path)
    for given, known in ((squash, spec.squash), (last_squash, spec.last_squash)):
        if given not in (None, known):
            raise FileError(f"{path}: says that it is squashed by {known}, and not by {given}.")
    return params, spec


def write(
    path: str | os.PathLike[str], params: Params, spec: Spec, *, pytorch: bool = False
) -> None:
    """Writes a network to a file of one of the `ENDINGS`, which appears whole or not at all.

    Args:
        path: where to write; `.pt` and `.pth` hold arrays alone, `.keras` no notes.
        params: the network.
        spec: what `read` says of it.
        pytorch: name the arrays of a `.safetensors` as PyTorch does.

    Raises:
        FileError: another ending, or one whose arrays have no names to choose.
        TypeError, ValueError: not one network of finite floats, or a squash that the other
            package defines otherwise.
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
    check_ending(path, pytorch=pytorch)
    _, squash, last_squash, notes = spec
    if path.suffix == ".keras":
        keras.save(path, params, squash=squash, last_squash=last_squash)
    elif path.suffix == ".onnx":
        content = onnx.export(params, squash=squash, last_squash=last_squash, notes=notes)
        with replacing(path) as file:
            file.write(content)
    else:
        named = pytorch or path.suffix in _STATE_DICTS
        save = torch.save_state_dict if named else safetensors.save
        save(path, params, squash=squash, last_squash=last_squash, notes=notes)


def check_ending(path: str | os.PathLike[str], *, pytorch: bool = False) -> None:
    """Raises what `read` and `write` raise of a path, before any work.

    Example:
        >>> check_ending("digits.onnx")
    """
    suffix = Path(path).suffix
    if suffix not in ENDINGS:
        raise FileError(
            f"{path}: networks are converted between {', '.join(ENDINGS)}, not {suffix or 'this'}."
        )
    if pytorch and suffix != ".safetensors":
        raise FileError(f"{path}: PyTorch's names are for .safetensors; {suffix} has its own.")


_STATE_DICTS = (".pt", ".pth")
_READERS: Mapping[str, Callable[[Path], tuple[Params, Spec]]] = {
    ".safetensors": safetensors.load,
    ".onnx": onnx.load,
    ".keras": keras.load,
}


def _is_torchs(path: Path) -> bool:
    """Whether arrays are named as PyTorch does; a file that is damaged, `jaxnet.load` judges."""
    open_file(path).close()
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return any(name.endswith("weight") for name in file.keys())  # noqa: SIM118
    except Exception:
        return False


def _from_state_dict(
    path: Path, squash: str | None, last_squash: str | None
) -> tuple[Params, Spec]:
    state, said = torch.load_state_dict(path)
    for known in ("format", "sizes"):  # what the arrays say themselves
        said.pop(known, None)
    squash, last_squash = said.pop("squash", squash), said.pop("last_squash", last_squash)
    if squash is None or last_squash is None:
        raise FileError(
            f"{path}: PyTorch's arrays do not say how layers are squashed; say it by --squash and "
            f"--last-squash, of {', '.join(SQUASHES)}."
        )
    try:
        params, spec = torch.from_state_dict(state, squash=squash, last_squash=last_squash)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{path}: {error}") from error
    return params, spec._replace(notes=said)
