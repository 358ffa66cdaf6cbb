"""ONNX graphs of other exporters, followed node by node, as the parts of a network.

One value is followed from the images to the outputs. Each node that takes it must be a layer, a
squash, a rescaling of the images or a change of shape that keeps the order of the pixels; anything
else is refused, and so is a branch. Nodes that only turn the outputs into labels are left out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet.formats._parts import Part, Rescale
from jaxnet.formats._squashes import FOREIGN

Charge = Callable[[int], None]
_BATCH = 1_000_003  # stands for any number of images in the shapes that a graph computes
LOWEST_OPSET = 7  # operators of older opsets broadcast in other ways
_SMALL = 64  # numbers in an array that is computed with: shapes
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    **{"LeakyRelu": {"alpha": 0.01}, "Elu": {"alpha": 1.0}, "Swish": {"alpha": 1.0}},
    "Gelu": {"approximate": "none"},
}
_SQUASHES = {
    **{f.onnx[0][0]: (name, f.onnx[0][1]) for name, f in FOREIGN.items() if len(f.onnx) == 1},
    "Swish": ("silu", {"alpha": 1.0}),
}
_TO_LABELS = {
    *("ai.onnx.ml.ZipMap", "ai.onnx.ml.ArrayFeatureExtractor", "ai.onnx.ml.LabelEncoder"),
    *("ArgMax", "Cast", "Identity", "Reshape", "Squeeze", "Flatten"),
}


class _Value(NamedTuple):
    """The value being followed: its step number, its shape, and whether images are columns."""

    n: int
    shape: tuple[int | None, ...]
    columns: bool = False


@dataclass
class _Walk:
    """What is known after some of the nodes."""

    onnx: Any
    opset: int
    charge: Charge  # raises for too many bytes
    constants: dict[str, NDArray[Any]]
    values: dict[str, _Value]
    n: int = 0  # changes so far
    last_layer: int = 0  # the change that was the last layer
    parts: list[Part] = field(default_factory=list[Part])
    labels: set[str] = field(default_factory=set[str])
    complements: set[str] = field(default_factory=set[str])
    notes: dict[str, str] = field(default_factory=dict[str, str])


def parts_of(onnx: Any, model: Any, charge: Charge) -> tuple[list[Part], dict[str, str]]:
    """What `in_a_row` takes, and notes; reports the size of every array to `charge`."""
    graph = model.graph
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if opset < LOWEST_OPSET:
        raise ValueError(f"Expected opset {LOWEST_OPSET} or newer; got {opset}. Export it again.")
    if graph.sparse_initializer:
        raise ValueError("Expected dense arrays; got sparse ones.")
    constants = {tensor.name: _array(onnx, tensor) for tensor in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"Expected a graph with one input; got {len(inputs)}.")
    walk = _Walk(onnx, opset, charge, constants, {})
    _begin(walk, inputs[0])
    for node in graph.node:
        _follow(walk, node)
    outputs = [output.name for output in graph.output]
    if not any(
        name in walk.labels or (name in walk.values and walk.values[name].n == walk.n)
        for name in outputs
    ):
        raise ValueError("Expected the last layer's outputs to be an output of the graph.")
    return walk.parts, walk.notes


def _begin(walk: _Walk, images: Any) -> None:
    kind = images.type.tensor_type
    dims = [d.dim_value or None for d in kind.shape.dim]
    if not kind.HasField("shape") or len(dims) < 2:
        raise ValueError("Expected images of a known number of axes, the first for the batch.")
    columns = len(dims) == 2 and dims[0] is not None and dims[1] is None
    dims[int(columns)] = dims[int(columns)] or _BATCH
    walk.values[images.name] = _Value(0, tuple(dims), columns)
    dtype = walk.onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype == np.uint8:
        walk.parts.append(Rescale(1.0, 0.0, of_bytes=True))
    elif dtype.kind != "f" and dtype.name != "bfloat16":
        raise ValueError(f"Expected images in uint8 or floats; got {dtype}.")


def _follow(walk: _Walk, node: Any) -> None:
    """Takes one node into account."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    operator = f"{domain}.{node.op_type}".lstrip(".")
    names, out = [name for name in node.input if name], node.output[0]
    given = {a.name: walk.onnx.helper.get_attribute_value(a) for a in node.attribute}
    taken = [walk.values[name] for name in names if name in walk.values]
    current = bool(taken) and taken[0].n == walk.n
    if any(name in walk.labels for name in names):
        if operator not in _TO_LABELS:
            raise _unsupported(operator, "after the outputs")
        _to_labels(walk, operator, node, names, given)
    elif operator == "Constant":
        walk.constants[out] = _constant(walk.onnx, given)
    elif operator == "Shape" and taken and not given:
        walk.constants[out] = np.array([size or -(10**6) for size in taken[0].shape], np.int64)
    elif all(name in walk.constants for name in names):
        constants = [walk.constants[name] for name in names]
        try:
            walk.constants[out] = computed = _computed(walk, operator, constants, given)
        except (IndexError, TypeError, ValueError) as error:
            raise _unsupported(operator, "of constants") from error
        walk.charge(computed.nbytes)
    elif operator in ("ArgMax", "ai.onnx.ml.ZipMap") and _is_last(walk, taken):
        if operator == "ArgMax" and given.get("axis", 0) % 2 == int(taken[0].columns):
            raise _unsupported("ArgMax", "over images")
        _to_labels(walk, operator, node, names, given)
    elif operator == "Mul" and len(taken) == 2:
        _gate(walk, taken, out)
    elif operator == "Concat" and len(names) == 2 and names[0] in walk.complements and current:
        walk.labels.add(out)  # the probabilities of two classes, from the one of the second
    elif len(taken) == 1 and current:
        constants = [walk.constants.get(name) for name in names]
        _change(walk, operator, taken[0], constants, given, out)
    else:
        raise ValueError(f"Expected layers in a straight line; the graph branches at {operator}.")


def _change(
    walk: _Walk,
    operator: str,
    value: _Value,
    constants: list[NDArray[Any] | None],
    given: Mapping[str, Any],
    out: str,
) -> None:
    """A node that takes the followed value and constants."""
    last = walk.parts[-1] if walk.parts else None
    other = next((c for c in constants if c is not None), None)
    first = constants[0] is None  # whether the value is the first input
    if not first and operator not in ("Add", "Gemm", "MatMul", "Mul", "Sub"):
        raise _unsupported(operator, "of a constant")
    match operator:
        case "Identity" | "Cast" | "Dropout":
            if operator == "Cast" and walk.onnx.TensorProto.DataType.Name(given["to"]) not in (
                *("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"),
            ):
                raise _unsupported("Cast", "to integers")
            if operator == "Dropout" and len(constants) > 2 and bool(np.any(constants[2])):
                raise _unsupported("Dropout", "as in training")
            walk.values[out] = value
        case "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose":
            walk.values[out] = _reshaped(walk, operator, value, other, given)
        case "Gemm" | "MatMul":
            _layer(walk, operator, value, constants, given, out)
        case "Add" | "Sub" if isinstance(last, tuple) and not isinstance(last, Rescale):
            if other is None or (operator == "Sub" and not first):
                raise _unsupported(operator, "after a layer")
            w, b = last
            walk.parts[-1] = w, _plus(b, other if operator == "Add" else -other, value.columns)
            _advance(walk, out, value)
            walk.last_layer = walk.n
        case "Sub" if (
            last == "sigmoid" and not first and value.shape[-1] == 1 and np.all(other == 1)
        ):
            walk.complements.add(out)
        case "Add" | "Sub" | "Mul" | "Div" if not walk.last_layer:
            if other is None or other.size != 1:
                raise _unsupported(operator, "that changes pixels differently")
            c = float(other.item())
            scale = {"Mul": c, "Div": 1 / c if c else math.inf}.get(operator, 1.0)
            offset = {"Add": c, "Sub": -c}.get(operator, 0.0)
            sign = -1 if operator == "Sub" and not first else 1
            walk.parts.append(Rescale(sign * scale, sign * offset))
            _advance(walk, out, value)
        case _:
            walk.parts.append(_squash(walk, operator, value, given))
            _advance(walk, out, value)


def _advance(walk: _Walk, out: str, value: _Value) -> None:
    walk.n += 1
    walk.values[out] = value._replace(n=walk.n)


def _is_last(walk: _Walk, taken: list[_Value]) -> bool:
    """Whether it is the last layer's outputs, before or after the squash, that a node takes."""
    return len(taken) == 1 and 0 < walk.last_layer <= taken[0].n


def _to_labels(
    walk: _Walk, operator: str, node: Any, names: list[str], given: Mapping[str, Any]
) -> None:
    """Leaves out what follows the outputs; notes the classes if they are not 0, 1, 2, …"""
    walk.labels |= {*node.output}
    classes: list[Any] = []
    if operator == "ai.onnx.ml.ZipMap":
        classes = [*given.get("classlabels_int64s", ()), *given.get("classlabels_strings", ())]
    elif operator == "ai.onnx.ml.ArrayFeatureExtractor" and names[0] in walk.constants:
        classes = walk.constants[names[0]].ravel()[:1000].tolist()
    classes = [c.decode(errors="replace") if isinstance(c, bytes) else c for c in classes]
    if classes and classes != [*range(len(classes))]:
        walk.notes["classes"] = ", ".join(map(str, classes))[:1000]


def _layer(
    walk: _Walk,
    operator: str,
    value: _Value,
    constants: list[NDArray[Any] | None],
    given: Mapping[str, Any],
    out: str,
) -> None:
    """A product with a matrix: `value @ w.T`, or `w @ value` for images in columns."""
    trans_a, trans_b = bool(given.get("transA")), bool(given.get("transB"))
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    first = constants[0] is None
    w = constants[1 if first else 0] if sum(c is None for c in constants[:2]) == 1 else None
    in_columns = value.columns != (trans_a if first else trans_b)
    if len(value.shape) != 2 or w is None or w.ndim != 2 or in_columns == first:
        raise ValueError(
            f"Expected flat images, of shape (n, pixels), times a matrix; got {operator} of "
            f"{len(value.shape)} axes in another way."
        )
    w = (w if trans_b else w.T) if first else (w.T if trans_a else w)
    n_in = value.shape[1 - int(value.columns)]
    if n_in not in (None, w.shape[1]):
        raise ValueError(f"Expected a matrix for {n_in} inputs; got one for {w.shape[1]}.")
    walk.charge(w.nbytes)  # a graph may use the same array many times
    w = w if alpha == 1 else (w.astype(np.float64) * alpha).astype(w.dtype)
    b = np.zeros(len(w), w.dtype)
    if len(constants) > 2:
        c = constants[2]
        if c is None:
            raise _unsupported(operator, "with a bias that is no constant")
        b = _plus(b, c if beta == 1 else (c.astype(np.float64) * beta), in_columns)
    n = value.shape[int(value.columns)]
    shape = (len(w), n) if in_columns else (n, len(w))
    walk.parts.append((w, b))
    _advance(walk, out, _Value(0, shape, in_columns))
    walk.last_layer = walk.n


def _plus(b: NDArray[Any], c: NDArray[Any], columns: bool) -> NDArray[Any]:
    """Biases plus a constant, broadcast over images."""
    try:
        more = np.broadcast_to(c, (len(b), 1) if columns else (1, len(b))).reshape(-1)
    except ValueError as error:
        raise ValueError("Expected biases of one number for each neuron.") from error
    return more.astype(b.dtype) if not b.any() else (b + more.astype(np.float64)).astype(b.dtype)


def _gate(walk: _Walk, taken: list[_Value], out: str) -> None:
    """SiLU as two nodes: the sigmoid times what it was applied to."""
    before, after = sorted(taken)
    if not walk.parts or walk.parts[-1] != "sigmoid" or (before.n, after.n) != (walk.n - 1, walk.n):
        raise _unsupported("Mul", "of two values")
    walk.parts[-1] = "silu"
    _advance(walk, out, after)


def _squash(walk: _Walk, operator: str, value: _Value, given: Mapping[str, Any]) -> str:
    if operator == "Softmax":
        axis = given.get("axis", -1 if walk.opset >= 13 else 1)
        if len(value.shape) != 2 or axis % 2 == int(value.columns):
            raise _unsupported("Softmax", "over images")
        return "softmax"
    if operator not in _SQUASHES or not walk.last_layer:
        raise _unsupported(operator, "" if walk.last_layer else "before the first layer")
    name, wanted = _SQUASHES[operator]
    for key, expected in wanted.items():
        got = given.get(key, _DEFAULTS.get(operator, {}).get(key))
        got = got.decode(errors="replace") if isinstance(got, bytes) else got
        same = math.isclose(got, expected, rel_tol=1e-6) if isinstance(got, float) else False
        if not same and got != expected:
            raise _unsupported(operator, f"with {key} {got!s:.20}")
    return name


def _reshaped(
    walk: _Walk,
    operator: str,
    value: _Value,
    other: NDArray[Any] | None,
    given: Mapping[str, Any],
) -> _Value:
    """The value in another shape, which keeps the images apart and their pixels in order."""
    old = value.shape
    if operator == "Transpose" and len(old) == 2 and [*given.get("perm", (1, 0))] == [1, 0]:
        return value._replace(shape=old[::-1], columns=not value.columns)
    axes = other.ravel().tolist() if other is not None else [*given.get("axes", ())]
    new: list[int | None]
    match operator:
        case "Flatten":
            axis = given.get("axis", 1)
            axis += len(old) * (axis < 0)
            new = [_product(old[:axis]), _product(old[axis:])]
        case "Reshape":
            new = [old[n] if size == 0 else size for n, size in enumerate(axes[: len(old)])]
            new += axes[len(old) :]
            if -1 in new:
                known, whole = _product([n for n in new if n != -1]), _product(old)
                new[new.index(-1)] = whole // known if whole and known else None
        case "Transpose":
            order = given.get("perm", range(len(old))[::-1])
            kept = [n for n in order if old[n] != 1]
            new = [old[n] for n in order] if kept == sorted(kept) else []
        case "Squeeze":
            gone = {n % len(old) for n in axes} or {n for n, size in enumerate(old) if size == 1}
            new = [size for n, size in enumerate(old) if n not in gone]
        case _:
            new = [*old]
            for axis in sorted(n % (len(old) + len(axes)) for n in axes):
                new.insert(axis, 1)
    if value.columns or not new or new[0] != old[0] or _product(new) != _product(old):
        raise _unsupported(operator, "that mixes images or pixels")
    return value._replace(shape=tuple(new))


def _product(sizes: Any) -> int | None:
    return None if None in sizes else math.prod(sizes)


def _computed(
    walk: _Walk, operator: str, constants: list[NDArray[Any]], given: Mapping[str, Any]
) -> NDArray[Any]:
    """What a node makes of constants."""
    first, *rest = constants
    axes = rest[0].ravel().tolist() if rest else [*given.get("axes", ())]
    match operator:
        case "Identity":
            return first
        case "Transpose":
            return first.transpose(given.get("perm"))
        case "Cast":
            dtype = walk.onnx.helper.tensor_dtype_to_np_dtype(given["to"])
            return first.astype(dtype, copy=False)
        case "Reshape":
            return first.reshape([first.shape[n] if s == 0 else s for n, s in enumerate(axes)])
        case "Squeeze":
            return first.squeeze(tuple(axes) if axes else None)
        case "Unsqueeze":
            return np.expand_dims(first, tuple(axes))
        case "Gather" | "Concat" | "Slice" if sum(c.size for c in constants) <= _SMALL:
            axis = given.get("axis", 0)
            if operator == "Concat":
                return np.concatenate(constants, axis)
            if operator == "Gather":
                return np.take(first, rest[0], axis)
            if first.ndim == 1 and len(rest) > 1:
                return first[slice(*(int(c.item()) for c in (*rest[:2], *rest[3:])))]
        case _:
            pass
    raise _unsupported(operator, "of constants")


def _constant(onnx: Any, given: Mapping[str, Any]) -> NDArray[Any]:
    ((kind, value),) = given.items()
    if kind == "value":
        return _array(onnx, value)
    if kind in ("value_float", "value_floats"):
        return np.asarray(value, np.float32)
    if kind in ("value_int", "value_ints"):
        return np.asarray(value, np.int64)
    raise _unsupported("Constant", "of text")


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


def _unsupported(operator: str, how: str) -> ValueError:
    return ValueError(
        f"Expected plain layers and squashes in the graph; got {' '.join(operator.split()):.60} "
        f"{how}".rstrip()
        + "."
    )
