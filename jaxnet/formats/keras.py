"""Keras networks, in memory and in `.keras` and `.h5` files."""

import json
import os
import re
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jaxnet._util import interrupts
from jaxnet._util.files import FileError, replacing
from jaxnet._util.optional import package
from jaxnet.formats._affine import Step, squash
from jaxnet.formats._keras_files import layers_of, not_whole
from jaxnet.formats._keras_layers import KerasLayer, in_line, network_of
from jaxnet.formats._order import in_one_line
from jaxnet.formats._parts import name_of, with_spec
from jaxnet.formats._spec import Spec
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import Params, Squash

__all__ = ["from_keras", "load", "save", "to_keras"]

_INSTALL = "pip install keras"


def to_keras(params: Params, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid") -> Any:
    """Converts a network to Keras.

    Args:
        params: the network.
        squash, last_squash: as for `jaxnet.save`.

    Returns:
        An uncompiled `keras.Sequential` of `Dense` layers in float32. It takes images of shape
        `(n, 784)`.

    Raises:
        TypeError, ValueError: not one network of finite floats, or a squash that Keras defines
            differently: leaky_relu and gelu.
        ModuleNotFoundError: Keras is not installed, or has no back end.

    Example:
        >>> import jax, jaxnet
        >>> to_keras(jaxnet.pretrained())(jax.numpy.zeros((5, 784))).shape
        (5, 10)
    """
    params, spec = with_spec(params, squash, last_squash)
    for name in (spec.squash, spec.last_squash):
        if differs := FOREIGN[name].keras_differs:
            raise ValueError(
                f"Expected a squash that Keras defines as JAX does; Keras's {name} {differs}."
            )
    keras = _keras()
    model = keras.Sequential([keras.Input((spec.sizes[0],), name="images")], name="network")
    for n, ((_, b), name) in enumerate(zip(params, spec.by_layer, strict=True)):
        activation = FOREIGN[name].keras
        model.add(
            keras.layers.Dense(b.size, activation, kernel_initializer="zeros", name=f"layer_{n}")
        )
    model.set_weights([np.asarray(a, np.float32) for w, b in params for a in (w.T, b)])
    return model


def from_keras(model: Any, *, pixels: float | None = None) -> tuple[Params, Spec]:
    """Converts a network from Keras.

    A layer is all that is affine between two activation functions. So a leading `Rescaling` is
    folded into the first layer; a scale below 1/16, as 1/255 is, is taken to be for pixels from 0
    to 255.

    Args:
        model: a `keras.Sequential` or functional model without branches, of activations and
            layers that are affine at inference, such as `Dense`, `Rescaling`,
            `BatchNormalization`, `Flatten`, `Dropout` and a small `Conv2D`.
        pixels: what the model takes for a white pixel, as for `jaxnet.load`.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: unsupported layers, or shapes that do not match.
        ModuleNotFoundError: Keras is not installed, or has no back end.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10, "sigmoid")])
        >>> from_keras(model)[1]
        Spec(sizes=(784, 10), squash='sigmoid', last_squash='sigmoid', notes={})
    """
    keras = _keras()
    if not _is_model(keras, model) or not model.built:
        raise TypeError(
            "Expected a keras.Sequential or a functional model with a known input size; got a "
            f"{type(model).__name__}{' not built' * (not getattr(model, 'built', True))} instead."
        )
    return network_of(_layers(keras, model), pixels)


def save(
    path: str | os.PathLike[str],
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
) -> None:
    """Saves a network as a `.keras` file, atomically.

    Args:
        path: where to write; ends in `.keras`.
        params, squash, last_squash: as for `to_keras`.

    Raises:
        TypeError, ValueError, ModuleNotFoundError: as `to_keras`.
        OSError: the file cannot be written.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.keras")
        >>> save(path, jaxnet.pretrained())
        >>> path.read_bytes()[:2]  # a ZIP archive
        b'PK'
    """
    model = to_keras(params, squash=squash, last_squash=last_squash)
    with _folder() as folder:
        whole = folder / "network.keras"  # Keras can save only to a path
        model.save(whole)
        with replacing(path) as file:
            _copy_undated(whole, file)


def load(path: str | os.PathLike[str], *, pixels: float | None = None) -> tuple[Params, Spec]:
    """Loads a network from a `.keras` or `.h5` file without Keras, and without running anything.

    Args:
        path: the file, as `model.save` wrote it.
        pixels: as for `jaxnet.load`.

    Returns:
        As `from_keras`.

    Raises:
        FileError: not a Keras model, or one that `from_keras` rejects.
        OSError: the file cannot be opened or read.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.keras")
        >>> save(path, jaxnet.pretrained())
        >>> load(path)[1].sizes
        (784, 16, 16, 10)
    """
    layers = layers_of(path)
    try:
        return network_of(layers, pixels)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path}: {in_one_line([error]):.500}") from error
    except Exception as error:  # a configuration of any other form
        raise not_whole(path) from error


@contextmanager
def _folder() -> Generator[Path]:
    """A temporary folder that is removed even if a signal ends the process."""
    with TemporaryDirectory() as folder, interrupts.undone(partial(rmtree, folder)):
        yield Path(folder)


def _copy_undated(path: Path, into: BinaryIO) -> None:
    """Copies an archive without the time at which it was made, so that it is the same each time."""
    numbers: dict[bytes, bytes] = {}  # in place of the memory addresses that Keras writes
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(into, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": ""}).encode()
            content = re.sub(
                rb'(?<="shared_object_id": )\d+',
                lambda found: numbers.setdefault(found[0], b"%d" % len(numbers)),
                content,
            )
            new.writestr(zipfile.ZipInfo(name), content)


def _keras() -> Any:
    try:
        return package("keras", _INSTALL)
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise
        raise ModuleNotFoundError(
            f"Keras's back end is {error.name}, which is not installed; to use JAX instead, set "
            "the environment variable KERAS_BACKEND to jax.",
            name=error.name,
        ) from error


def _is_model(keras: Any, model: Any) -> bool:
    functional = isinstance(model, keras.Model) and type(model).__name__ == "Functional"
    return functional or isinstance(model, keras.Sequential)


def _layers(keras: Any, model: Any) -> Iterator[KerasLayer]:
    layers = model.layers
    if isinstance(model, keras.Sequential):
        about = {"batch_shape": model.input_shape, "dtype": model.inputs[0].dtype}
        yield KerasLayer("InputLayer", "", about, list, lambda: squash("identity"))
    else:
        layers = [model.get_layer(layer["name"]) for layer in in_line(model.get_config())]
    for layer in layers:
        if _is_model(keras, layer):
            yield from _layers(keras, layer)
            continue
        kind, name = type(layer).__name__, f"{type(layer).__name__} {layer.name}"
        known = type(layer) is getattr(keras.layers, kind, None)
        function = (getattr(layer, "activation", None) if known else None) or layer
        said = name if function is layer else name_of(function)
        yield KerasLayer(
            kind if known else "",
            name,
            layer.get_config() if known else {},
            partial(_arrays, keras, layer),
            lambda function=function, said=said: (
                squash("identity")
                if said == "linear"
                else Step(said, partial(_run, keras, function))
            ),
        )


def _arrays(keras: Any, layer: Any) -> list[NDArray[Any]]:
    return [keras.ops.convert_to_numpy(v.value) for v in layer.weights]


def _run(keras: Any, function: Any, z: NDArray[Any]) -> NDArray[Any]:
    return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(z)))
