"""ONNX: the network as a graph for ONNX Runtime and others, without JAX or Python.

The graph takes `images` of shape `(n, 784)`, uint8 from 0 to 255 or floats from 0 to 1, and
returns `digits`, the index of each image's largest output, and all `activations`. Arrays and
metadata have the same names as in safetensors, which lets `load` read the file back.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from jaxnet._util.files import FileError, open_file
from jaxnet._util.optional import package
from jaxnet.formats._parts import with_spec
from jaxnet.formats._spec import Spec, in_words, with_notes
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import Layer, Params

_INSTALL = "pip install 'jaxnet-digits[onnx]'"
_OPSET, _IR = 20, 9  # the first opset with Gelu, and the IR version of that release


def export(
    params: Params,
    *,
    squash: str = "sigmoid",
    last_squash: str = "sigmoid",
    notes: Mapping[str, str] | None = None,
    image_dtype: DTypeLike = np.float32,
    batch: int | None = None,
) -> bytes:
    """Exports a network as an ONNX file.

    Args:
        params: the network; it is written in float32.
        squash, last_squash, notes: as for `jaxnet.save`; stored in the file.
        image_dtype: float32, images from 0 to 1; or uint8, images from 0 to 255.
        batch: a fixed batch size; by default, any number of images, including none.

    Returns:
        The bytes of the file, opset 20, validated by `onnx.checker`.

    Raises:
        TypeError, ValueError: not one network of finite floats, an unknown squash, an
            unsupported image dtype, or a batch below 1.
        ModuleNotFoundError: `onnx` is not installed.

    Example:
        >>> import pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.onnx")
        >>> _ = path.write_bytes(export(jaxnet.pretrained(), image_dtype="uint8"))
        >>> load(path)[1].sizes
        (784, 16, 16, 10)

    Source: the ONNX specification, operators of opset 20, https://onnx.ai/onnx/operators.
    """
    onnx = package("onnx", _INSTALL)
    params, spec = with_spec(params, squash, last_squash, notes)
    graph = _graph(onnx, params, spec, np.dtype(image_dtype), batch)
    model = onnx.helper.make_model(
        graph,
        producer_name="jaxnet",
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    said = {"sizes": in_words(spec.sizes), "squash": squash, "last_squash": last_squash}
    onnx.helper.set_model_props(model, with_notes(said, spec.notes))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def load(path: str | os.PathLike[str]) -> tuple[Params, Spec]:
    """Loads a network, bit for bit, from a file that `export` made.

    Args:
        path: the file.

    Returns:
        The network and its spec, as `jaxnet.load` returns them.

    Raises:
        FileError: not ONNX, or not a graph that `export` wrote.
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
        said = {prop.key: prop.value for prop in model.metadata_props}
        sizes = said.pop("sizes")
        arrays = {
            tensor.name: np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
            for tensor in model.graph.initializer
            if tensor.name != "white"
        }
        layers = [(arrays[f"{n}.weights"], arrays[f"{n}.biases"]) for n in range(len(arrays) // 2)]
        params, spec = with_spec(layers, said.pop("squash"), said.pop("last_squash"), said)
        images = model.graph.input[0].type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(images.elem_type)
        # Rebuild the graph: if it is identical, the file holds nothing else.
        graph = _graph(onnx, params, spec, dtype, images.shape.dim[0].dim_value or None)
        opsets = [(opset.domain, opset.version) for opset in model.opset_import]
        whole = graph == model.graph and opsets == [("", _OPSET)]
        if whole and sizes == in_words(spec.sizes):
            return params, spec
    except Exception as error:  # many kinds: invalid protobuf, missing names
        raise FileError(f"{path}: not a graph that jaxnet wrote.") from error
    raise FileError(f"{path}: not a graph that jaxnet wrote, or modified since.")


def _graph(onnx: Any, params: Params, spec: Spec, image_dtype: np.dtype[Any], batch: int | None):
    if image_dtype.name not in ("float32", "uint8"):
        raise ValueError(f"Expected images in float32 or uint8; got {image_dtype} instead.")
    if batch is not None and batch < 1:
        raise ValueError(f"Expected a batch of one image or more; got {batch} instead.")
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
        nodes += _squash(node, squash, z, a)
    n_in, *_, n_out = spec.sizes
    sums = f"{len(params) - 1}.sums"
    if n_out == 1:
        nodes += [
            node("Greater", [sums, "threshold"], ["above"]),
            node("Cast", ["above"], ["column"], to=onnx.TensorProto.INT64),
            node("Squeeze", ["column", "axis"], ["digits"]),
        ]
        constants += [tensor(np.float32(0), "threshold"), tensor(np.array([1], np.int64), "axis")]
    else:
        nodes.append(node("ArgMax", [sums], ["digits"], axis=1, keepdims=0))
    value, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    shape = batch or "n"
    return onnx.helper.make_graph(
        nodes,
        "jaxnet",
        [value("images", onnx.helper.np_dtype_to_tensor_dtype(image_dtype), [shape, n_in])],
        [
            value("digits", types.INT64, [shape]),
            value("activations", types.FLOAT, [shape, n_out]),
        ],
        constants,
    )


def _squash(node: Any, name: str, z: str, a: str) -> list[Any]:
    """The nodes that compute the activations `a` from the sums `z`."""
    *first, last = FOREIGN[name].onnx
    names = [z, *(f"{a}.{n}" for n in range(len(first))), a]
    return [
        node(operator, [z, before] if operator == "Mul" else [before], [after], **attributes)
        for (operator, attributes), before, after in zip(
            (*first, last), names[:-1], names[1:], strict=True
        )
    ]
