"""Keras files, read without Keras: nothing in them is run, and nothing outside them is opened.

`.keras` is a ZIP archive of the configuration and the weights; `.h5`, which Keras calls legacy,
has both in one HDF5 file. In both, the configuration lists the layers.
"""

import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import Any

from numpy.typing import NDArray

from jaxnet._util.apart import run_apart
from jaxnet._util.files import FileError, open_file
from jaxnet._util.optional import package
from jaxnet.formats._affine import squash
from jaxnet.formats._archives import check_archive
from jaxnet.formats._keras_layers import MODELS, KerasLayer, in_line, named_squash
from jaxnet.formats._order import in_one_line

_MOST_TEXT = 2**22  # characters of a configuration; JSON takes many times as much when parsed
_NAMES = {  # of arrays in .h5 files, in Keras's order
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "Normalization": ("mean", "variance"),
}

Arrays = Mapping[str, NDArray[Any]]


def layers_of(path: str | os.PathLike[str]) -> list[KerasLayer]:
    """The layers of a model in a `.keras` or an `.h5` file."""
    package("h5py", extra="keras")
    with open_file(path) as file:
        is_archive = zipfile.is_zipfile(file)
        file.seek(0)
        if is_archive:
            check_archive(file, path)
        content = file.read()
    model = None
    try:
        if is_archive:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                model = _parsed(archive.read("config.json"))
                content = archive.read("model.weights.h5")
        found = run_apart("jaxnet.formats._hdf5:read", content, path)
        arrays = {name[1:]: array for name, array in found.items() if name.startswith("/")}
        if not is_archive and "config" in found:
            model = _parsed(str(found["config"]))
        if model is not None:
            layers = _of_archive if is_archive else _of_hdf5
            return [*layers(arrays, model, "")]
    except FileError:
        raise
    except (UnicodeError, json.JSONDecodeError) as error:
        raise not_whole(path) from error
    except ValueError as error:
        raise FileError(f"{path}: {in_one_line([error]):.500}") from error
    except Exception as error:  # a damaged archive, missing members
        raise not_whole(path) from error
    raise FileError(
        f"{path}: holds no model, or its weights alone; save it whole, with model.save."
    )


def not_whole(path: Any) -> FileError:
    """The error for a file that Keras itself would hardly read."""
    return FileError(f"{path}: not a whole Keras model; save it with model.save.")


def _of_archive(arrays: Arrays, model: Mapping[str, Any], where: str) -> Iterator[KerasLayer]:
    """The layers; `layers/dense`, `layers/dense_1`, … hold the weights, as declared."""
    config, places = model["config"], dict[int, str]()
    count: Counter[str] = Counter()
    for layer in config["layers"]:
        key = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", layer["class_name"]).lower()
        places[id(layer)] = f"{where}layers/{key}" + f"_{count[key]}" * (count[key] > 0)
        count[key] += 1
    for layer in in_line(config):
        if layer["class_name"] in MODELS:
            yield from _of_archive(arrays, layer, f"{places[id(layer)]}/")
        else:
            yield _layer(layer, partial(_vars, arrays, f"{places[id(layer)]}/vars/"))


def _of_hdf5(arrays: Arrays, model: Mapping[str, Any], outermost: str) -> Iterator[KerasLayer]:
    """The layers; a group named as the outermost layer holds the weights."""
    for layer in in_line(model["config"]):
        name = str(layer["config"]["name"])
        if layer["class_name"] in MODELS:
            yield from _of_hdf5(arrays, layer, outermost or name)
        else:
            names = _NAMES.get(layer["class_name"], ("kernel", "bias"))
            yield _layer(layer, partial(_named, arrays, outermost or name, name, names))


def _layer(layer: Mapping[str, Any], read: Any) -> KerasLayer:
    kind, config = layer["class_name"], layer["config"]
    name = f"{kind} {config.get('name')}"
    return KerasLayer(kind, name, config, read, lambda: squash(named_squash(kind, config)))


def _vars(arrays: Arrays, place: str) -> list[NDArray[Any]]:
    """The arrays of a layer in a `.keras` file: 0, 1, 2, …"""
    found = {
        int(name.removeprefix(place)): a for name, a in arrays.items() if name.startswith(place)
    }
    return [found[n] for n in sorted(found)]


def _named(arrays: Arrays, outermost: str, name: str, names: Any) -> list[NDArray[Any]]:
    """The arrays of a layer in an `.h5` file."""
    found: list[NDArray[Any]] = []
    for wanted in names:
        places = [
            place.split("/")
            for place in arrays
            if place.startswith(f"model_weights/{outermost}/")
            and place.rpartition("/")[2].partition(":")[0] == wanted
        ]
        several = len(places) > 1 or outermost != name  # layers in one model
        found += [arrays["/".join(p)] for p in places if not several or p[-2] == name]
    return found


def _parsed(text: str | bytes) -> Any:
    if len(text) > _MOST_TEXT:
        raise ValueError(f"Expected a configuration of at most {_MOST_TEXT:,} characters.")
    return json.loads(text)
