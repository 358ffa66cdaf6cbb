"""Keras files, read without Keras: nothing in them is run, and no more is read than they hold.

`.keras` is a ZIP archive of the configuration and the weights; `.h5`, which Keras calls legacy,
has both in one HDF5 file. Of either, the configuration says which layers there are.
"""

import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from jaxnet._util.files import FileError, open_file
from jaxnet._util.optional import package
from jaxnet.formats._archives import check_archive, check_unpacked
from jaxnet.formats._keras_layers import MODELS, Step, in_line, named_squash, parts_of
from jaxnet.formats._order import in_one_line
from jaxnet.formats._parts import Part

_MOST_TEXT = 2**22  # characters of a configuration; JSON takes many times as much when parsed


class _Source(NamedTuple):
    """An open HDF5 file, and how many bytes of arrays were read from it."""

    h5py: Any
    whole: Any
    path: str | os.PathLike[str]
    size: int
    taken: list[int]


def read_parts(path: str | os.PathLike[str]) -> list[Part]:
    """What `in_a_row` takes, from a `.keras` or an `.h5` file."""
    h5py = package("h5py")
    with open_file(path) as file:
        if zipfile.is_zipfile(file):
            file.seek(0)
            check_archive(file, path)
            try:
                with zipfile.ZipFile(file) as archive:
                    model = _parsed(archive.read("config.json"))
                    weights = archive.read("model.weights.h5")
            except Exception as error:  # a damaged archive, missing members, malformed JSON
                raise _not_whole(path) from error
            with _opened(h5py, BytesIO(weights), path) as whole:
                source = _Source(h5py, whole, path, len(weights), [0])
                return _parts(path, _steps_of_archive(source, model, ""))
        file.seek(0)
        with _opened(h5py, file, path) as whole:
            source = _Source(h5py, whole, path, os.fstat(file.fileno()).st_size, [0])
            return _parts(path, _steps_of_hdf5(source, _model_of(source), ""))


def _model_of(source: _Source) -> Mapping[str, Any]:
    try:
        if "model_config" in source.whole.attrs:
            attribute = source.h5py.h5a.open(source.whole.id, b"model_config")
            if attribute.shape != ():
                raise ValueError(attribute.shape)
            return _parsed(source.whole.attrs["model_config"])
    except Exception as error:
        raise _not_whole(source.path) from error
    raise FileError(
        f"{source.path}: holds no model, or its weights alone; save it whole, with model.save."
    )


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
    group = _at(source, source.whole, place)
    return [_array(source, group, str(n)) for n in range(min(len(group), 3))]


def _kernel_and_bias(source: _Source, outermost: str, name: str) -> list[Any]:
    group = _at(source, source.whole, f"model_weights/{outermost}")
    found: dict[str, list[str]] = {}

    def note(place: str, _: Any) -> None:
        found.setdefault(place.rpartition("/")[2].partition(":")[0], []).append(place)

    group.visititems(note)  # which follows hard links only
    arrays: list[Any] = []
    for kind in ("kernel", "bias"):
        places = found.get(kind, [])
        if len(places) > 1:  # of several layers in one model
            places = [place for place in places if place.split("/")[-2:-1] == [name]]
        arrays += [_array(source, group, place) for place in places]
    return arrays


def _at(source: _Source, group: Any, place: str) -> Any:
    """What is at a place, within this file."""
    for name in place.split("/"):
        if not isinstance(group.get(name, getlink=True), source.h5py.HardLink):
            raise KeyError(place)
        group = group[name]
    return group


def _array(source: _Source, group: Any, place: str) -> Any:
    """Reads an array of floats that lies in this file."""
    data = _at(source, group, place)
    if not isinstance(data, source.h5py.Dataset) or data.external or data.is_virtual:
        raise KeyError(place)
    if data.dtype.kind != "f" or data.ndim > 2:
        raise ValueError(f"Expected matrices and vectors of floats; got {data.dtype} in {place}.")
    source.taken[0] += data.nbytes  # of all, since layers may name the same array
    check_unpacked(source.taken[0], source.size, source.path)
    return data[()]


def _opened(h5py: Any, file: BinaryIO, path: Any) -> Any:
    try:
        return h5py.File(file, "r")
    except Exception as error:
        raise _not_whole(path) from error


def _parsed(text: str | bytes) -> Mapping[str, Any]:
    if len(text) > _MOST_TEXT:
        raise ValueError(len(text))
    return json.loads(text)


def _not_whole(path: Any) -> FileError:
    return FileError(f"{path}: not a whole Keras model; save it with model.save.")
