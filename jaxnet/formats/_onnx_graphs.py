"""ONNX graphs of any exporter, cut where one value is all that the rest depends on.

Between two cuts, ONNX's own reference evaluator runs the graph in float64. What turns the outputs
into labels is left out. All this happens in a process of its own, since a few bytes of a graph can
ask for any amount of memory and time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet.formats._affine import MOST_WEIGHTS, Affine, Curve, Floats, Shape, Step, parts_of

LOWEST_OPSET = 7  # operators of older opsets broadcast in other ways
_LABELS = ("ArgMax", "ArrayFeatureExtractor", "ZipMap")
_AFTER_LABELS = (*_LABELS, "Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_SCALES = ("Add", "Cast", "Div", "Mul", "Sub")
_MOST_CLASSES = 1000

Arrays = dict[str, NDArray[Any]]


class _Images(NamedTuple):
    """The value that a graph takes.

    Attributes:
        name: its name.
        axis: the axis along which the images are.
        batch: the number of images, if it is fixed.
        shape: of one image.
        is_bytes: whether its pixels are from 0 to 255.
    """

    name: str
    axis: int
    batch: int | None
    shape: Shape
    is_bytes: bool


def read(content: bytes) -> Arrays:
    """The parts of the network in a graph, as arrays by name."""
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        given, constants = _checked(onnx, model)
        nodes, classes, argmax_axes = _split(onnx, model, given.name, constants)
        images = _images(onnx, given, nodes, constants)
        steps = _steps(onnx, model, nodes, constants, images, argmax_axes)
        parts = [*parts_of(steps, images.shape, max(MOST_WEIGHTS, len(content)))]
    except (MemoryError, ValueError):
        raise
    except Exception as error:  # many kinds: attributes of other types, missing names
        raise ValueError("not a whole ONNX graph.") from error
    dtypes = [_array(onnx, tensor).dtype for tensor in model.graph.initializer]
    floats = [dtype for dtype in dtypes if dtype.kind == "f" or dtype.name == "bfloat16"]
    widest = max(floats, key=lambda dtype: dtype.itemsize, default=np.dtype(np.float32))
    found = {"classes": np.array(classes), "dtype": np.array(widest.name)}
    found["of_bytes"] = np.array(images.is_bytes)
    for n, part in enumerate(parts):
        for name, field in part._asdict().items():
            if field is not None:
                found[f"{n}.{type(part).__name__}.{name}"] = np.asarray(field)
    return found


def parts_in(found: Mapping[str, NDArray[Any]]) -> Iterator[Affine | Curve]:
    """The parts in the arrays that `read` returned."""
    fields: dict[tuple[int, str], dict[str, Any]] = {}
    for key, value in found.items():
        if key.count(".") == 2:
            n, kind, name = key.split(".")
            fields.setdefault((int(n), kind), {})[name] = value if value.ndim else value.item()
    for (_, kind), values in sorted(fields.items()):
        yield Affine(**values) if kind == "Affine" else Curve(**values)


def _checked(onnx: Any, model: Any) -> tuple[Any, Arrays]:
    """The graph's one input and its arrays; raises for unsupported graphs."""
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if not opsets:
        raise ValueError("not a whole ONNX graph.")
    if opset < LOWEST_OPSET:
        raise ValueError(f"Expected opset {LOWEST_OPSET} or newer; got {opset}. Export it again.")
    if model.graph.sparse_initializer:
        raise ValueError("Expected dense arrays; got sparse ones.")
    constants = {tensor.name: _array(onnx, tensor) for tensor in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"Expected a graph with one input; got {len(inputs)}.")
    return inputs[0], constants


def _split(
    onnx: Any, model: Any, images: str, constants: Arrays
) -> tuple[list[Any], list[int | str], dict[str, int]]:
    """The nodes between images and outputs, the classes, and the values that ArgMax takes."""
    # Constants that the graph computes are added to the others.
    fixed: list[Any] = []
    nodes: list[Any] = []
    classes: list[int | str] = []
    argmax_axes: dict[str, int] = {}
    varying, labels = {images}, set[str]()
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        taken = {name for name in node.input if name}
        if taken & labels or (taken & varying and node.op_type in _LABELS):
            if node.op_type not in _AFTER_LABELS:
                raise ValueError(
                    f"Expected labels at the end of the graph; got {_said(onnx, node)}."
                )
            labels |= {*node.output}
            outputs |= taken & varying
            if node.op_type == "ArgMax":
                axis = [a.i for a in node.attribute if a.name == "axis"]
                argmax_axes |= {name: sum(axis) for name in taken & varying}
            classes = classes or _classes(onnx, node, constants)
        elif taken & varying:
            varying |= {*node.output}
            nodes.append(node)
        else:
            fixed.append(node)
    if fixed:
        names = [name for node in fixed for name in node.output if name]
        values = _evaluator(onnx, model, fixed, [*constants], names).run(None, constants)
        constants |= dict(zip(names, values, strict=True))

    # The last output is the network's; what it does not need is left out.
    needed, kept = set[str](), list[Any]()
    for node in reversed(nodes):
        if {*node.output} & (needed or outputs):
            needed |= {*node.input, *node.output}
            kept.append(node)
    if not kept:
        raise ValueError("Expected an output of the graph that depends on its images.")
    if unused := (outputs & varying) - needed - {images}:
        raise ValueError(
            "Expected a graph with one output, beside labels and what it is made of; got also "
            f"{', '.join(sorted(unused)):.100}."
        )
    return kept[::-1], classes, argmax_axes


def _images(onnx: Any, given: Any, nodes: Sequence[Any], constants: Arrays) -> _Images:
    """The images as the graph declares them."""
    kind = given.type.tensor_type
    dims = [d.dim_value or None for d in kind.shape.dim]
    if not kind.HasField("shape") or len(dims) < 2:
        raise ValueError("Expected images of a known number of axes, the first for the batch.")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype != np.uint8 and dtype.kind != "f" and dtype.name != "bfloat16":
        raise ValueError(f"Expected images in uint8 or floats; got {dtype}.")
    axis = int(len(dims) == 2 and dims[0] is not None and dims[1] is None)  # images in columns
    shape = [*dims[:axis], *dims[axis + 1 :]]
    if shape == [None]:
        shape = [_inputs_of_first_matrix(nodes, constants)]
    if None in shape:
        raise ValueError("Expected images of a known shape; export the graph with one.")
    return _Images(given.name, axis, dims[axis], tuple(n for n in shape if n), dtype == np.uint8)


def _inputs_of_first_matrix(nodes: Sequence[Any], constants: Arrays) -> int | None:
    """The number of inputs of the first dense layer, for images of a size that is not declared."""
    for node in nodes:
        if node.op_type in ("Gemm", "MatMul") and node.input[1] in constants:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            return constants[node.input[1]].shape[-1 if turned else 0]
    return None


def _steps(
    onnx: Any,
    model: Any,
    nodes: Sequence[Any],
    constants: Arrays,
    images: _Images,
    argmax_axes: Mapping[str, int],
) -> Iterator[Step]:
    """Cuts the graph wherever a single value is all that later nodes use."""
    last_use = {name: n for n, node in enumerate(nodes) for name in node.input}
    last_use[nodes[-1].output[0]] = len(nodes)
    live, group = {images.name}, list[Any]()
    for n, node in enumerate(nodes):
        group.append(node)
        live = {name for name in (*live, *node.output) if last_use.get(name, -1) > n}
        if len(live) == 1:
            (after,) = live
            run = _function(onnx, model, group, constants, images.name, after)
            said = ", ".join(_said(onnx, part) for part in group)[:200]
            step, images = _batch_first(Step(said, run), images, after)
            sizes = [
                constants[name].size for part in group for name in part.input if name in constants
            ]
            is_scale = all(part.op_type in _SCALES for part in group) and {*sizes} <= {1}
            step = step._replace(is_scale=is_scale)
            if after in argmax_axes and argmax_axes[after] % (len(images.shape) + 1) == images.axis:
                raise ValueError(
                    "Expected the argmax_axes output of each image; got ArgMax over images."
                )
            yield step
            group = []


def _function(
    onnx: Any, model: Any, nodes: Sequence[Any], constants: Arrays, before: str, after: str
) -> Callable[[Floats], Floats]:
    """Some nodes as a function of one value, in float64."""
    wide: list[Any] = []
    for node in nodes:
        wide.append(onnx.NodeProto())
        wide[-1].CopyFrom(node)
        for attribute in wide[-1].attribute:
            narrow = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in narrow:
                attribute.i = onnx.TensorProto.DOUBLE
    taken = {name for node in nodes for name in node.input} & constants.keys()
    arrays = {name: _wide(constants[name]) for name in taken}
    try:
        evaluator = _evaluator(onnx, model, wide, [before, *arrays], [after])
    except Exception as error:  # of any kind: an operator that it does not know
        raise _unknown(", ".join(_said(onnx, node) for node in nodes)) from error

    def run(value: Floats) -> Floats:
        try:
            (result,) = evaluator.run(None, {before: value, **arrays})
        except MemoryError:
            raise
        except Exception as error:  # of any kind: an operator that it does not know
            raise ValueError("not evaluated") from error
        return np.asarray(result, np.float64)

    return run


def _batch_first(step: Step, images: _Images, after: str) -> tuple[Step, _Images]:
    """The step with the images along the first axis, and what it makes of them."""

    def run(batch: Floats) -> Floats:
        return step.run(np.moveaxis(batch, 0, images.axis))

    def run_in_pieces(batch: Floats) -> Floats:
        size = images.batch or 1
        whole = np.concatenate([batch, np.zeros((-len(batch) % size, *images.shape))])
        pieces = [
            np.moveaxis(run(whole[n : n + size]), axis, 0) for n in range(0, len(whole), size)
        ]
        return np.concatenate(pieces)[: len(batch)]

    # The images are along the axis that grows with their number, if that is free.
    axis = images.axis
    try:
        two, three = (run(np.zeros((n, *images.shape))).shape for n in (2, 3))
        (axis,) = (n for n, sizes in enumerate(zip(two, three, strict=True)) if sizes == (2, 3))
        along = step._replace(run=lambda batch: np.moveaxis(run(batch), axis, 0))
        shape = (*two[:axis], *two[axis + 1 :])
    except ValueError:
        if images.batch is None:
            raise _unknown(step.name) from None
        along = step._replace(run=run_in_pieces)
        shape = along.run(np.zeros((1, *images.shape))).shape[1:]
    return along, images._replace(name=after, axis=axis, shape=shape)


def _evaluator(
    onnx: Any, model: Any, nodes: Sequence[Any], taken: Sequence[str], given: Sequence[str]
) -> Any:
    """Runs some of a model's nodes in NumPy."""
    from onnx.reference import ReferenceEvaluator

    info = onnx.helper.make_empty_tensor_value_info
    graph = onnx.helper.make_graph(nodes, "part", [*map(info, taken)], [*map(info, given)])
    return ReferenceEvaluator(
        onnx.helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)
    )


def _unknown(nodes: str) -> ValueError:
    return ValueError(
        "Expected operators that ONNX's own evaluator knows, that fit together and that process "
        f"each image separately; got {nodes:.200}."
    )


def _classes(onnx: Any, node: Any, constants: Arrays) -> list[int | str]:
    """The labels that a node gives, unless they are 0, 1, 2, …"""
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    classes: list[Any] = []
    if node.op_type == "ZipMap":
        classes = [*given.get("classlabels_int64s", ()), *given.get("classlabels_strings", ())]
    elif node.op_type == "ArrayFeatureExtractor" and node.input[0] in constants:
        classes = constants[node.input[0]].ravel()[:_MOST_CLASSES].tolist()
    classes = [c.decode(errors="replace") if isinstance(c, bytes) else c for c in classes]
    return [] if classes == [*range(len(classes))] else classes[:_MOST_CLASSES]


def _said(onnx: Any, node: Any) -> str:
    """A node for a message: its operator and its short attributes."""
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    given = {k: v.decode(errors="replace") if isinstance(v, bytes) else v for k, v in given.items()}
    options = [
        f"{name}={v:.3g}" if isinstance(v, float) else f"{name}={v}"
        for name, v in given.items()
        if isinstance(v, int | float | str)
    ]
    return " ".join(f"{domain}{node.op_type}({', '.join(options)})".removesuffix("()").split())[:80]


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers in float64, but for integers, which are shapes."""
    return array if array.dtype.kind in "iub" else array.astype(np.float64)


def _array(onnx: Any, tensor: Any) -> NDArray[Any]:
    """An array that the file itself holds."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError(
            "Expected the arrays in the file itself; they are in another one. Export it in one "
            "file, as with external_data=False."
        )
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # many kinds: an unknown type, a shape of another size
        raise ValueError("Expected whole arrays in the file.") from error
