"""ONNX: the network as a graph for ONNX Runtime and others, without JAX or Python.

The graph takes `images` of shape `(n, 784)`, uint8 from 0 to 255 or floats from 0 to 1, and
returns `digits`, the index of each image's largest output, and all `activations`. Arrays and
metadata have the same names as in safetensors, which lets `load` read the file back, bit for bit.
`load` also reads graphs from other exporters: whatever is affine between two squashes becomes one
layer.
"""

import os
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from jaxnet._util.apart import run_apart
from jaxnet._util.files import FileError, open_file
from jaxnet._util.optional import package
from jaxnet.formats._onnx_graphs import LOWEST_OPSET, parts_in
from jaxnet.formats._order import in_one_line
from jaxnet.formats._parts import check_batch, in_a_row, with_spec
from jaxnet.formats._pixels import checked, folded
from jaxnet.formats._spec import Notes, Spec, in_words, with_notes
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import Layer, Params, Squash

__all__ = ["export", "load"]

_INSTALL = "pip install 'jaxnet-digits[onnx]'"
OPSET = 20  # the first with Gelu
_CONSTANTS = {"white", "threshold", "axis"}
_OWN = {"sizes", "squash", "last_squash"}


def export(
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    notes: Notes | None = None,
    image_dtype: DTypeLike = np.float32,
    batch: int | None = None,
    opset: int = OPSET,
) -> bytes:
    """Exports a network as an ONNX file.

    Args:
        params: the network; it is written in float32.
        squash, last_squash, notes: as for `jaxnet.save`; stored in the file.
        image_dtype: float32, images from 0 to 1; or uint8, images from 0 to 255.
        batch: a fixed batch size; by default, any number of images, including none.
        opset: the version of ONNX's operators, for older or newer runtimes: 7 or higher, 20 or
            higher with gelu; at most what the installed `onnx` knows.

    Returns:
        The bytes of the file, validated by `onnx.checker`.

    Raises:
        TypeError, ValueError: not one network of finite floats, an unknown squash, an
            unsupported image dtype or opset, or a batch that is not from 1 to 2**31 - 1.
        ModuleNotFoundError: `onnx` is not installed.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.onnx")
        >>> _ = path.write_bytes(export(jaxnet.pretrained(), image_dtype="uint8"))
        >>> load(path)[1].sizes
        (784, 16, 16, 10)

    Source: the ONNX specification, https://onnx.ai/onnx/operators.
    """
    onnx = package("onnx", _INSTALL)
    params, spec = with_spec(params, squash, last_squash, notes)
    lowest = 20 if "gelu" in spec.by_layer else LOWEST_OPSET
    highest: int = onnx.defs.onnx_opset_version()
    if not lowest <= opset <= highest:
        raise ValueError(
            f"Expected an opset from {lowest} to {highest} for this network; got {opset} instead."
        )
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        _graph(onnx, params, spec, np.dtype(image_dtype), batch, opset),
        producer_name="jaxnet",
        opset_imports=opsets,
        ir_version=onnx.helper.find_min_ir_version_for(opsets),
    )
    said = {"sizes": in_words(spec.sizes), "squash": spec.squash}
    said["last_squash"] = spec.last_squash
    onnx.helper.set_model_props(model, with_notes(said, spec.notes))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def load(path: str | os.PathLike[str], *, pixels: float | None = None) -> tuple[Params, Spec]:
    """Loads a network from a graph whose layers follow each other.

    A file that `export` made is read bit for bit. In other exporters' graphs, all that is affine
    between two squashes becomes one layer. What turns the outputs into labels at the end, as
    `ArgMax` and `ZipMap` do, is left out; `classes` in the notes has labels other than 0, 1, 2, ….

    Args:
        path: the file.
        pixels: as for `jaxnet.load`.

    Returns:
        The network and its spec, as `jaxnet.load` returns them.

    Raises:
        FileError: not ONNX, a graph with functions that are neither affine nor one of our
            squashes, or one that `export` wrote and that was modified since.
        ModuleNotFoundError: `onnx` is not installed.
        OSError: the file cannot be opened or read.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.onnx")
        >>> _ = path.write_bytes(export(jaxnet.pretrained(), notes={"trained on": "MNIST"}))
        >>> load(path)[1].notes
        {'trained on': 'MNIST'}
    """
    onnx = package("onnx", _INSTALL)
    with open_file(path) as file:
        content = file.read()
    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ValueError("no nodes")
    except Exception as error:  # many kinds: invalid protobuf
        raise FileError(f"{path}: not a whole ONNX file.") from error
    said = {prop.key: prop.value for prop in model.metadata_props}
    if said.keys() >= _OWN:
        params, spec = _own(onnx, path, model, said)
        return folded(params, checked(pixels, 0, 1)), spec
    found = run_apart("jaxnet.formats._onnx_graphs:read", content, path)
    if found["of_bytes"] and pixels is None:
        pixels = 255
    try:
        params, spec = in_a_row(parts_in(found), dtype=str(found["dtype"]), pixels=pixels)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path}: {in_one_line([error]):.500}") from error
    classes = ", ".join(map(str, found["classes"]))[:1000]
    return params, spec._replace(notes={"classes": classes} if classes else {})


def _own(onnx: Any, path: Any, model: Any, said: dict[str, str]) -> tuple[Params, Spec]:
    """Reads what `export` wrote, and nothing else."""
    try:
        sizes = said.pop("sizes")
        arrays = {
            tensor.name: np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
            for tensor in model.graph.initializer
            if tensor.name not in _CONSTANTS
        }
        layers = [(arrays[f"{n}.weights"], arrays[f"{n}.biases"]) for n in range(len(arrays) // 2)]
        params, spec = with_spec(layers, said.pop("squash"), said.pop("last_squash"), said)
        images = model.graph.input[0].type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(images.elem_type)
        # Rebuild the graph: if it is identical, the file holds nothing else.
        ((domain, opset),) = [(opset.domain, opset.version) for opset in model.opset_import]
        batch = images.shape.dim[0].dim_value or None
        whole = _graph(onnx, params, spec, dtype, batch, opset) == model.graph and domain == ""
        if whole and sizes == in_words(spec.sizes):
            return params, spec
    except Exception as error:  # many kinds: missing names, other shapes
        raise FileError(f"{path}: not a complete graph written by jaxnet.") from error
    raise FileError(f"{path}: not a graph written by jaxnet, or modified since.")


def _graph(
    onnx: Any,
    params: Params,
    spec: Spec,
    image_dtype: np.dtype[Any],
    batch: int | None,
    opset: int,
) -> Any:
    if image_dtype.name not in ("float32", "uint8"):
        raise ValueError(f"Expected images in float32 or uint8; got {image_dtype} instead.")
    check_batch(batch)
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes: list[Any] = []
    constants = [
        tensor(np.asarray(array, "<f4"), f"{n}.{name}")
        for n, layer in enumerate(params)
        for name, array in Layer(*layer)._asdict().items()
    ]
    a = "images"
    if image_dtype.name == "uint8":
        nodes += [
            node("Cast", ["images"], ["bytes"], to=onnx.TensorProto.FLOAT),
            node("Div", ["bytes", "white"], ["shades"]),
        ]
        constants.append(tensor(np.float32(255), "white"))
        a = "shades"
    for n, squash in enumerate(spec.by_layer):
        z = f"{n}.sums"
        nodes.append(node("Gemm", [a, f"{n}.weights", f"{n}.biases"], [z], transB=1))
        a = "activations" if n == len(params) - 1 else f"{n}.activations"
        nodes += _squash(node, squash, z, a, opset)
    n_in, *_, n_out = spec.sizes
    sums = f"{len(params) - 1}.sums"
    if n_out == 1:
        nodes += [
            node("Greater", [sums, "threshold"], ["above"]),
            node("Cast", ["above"], ["column"], to=onnx.TensorProto.INT64),
        ]
        constants.append(tensor(np.float32(0), "threshold"))
        if opset < 13:
            nodes.append(node("Squeeze", ["column"], ["digits"], axes=[1]))
        else:
            nodes.append(node("Squeeze", ["column", "axis"], ["digits"]))
            constants.append(tensor(np.array([1], np.int64), "axis"))
    else:
        nodes.append(node("ArgMax", [sums], ["digits"], axis=1, keepdims=0))
    value, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    shape = batch or "n"
    inputs = [value("images", onnx.helper.np_dtype_to_tensor_dtype(image_dtype), [shape, n_in])]
    if opset < 9:  # there, constants are inputs with a default
        inputs += [value(c.name, c.data_type, c.dims) for c in constants]
    return onnx.helper.make_graph(
        nodes,
        "jaxnet",
        inputs,
        [
            value("digits", types.INT64, [shape]),
            value("activations", types.FLOAT, [shape, n_out]),
        ],
        constants,
    )


def _squash(node: Any, name: str, z: str, a: str, opset: int) -> list[Any]:
    """The nodes that compute the activations `a` from the sums `z`."""
    *first, last = FOREIGN[name].onnx
    if name == "softmax" and opset < 13:
        last = "Softmax", {"axis": 1}  # negative axes, and axes of more than two, came later
    names = [z, *(f"{a}.{n}" for n in range(len(first))), a]
    return [
        node(operator, [z, before] if operator == "Mul" else [before], [after], **attributes)
        for (operator, attributes), before, after in zip(
            (*first, last), names[:-1], names[1:], strict=True
        )
    ]
