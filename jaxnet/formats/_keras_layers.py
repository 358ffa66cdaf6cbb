"""The layers of a Keras model, in a straight line, as the parts of a network.

A layer comes from a live model or from a file, where its configuration alone says what it is.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxnet.formats._parts import Part, Rescale, unknown_squash, unsupported
from jaxnet.formats._squashes import FOREIGN

MODELS = ("Sequential", "Functional", "Model")
_IGNORED = {"Dropout", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"}
_OURS = {f.keras: name for name, f in FOREIGN.items() if f.keras} | {"swish": "silu"}


class Step(NamedTuple):
    """One layer.

    Attributes:
        kind: its class in `keras.layers`; empty for any other class.
        name: for messages.
        config: its configuration.
        arrays: reads its weights.
        squash: identifies its activation function, by the name in `SQUASHES`.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    arrays: Callable[[], list[Any]]
    squash: Callable[[], str]


def parts_of(steps: Iterable[Step]) -> Iterator[Part]:
    """What `in_a_row` takes, after validation of what each layer does to the shape."""
    shape: tuple[int | None, ...] | None = None  # of one input, where it is known
    for step in steps:
        declared = step.config.get("batch_shape") or step.config.get("batch_input_shape")
        shape = tuple(declared[1:]) if declared else shape
        match step.kind:
            case "InputLayer":
                if step.config.get("dtype") == "uint8":
                    yield Rescale(1.0, 0.0, of_bytes=True)
            case "Flatten":
                one_axis = shape is not None and len(shape) == 1
                if step.config.get("data_format") == "channels_first" and not one_axis:
                    raise ValueError(
                        f"Expected Flatten with channels_last, which keeps the order of the "
                        f"pixels; got channels_first in {step.name}."
                    )
                shape = _flat(shape)
            case "Reshape":
                size, shape = _flat(shape), tuple(step.config["target_shape"])
                shape = size if shape == (-1,) else shape
            case "Rescaling":
                scale, offset = step.config.get("scale"), step.config.get("offset", 0.0)
                if not all(isinstance(n, int | float) for n in (scale, offset)):
                    raise ValueError(f"Expected one scale and one offset in {step.name}.")
                yield Rescale(scale, offset)  # pyright: ignore[reportArgumentType]
            case "Dense":
                if shape is not None and len(shape) != 1:
                    raise ValueError(
                        f"Expected Dense layers on flat inputs; {step.name} takes inputs of shape "
                        f"{shape}, so it would be applied to each row. Put a Flatten before it."
                    )
                kernel, bias = _pair(step)
                yield kernel.T, bias
                shape = (kernel.shape[-1],)
                yield step.squash()
            case kind if kind not in _IGNORED:
                if step.arrays():
                    raise unsupported("Dense layers", step.name)
                yield step.squash()
            case _:
                pass


def in_line(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a model's configuration in the order in which an input passes them."""
    if isinstance(config, list):  # Keras 2.0 to 2.2
        return config
    if "input_layers" not in config:
        return config["layers"]
    layers = {_name(layer): layer for layer in config["layers"]}
    follower: dict[str, str] = {}
    for name, layer in layers.items():
        sources = [*_histories(layer.get("inbound_nodes", []))]
        if len(sources) > 1 or any(source in follower for source in sources):
            raise ValueError(f"Expected layers in a straight line; the model branches at {name}.")
        follower |= dict.fromkeys(sources, name)
    ends = [[*_histories(config[end])] for end in ("input_layers", "output_layers")]
    if any(len(names) != 1 for names in ends):
        raise ValueError("Expected a model with one input and one output.")
    order = [ends[0][0]]
    while order[-1] in follower and len(order) <= len(layers):
        order.append(follower[order[-1]])
    if {*order} != {*layers} or order[-1] != ends[1][0]:
        raise ValueError("Expected layers in a straight line from the input to the output.")
    return [layers[name] for name in order]


def named_squash(kind: str, config: Any) -> str:
    """The name in `SQUASHES` of what a layer's configuration says that it applies."""
    match kind:
        case "Dense" | "Activation":
            function = config.get("activation") or "linear"
            if isinstance(function, Mapping):
                return named_squash(str(function.get("class_name")), function.get("config"))
            kind = str(function)
        case "function":
            kind = str(config)
        case "ReLU":
            if not any(config.get(name) for name in ("max_value", "negative_slope", "threshold")):
                return "relu"
        case "LeakyReLU":
            if math.isclose(config.get("negative_slope", config.get("alpha")), 0.01, rel_tol=1e-6):
                return "leaky_relu"
        case "ELU":
            if config.get("alpha", 1.0) == 1.0:
                return "elu"
        case "Softmax":
            if config.get("axis", -1) == -1:
                return "softmax"
        case _:
            pass
    if kind in _OURS:
        return _OURS[kind]
    differs = FOREIGN[kind].keras_differs if kind in FOREIGN else ""
    raise unknown_squash(f"{kind}, which {differs}" if differs else kind)


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _histories(tree: Any) -> Iterator[str]:
    """The names of the layers from which tensors come, in Keras 2's and Keras 3's notation."""
    if isinstance(tree, Mapping):
        tree = tree.get("keras_history") or [*tree.values()]
    if isinstance(tree, list | tuple):  # the latter in live models
        if len(tree) > 1 and isinstance(tree[0], str) and isinstance(tree[1], int):
            yield tree[0]
        else:
            for part in tree:
                yield from _histories(part)


def _flat(shape: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
    if shape is None or None in shape:
        return None if shape is None else (None,)
    return (math.prod(n for n in shape if n),)


def _pair(step: Step) -> list[Any]:
    arrays = step.arrays()
    if len(arrays) != 2:
        raise unsupported("Dense layers", f"Dense {step.name} with {len(arrays)} arrays")
    return arrays
