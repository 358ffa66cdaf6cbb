"""The layers of a Keras model, in a straight line, as functions in NumPy.

A layer comes from a live model or from a file, where its configuration alone says what it is.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnet.formats._affine import Floats, Step, dense, image_shape
from jaxnet.formats._parts import from_steps, unknown_squash
from jaxnet.formats._spec import Spec
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import SIDE, Params

Run = Callable[[Floats], Floats]

MODELS = ("Sequential", "Functional", "Model")
_OURS = {f.keras: name for name, f in FOREIGN.items() if f.keras} | {"swish": "silu"}
_IDLE = {  # layers that do nothing at inference
    *("InputLayer", "ActivityRegularization", "Dropout", "AlphaDropout", "SpatialDropout2D"),
    *("GaussianDropout", "GaussianNoise", "RandomBrightness", "RandomContrast"),
    *("RandomFlip", "RandomHeight", "RandomRotation", "RandomShear", "RandomTranslation"),
    *("RandomWidth", "RandomZoom"),
}


class KerasLayer(NamedTuple):
    """One layer.

    Attributes:
        kind: its class in `keras.layers`; empty for any other class.
        name: for messages.
        config: its configuration.
        arrays: reads its weights, in Keras's order.
        squash: identifies its activation function.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    arrays: Callable[[], list[Any]]
    squash: Callable[[], Step]


def network_of(layers: Iterable[KerasLayer], pixels: float | None) -> tuple[Params, Spec]:
    """Builds a network from layers in a line."""
    layers = [*layers]
    steps = [*_steps(layers)]
    names = ("batch_shape", "batch_input_shape")
    declared = (layer.config.get(name) for layer in layers for name in names)
    whole = [tuple(shape[1:]) for shape in declared if shape and None not in shape[1:]]
    if pixels is None and any(layer.config.get("dtype") == "uint8" for layer in layers[:1]):
        pixels = 255
    if pixels is None:
        _check_scale(layers)
    return from_steps(steps, image_shape(steps, SIDE, whole), pixels=pixels)


def _check_scale(layers: Iterable[KerasLayer]) -> None:
    """Raises where images were normalized whose scale only the caller knows."""
    for layer in layers:
        if layer.kind == "Normalization":
            mean = layer.arrays()[0] if layer.arrays() else layer.config.get("mean")
            if np.max(np.asarray(mean, np.float64)) > 1:
                raise ValueError(
                    f"Expected the scale of the pixels that {layer.name} has seen, since their "
                    "mean is above 1; pass pixels=255, for example."
                )


def _steps(layers: Iterable[KerasLayer]) -> Iterator[Step]:
    """The functions of the layers, without those that are idle."""
    for layer in layers:
        if layer.kind in _IDLE:
            continue
        arrays = layer.arrays()
        if layer.kind == "Dense":
            kernel, *biases = _counted(layer, arrays, 1 + layer.config.get("use_bias", True))
            bias = biases[0] if biases else np.zeros(kernel.shape[-1:], kernel.dtype)
            yield dense(layer.name, kernel.T, bias)
        elif layer.kind in _AFFINE:
            run = _AFFINE[layer.kind](layer, arrays)
            yield Step(layer.name, run, is_scale=layer.kind == "Rescaling")
        elif arrays:
            raise unknown_squash(layer.name)
        if layer.kind not in _AFFINE or "activation" in layer.config:
            yield layer.squash()


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
        case "Dense" | "Conv2D" | "Activation":
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


def _counted(layer: KerasLayer, arrays: list[Any], n: int) -> list[Any]:
    if len(arrays) != n:
        raise ValueError(f"Expected {n} arrays in {layer.name}; got {len(arrays)}.")
    return arrays


def _reshape(layer: KerasLayer, _: Any) -> Run:
    shape = layer.config["target_shape"]
    return lambda a: a.reshape(len(a), *shape)


def _flatten(layer: KerasLayer, _: Any) -> Run:
    if layer.config.get("data_format") == "channels_first":
        return lambda a: (np.moveaxis(a, 1, -1) if a.ndim > 2 else a).reshape(len(a), -1)
    return lambda a: a.reshape(len(a), -1)


def _permute(layer: KerasLayer, _: Any) -> Run:
    return lambda a: a.transpose(0, *layer.config["dims"])


def _rescaling(layer: KerasLayer, _: Any) -> Run:
    scale, offset = (np.asarray(layer.config[name], np.float64) for name in ("scale", "offset"))
    return lambda a: a * scale + offset


def _normalization(layer: KerasLayer, arrays: list[Any]) -> Run:
    """Source: https://keras.io/api/layers/preprocessing_layers/numerical/normalization."""
    config = layer.config
    mean, variance = arrays[:2] if arrays else (config["mean"], config["variance"])
    mean, deviation = np.asarray(mean, np.float64), np.sqrt(np.asarray(variance, np.float64))
    deviation = np.maximum(deviation, 1e-7)
    axes = config.get("axis", -1)
    axes = [] if axes is None else [axes] if isinstance(axes, int) else [*axes]

    def run(a: Floats) -> Floats:
        kept = {axis % a.ndim for axis in axes}
        shape = [n if axis in kept else 1 for axis, n in enumerate(a.shape)]
        # A single mean is for all.
        center, width = (v if v.size == 1 else v.reshape(shape) for v in (mean, deviation))
        return a * width + center if config.get("invert") else (a - center) / width

    return run


def _batch_normalization(layer: KerasLayer, arrays: list[Any]) -> Run:
    """Source: https://keras.io/api/layers/normalization_layers/batch_normalization."""
    config = layer.config
    n = config.get("scale", True) + config.get("center", True)
    *given, mean, variance = (np.asarray(a, np.float64) for a in _counted(layer, arrays, n + 2))
    gamma = given.pop(0) if config.get("scale", True) else 1.0
    beta = given.pop() if config.get("center", True) else 0.0
    gamma = gamma / np.sqrt(variance + config.get("epsilon", 1e-3))
    axis = config.get("axis", -1)
    (axis,) = axis if isinstance(axis, list | tuple) else (axis,)
    return lambda a: np.moveaxis((np.moveaxis(a, axis, -1) - mean) * gamma + beta, -1, axis)


def _convolution(layer: KerasLayer, arrays: list[Any]) -> Run:
    """Source: https://keras.io/api/layers/convolution_layers/convolution2d."""
    config = layer.config
    kernel, *biases = _counted(layer, arrays, 1 + config.get("use_bias", True))
    kernel, bias = np.asarray(kernel, np.float64), biases[0] if biases else 0.0
    plain = [config.get("data_format", "channels_last"), config.get("groups", 1)]
    if plain != ["channels_last", 1] or {*config.get("dilation_rate", [1])} != {1}:
        raise unknown_squash(f"{layer.name} with groups, dilation or channels first")

    def run(a: Floats) -> Floats:
        windows = _windows(a, kernel.shape[:2], config["strides"], config["padding"])
        return np.einsum("nyxcij,ijcd->nyxd", windows, kernel, optimize=True) + bias

    return run


def _average(layer: KerasLayer, _: Any) -> Run:
    config = layer.config
    if config.get("padding") != "valid" or config.get("data_format") == "channels_first":
        raise unknown_squash(f"{layer.name} with padding or channels first")
    size = config["pool_size"]
    return lambda a: _windows(a, size, config["strides"] or size, "valid").mean((-2, -1))


def _windows(a: Floats, size: Any, strides: Any, padding: str) -> Floats:
    """The windows of images with channels last, of shape `(n, y, x, channels, *size)`."""
    if padding == "same":
        sizes = zip(a.shape[1:3], size, strides, strict=True)
        total = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in sizes]
        a = np.pad(a, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(a, size, axis=(1, 2))  # pyright: ignore
    return windows[:, :: strides[0], :: strides[1]]


# To read another layer, give its function of a batch a line here.
_AFFINE: Mapping[str, Callable[[KerasLayer, list[Any]], Run]] = {
    "AveragePooling2D": _average,
    "BatchNormalization": _batch_normalization,
    "Conv2D": _convolution,
    "Flatten": _flatten,
    "Normalization": _normalization,
    "Permute": _permute,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
}
