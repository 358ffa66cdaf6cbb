"""Networks in files of any format, chosen by the file's ending."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from jaxnet._util.apart import run_apart
from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.formats import _safetensors, flax, keras, onnx, torch
from jaxnet.formats._archives import check_archive
from jaxnet.formats._parts import with_spec
from jaxnet.formats._pixels import Pixels, checked, folded
from jaxnet.formats._scratch import layers_in
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
    pixels: float | None = None,
    mean: float = 0.0,
    std: float = 1.0,
) -> tuple[Params, Spec]:
    """Loads a network from a file: jaxnet's own, or one of another framework.

    Args:
        path: a file that ends in `.safetensors` (whose arrays may have jaxnet's, PyTorch's or
            Flax's names), `.onnx`, `.pt`, `.pth`, `.bin` or `.ckpt` (PyTorch's), `.keras` or `.h5`;
            `.npz`, `.json`, `.pkl` or `.pickle` with weights and biases of any names, as programs
            without a framework save them; or, with any other ending, one that `save` wrote, or a
            pickle of arrays. By default, the trained network that comes with jaxnet.
        squash: the hidden layers' activation function, for a file that does not say, such as
            PyTorch's. A `.json` or a pickle with `weights` and `biases`, as Nielsen's programs and
            the video's author write them, is assumed to be of sigmoids, and the notes say so.
        last_squash: the last layer's.
        pixels: what the network was trained to take for a white pixel, such as 255. By default 1;
            or what an `.onnx` or Keras file says, by the type of its input or by scaling it.
        mean, std: what was subtracted from the network's pixels in training, and what they were
            then divided by, such as 0.1307 and 0.3081. All three are folded into the first layer,
            so that the network takes pixels from 0 to 1; the notes record them.

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
    scale = checked(pixels, mean, std)
    is_told = pixels is not None or scale != Pixels()
    _check_beginning(path)
    if form := FORMATS.get(path.suffix.lower()):
        params, spec = form.read(path, given[0], given[1], scale.white if is_told else None)
        if form.has_scale:  # `read` has already applied `pixels`
            scale = Pixels(1.0, mean / scale.white, std)
    else:
        with open_file(path) as file:
            begins = file.read(9)
        if begins[8:] == b"{":  # a safetensors file, whatever its name
            params, spec = _safetensors.load(path)
        elif begins[:1] in (b"\x80", b"("):  # a pickle, as the video's networks have no ending
            params, spec = _read_scratch(path, given[0], given[1], None)
        else:
            ways = {
                ".mat": " Load it with scipy.io.loadmat and save its arrays with numpy.savez.",
                ".tflite": " Save the Keras model that it was made of.",
            }
            raise FileError(
                f"{path}: networks are read from {', '.join(FORMATS)}, not this."
                + ways.get(path.suffix.lower(), "")
            )
    for name, known in zip(given, (spec.squash, spec.last_squash), strict=True):
        if name not in (None, known):
            raise FileError(f"{path}: the file says {known}, not {name}.")
    if is_told and (folded_in := spec.notes.get("trained with")):
        raise FileError(
            f"{path}: its notes say that {folded_in} is part of its first layer already."
        )
    if is_told:
        trained_with = checked(pixels, mean, std).in_words() or "pixels 1"
        spec = spec._replace(notes={**spec.notes, "trained with": trained_with})
    return folded(params, scale), spec


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
            PyTorch's store the arrays only. `.ckpt`, `.h5`, `.npz`, `.json`, `.pkl` and `.pickle`
            are read-only. Any other ending means jaxnet's own format, too.
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
    path: Path, squash: str | None, last_squash: str | None, _: float | None
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


def _read_torch(
    path: Path, squash: str | None, last_squash: str | None, _: float | None
) -> tuple[Params, Spec]:
    return _read_arrays(path, torch.from_state_dict, squash, last_squash)


def _read_scratch(
    path: Path, squash: str | None, last_squash: str | None, _: float | None
) -> tuple[Params, Spec]:
    """Reads arrays of any names, as programs without a framework save them."""
    with open_file(path) as file:
        check_archive(file, path)
        content = file.read()
    if content[8:9] == b"{":  # jaxnet's own, which used to have any ending
        return _safetensors.load(path)
    found = run_apart("jaxnet.formats._scratch_files:read", content, path)
    arrays = {key.partition(":")[2]: array for key, array in found.items() if ":" in key}
    notes: dict[str, str] = {}
    if "sigmoids" in found and squash is None and last_squash is None:
        squash = last_squash = "sigmoid"
        notes["squashes"] = "assumed"
    if squash is None or last_squash is None:
        raise _unknown_squash(path, squash, last_squash)
    try:
        return with_spec(layers_in(arrays), squash, last_squash, notes)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path}: {error}") from error


def _read_onnx(path: Path, _: Any, __: Any, pixels: float | None) -> tuple[Params, Spec]:
    return onnx.load(path, pixels=pixels)


def _read_keras(path: Path, _: Any, __: Any, pixels: float | None) -> tuple[Params, Spec]:
    return keras.load(path, pixels=pixels)


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
        raise _unknown_squash(path, squash, last_squash)
    try:
        params, spec = build(state, squash=squash, last_squash=last_squash)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{path}: {error}") from error
    return params, spec._replace(notes=said)


def _check_beginning(path: Path) -> None:
    """Says what a file is that was downloaded in place of a network."""
    with open_file(path) as file:
        begins = file.read(100).lstrip().lower()
    if begins.startswith((b"<!doctype", b"<html")):
        raise FileError(f"{path}: a web page, not a network; download the file itself.")
    if begins.startswith(b"version https://git-lfs"):
        raise FileError(f"{path}: a pointer of Git LFS, not a network; run git lfs pull.")


def _unknown_squash(path: Path, squash: str | None, last_squash: str | None) -> UnknownSquash:
    """The error for arrays of a network whose squashing functions nobody names."""
    given = {"squash=": squash, "last_squash=": last_squash}
    missing = " and ".join(name for name, known in given.items() if known is None)
    return UnknownSquash(
        f"{path}: arrays alone do not name the squashing functions; pass {missing}, one of "
        f"{', '.join(SQUASHES)}; identity, where there is none."
    )


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
        read: takes the path, the caller's squashes, which apply if the file names none, and what
            the network takes for a white pixel, if the caller says.
        write: takes the path, the network, its squashes and its notes; None if they are only read.
        has_scale: whether the network itself may scale its pixels; then `read` does all of it.
    """

    read: Callable[[Path, str | None, str | None, float | None], tuple[Params, Spec]]
    write: Callable[[Path, Params, str, str, Notes | None], None] | None
    has_scale: bool = False


# To add a format, write its module and give it a line here.
FORMATS: Mapping[str, Format] = {
    ".safetensors": Format(_read_safetensors, _safetensors.save),
    ".onnx": Format(_read_onnx, _write_onnx, has_scale=True),
    ".pt": Format(_read_torch, _write_torch),
    ".pth": Format(_read_torch, _write_torch),
    ".bin": Format(_read_torch, _write_torch),
    ".ckpt": Format(_read_torch, None),
    ".keras": Format(_read_keras, _write_keras, has_scale=True),
    ".npz": Format(_read_scratch, None),
    ".json": Format(_read_scratch, None),
    ".pkl": Format(_read_scratch, None),
    ".pickle": Format(_read_scratch, None),
    ".h5": Format(_read_keras, None, has_scale=True),
}
