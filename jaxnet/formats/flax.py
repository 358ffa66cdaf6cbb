"""Flax networks: NNX's `Sequential`, and the variables of Linen's `Dense` layers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxnet._util.optional import package
from jaxnet.formats._affine import Step, dense, image_shape
from jaxnet.formats._order import in_one_line, in_order
from jaxnet.formats._parts import from_steps, jax_step, name_of, with_spec
from jaxnet.formats._spec import Spec
from jaxnet.network import SIDE, SQUASHES, Params, Squash

__all__ = ["from_linen", "from_nnx", "to_linen", "to_nnx"]

_INSTALL = "pip install flax"


def to_nnx(params: Params, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid") -> Any:
    """Converts a network to Flax NNX.

    Args:
        params: the network.
        squash, last_squash: as for `jaxnet.save`.

    Returns:
        A `flax.nnx.Sequential` of alternating `Linear` layers and activation functions. It takes
        one image or a batch.

    Raises:
        TypeError, ValueError: not one network of finite floats, or an unknown squash.
        ModuleNotFoundError: Flax is not installed.

    Example:
        >>> import jax, jaxnet
        >>> to_nnx(jaxnet.pretrained())(jax.numpy.zeros((5, 784))).shape
        (5, 10)
    """
    nnx = package("flax.nnx", _INSTALL)
    params, spec = with_spec(params, squash, last_squash)
    parts: list[Any] = []
    for (w, b), name in zip(params, spec.by_layer, strict=True):
        linear = nnx.Linear(
            w.shape[1],
            w.shape[0],
            param_dtype=w.dtype,
            kernel_init=lambda *_, w=w: w.T,
            bias_init=lambda *_, b=b: b,
            rngs=nnx.Rngs(0),
        )
        parts += [linear, SQUASHES[name]]
    return nnx.Sequential(*parts)


def from_nnx(model: Any) -> tuple[Params, Spec]:
    """Converts a network from Flax NNX.

    Args:
        model: a `flax.nnx.Sequential` of squashing functions and layers that are affine at
            inference.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: unsupported layers, or shapes that do not match.
        ModuleNotFoundError: Flax is not installed.

    Example:
        >>> from flax import nnx
        >>> from_nnx(nnx.Sequential(nnx.Linear(784, 10, rngs=nnx.Rngs(0)), nnx.sigmoid))[1]
        Spec(sizes=(784, 10), squash='sigmoid', last_squash='sigmoid', notes={})
    """
    nnx = package("flax.nnx", _INSTALL)
    if not isinstance(model, nnx.Sequential):
        raise TypeError(f"Expected a flax.nnx.Sequential; got a {type(model).__name__} instead.")
    steps = [*_steps(nnx, model)]
    return from_steps(steps, image_shape(steps, SIDE))


def to_linen(params: Params) -> dict[str, Any]:
    """Converts a network to the variables of Flax Linen; does not need Flax.

    Args:
        params: the network.

    Returns:
        `{"params": {"Dense_0": {"kernel": …, "bias": …}, …}}`, the variables of a compact module
        that calls `Dense(16)`, `Dense(16)` and `Dense(10)`. Kernels have shape `(in, out)`.

    Raises:
        TypeError, ValueError: not one network of finite floats.

    Example:
        >>> import jaxnet
        >>> to_linen(jaxnet.pretrained())["params"]["Dense_0"]["kernel"].shape
        (784, 16)
    """
    params, _ = with_spec(params, "sigmoid", "sigmoid")
    return {"params": {f"Dense_{n}": {"kernel": w.T, "bias": b} for n, (w, b) in enumerate(params)}}


def from_linen(
    variables: Mapping[str, Any], *, squash: Squash, last_squash: Squash
) -> tuple[Params, Spec]:
    """Converts a network from the variables of Flax Linen.

    Args:
        variables: the result of `model.init`: a kernel and a bias for each layer. Names that differ
            only in a number, such as `Dense_0`, are sorted by it; others, such as `hidden` and
            `out`, are put in the order that fits their shapes.
        squash: the hidden layers' activation function, a name in `jaxnet.network.SQUASHES`;
            the variables do not say.
        last_squash: the last layer's; `identity` where the model ends in `Dense`.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: other variables, shapes that do not match, or no single order.

    Example:
        >>> import jaxnet
        >>> variables = to_linen(jaxnet.pretrained())
        >>> from_linen(variables, squash="sigmoid", last_squash="sigmoid")[1].sizes
        (784, 16, 16, 10)
    """
    if set(variables) != {"params"}:
        raise ValueError(
            'Expected variables of the form {"params": …}, as model.init returns them.'
        )
    dense = variables["params"]
    for name, layer in dense.items():
        if not isinstance(layer, Mapping) or set(layer) != {"kernel", "bias"}:
            raise ValueError(f"Expected exactly a kernel and a bias in each layer; {name} differs.")
    return _in_order(
        {n: (np.asarray(d["kernel"]), d["bias"]) for n, d in dense.items()}, squash, last_squash
    )


def from_arrays(
    arrays: Mapping[str, Any], *, squash: Squash, last_squash: Squash
) -> tuple[Params, Spec]:
    """Converts flat arrays, as `safetensors.flax` keeps them; does not need Flax."""
    names = [name.removesuffix("kernel") for name in arrays if name.endswith("kernel")]
    if set(arrays) != {name + kind for name in names for kind in ("kernel", "bias")}:
        raise ValueError(
            "Expected a kernel and a bias for each layer, and no other arrays; got "
            f"{in_one_line(arrays):.200}."
        )
    layers = {n: (np.asarray(arrays[n + "kernel"]), arrays[n + "bias"]) for n in names}
    return _in_order(layers, squash, last_squash)


def _in_order(
    layers: Mapping[str, tuple[Any, Any]], squash: Squash, last_squash: Squash
) -> tuple[Params, Spec]:
    """Builds a network from kernels and biases, whose mapping is in no order."""
    shapes = {name: kernel.shape[::-1] for name, (kernel, _) in layers.items()}
    order = in_order(shapes, declared=False)
    return with_spec([(layers[n][0].T, layers[n][1]) for n in order], squash, last_squash)


def _steps(nnx: Any, model: Any) -> Iterator[Step]:
    for part in model.layers:
        if isinstance(part, nnx.Sequential):
            yield from _steps(nnx, part)
        elif type(part) is nnx.Linear:
            kernel = np.asarray(part.kernel[...])
            bias = np.zeros(kernel.shape[1], kernel.dtype) if part.bias is None else part.bias[...]
            yield dense("Linear", kernel.T, bias)
        else:
            yield jax_step(name_of(part), part)
