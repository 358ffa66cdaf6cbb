"""Keras files, read without Keras: nothing in them is run, and nothing outside them is opened.

`.keras` is a ZIP archive of the configuration and the weights; `.h5`, which Keras calls legacy,
has both in one HDF5 file. In both, the configuration lists the layers.
"""

import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

from jaxnet._util.files import FileError, open_file
from jaxnet.formats import _hdf5
from jaxnet.formats._archives import check_archive, check_unpacked
from jaxnet.formats._keras_layers import MODELS, Step, in_line, named_squash, parts_of
from jaxnet.formats._order import in_one_line
from jaxnet.formats._parts import Part

_MOST_TEXT = 2**22  # characters of a configuration; JSON takes many times as much when parsed


class _Source(NamedTuple):
    """The bytes of an HDF5 file, and how many of them were taken as arrays."""

    data: bytes
    path: str | os.PathLike[str]
    taken: list[int]


def read_parts(path: str | os.PathLike[str]) -> list[Part]:
    """What `in_a_row` takes, from a `.keras` or an `.h5` file."""
    with open_file(path) as file:
        is_archive = zipfile.is_zipfile(file)
        file.seek(0)
        if is_archive:
            check_archive(file, path)
        content = file.read()
    try:
        if is_archive:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                model = _parsed(archive.read("config.json"))
                content = archive.read("model.weights.h5")
        else:
            model = _parsed(_hdf5.text_of(content, _hdf5.root_of(content), "model_config"))
    except Exception as error:  # a damaged archive, missing members, malformed JSON
        raise _not_whole(path) from error
    if model is None:
        raise FileError(
            f"{path}: holds no model, or its weights alone; save it whole, with model.save."
        )
    source = _Source(content, path, [0])
    steps = (
        _steps_of_archive(source, model, "") if is_archive else _steps_of_hdf5(source, model, "")
    )
    return _parts(path, steps)


def _parts(path: Any, steps: Iterator[Step]) -> list[Part]:
    try:
        return [*parts_of(steps)]
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{path}: {in_one_line([error]):.300}") from error
    except Exception as error:  # a configuration of any other form, a damaged HDF5 file
        raise _not_whole(path) from error


def _steps_of_archive(source: _Source, model: Mapping[str, Any], where: str) -> Iterator[Step]:
    """The layers; `layers/dense`, `layers/dense_1`, … hold the weights, as declared."""
    config, places = model["config"], dict[int, str]()
    count: Counter[str] = Counter()
    for layer in config["layers"]:
        key = str(layer["class_name"]).lower()  # of those that matter here
        places[id(layer)] = f"{where}layers/{key}" + f"_{count[key]}" * (count[key] > 0)
        count[key] += 1
    for layer in in_line(config):
        if layer["class_name"] in MODELS:
            yield from _steps_of_archive(source, layer, f"{places[id(layer)]}/")
        else:
            yield _step(layer, partial(_vars, source, f"{places[id(layer)]}/vars"))


def _steps_of_hdf5(source: _Source, model: Mapping[str, Any], outermost: str) -> Iterator[Step]:
    """The layers; a group named as the outermost layer holds the weights."""
    for layer in in_line(model["config"]):
        name = str(layer["config"]["name"])
        if layer["class_name"] in MODELS:
            yield from _steps_of_hdf5(source, layer, outermost or name)
        else:
            yield _step(layer, partial(_kernel_and_bias, source, outermost or name, name))


def _step(layer: Mapping[str, Any], read: Any) -> Step:
    kind, config = layer["class_name"], layer["config"]
    name = f"{kind} {config.get('name')}"
    read = read if kind == "Dense" else list
    return Step(kind, name, config, read, partial(named_squash, kind, config))


def _vars(source: _Source, place: str) -> list[Any]:
    found = _hdf5.members(source.data, _at(source, place))
    return [_array(source, found[str(n)]) for n in range(min(len(found), 3))]


def _kernel_and_bias(source: _Source, outermost: str, name: str) -> list[Any]:
    found: dict[str, list[tuple[str, int]]] = {"kernel": [], "bias": []}
    groups, seen = [("", _at(source, f"model_weights/{outermost}"))], set[int]()
    while groups:
        above, group = groups.pop()
        for inner, place in _hdf5.members(source.data, group).items():
            if (kind := inner.partition(":")[0]) in found:
                found[kind].append((above, place))
            elif place not in seen:
                seen.add(place)
                groups.append((inner, place))
    arrays: list[Any] = []
    for places in found.values():
        several = len(places) > 1  # of several layers in one model
        arrays += [_array(source, p) for above, p in places if not several or above == name]
    return arrays


def _at(source: _Source, place: str) -> int:
    """Where something is in the file, by its name."""
    found = _hdf5.root_of(source.data)
    for name in place.split("/"):
        found = _hdf5.members(source.data, found)[name]
    return found


def _array(source: _Source, place: int) -> Any:
    array = _hdf5.array_of(source.data, place)
    source.taken[0] += array.nbytes  # each time: layers may share an array
    check_unpacked(source.taken[0], len(source.data), source.path)
    return array


def _parsed(text: str | bytes | None) -> Any:
    if text is not None and len(text) > _MOST_TEXT:
        raise ValueError(len(text))
    return None if text is None else json.loads(text)


def _not_whole(path: Any) -> FileError:
    return FileError(f"{path}: not a whole Keras model; save it with model.save.")
