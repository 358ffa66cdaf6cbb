"""Equinox networks: `nn.MLP` and `nn.Sequential`."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxnet._util.optional import package
from jaxnet.formats._affine import Step, dense, image_shape
from jaxnet.formats._parts import from_steps, jax_step, name_of, with_spec
from jaxnet.formats._spec import Spec
from jaxnet.network import SIDE, SQUASHES, Params, Squash

_INSTALL = "pip install equinox"


def to_equinox(
    params: Params, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> Any:
    """Converts a network to Equinox.

    Args:
        params: the network.
        squash, last_squash: as for `jaxnet.save`.

    Returns:
        An `equinox.nn.Sequential` of alternating `Linear` and `Lambda`, since an `MLP` has a single
        width for all hidden layers. It takes one image.

    Raises:
        TypeError, ValueError: not one network of finite floats, or an unknown squash.
        ModuleNotFoundError: Equinox is not installed.

    Example:
        >>> import jax, jaxnet
        >>> to_equinox(jaxnet.pretrained())(jax.numpy.zeros(784)).shape
        (10,)
    """
    eqx = package("equinox", _INSTALL)
    params, spec = with_spec(params, squash, last_squash)
    parts: list[Any] = []
    for (w, b), name in zip(params, spec.by_layer, strict=True):
        drawn = eqx.nn.Linear(w.shape[1], w.shape[0], key=jax.random.key(0))
        linear = eqx.tree_at(lambda layer: (layer.weight, layer.bias), drawn, (w, b))
        parts += [linear, eqx.nn.Lambda(SQUASHES[name])]
    return eqx.nn.Sequential(parts)


def from_equinox(model: Any) -> tuple[Params, Spec]:
    """Converts a network from Equinox.

    Args:
        model: an `equinox.nn.MLP`, or an `equinox.nn.Sequential` of activation functions and
            layers that are affine at inference.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: unsupported layers, or shapes that do not match.
        ModuleNotFoundError: Equinox is not installed.

    Example:
        >>> import equinox, jax
        >>> from_equinox(equinox.nn.MLP(784, 10, 16, 2, key=jax.random.key(0)))[1]
        Spec(sizes=(784, 16, 16, 10), squash='relu', last_squash='identity', notes={})
    """
    eqx = package("equinox", _INSTALL)
    if type(model) not in (eqx.nn.MLP, eqx.nn.Sequential):
        raise TypeError(
            "Expected an equinox.nn.MLP or an equinox.nn.Sequential; got a "
            f"{type(model).__name__} instead."
        )
    steps = [*_steps(eqx, model)]
    return from_steps(steps, image_shape(steps, SIDE))


def _steps(eqx: Any, model: Any) -> Iterator[Step]:
    """Layers and activation functions, in order."""
    parts = model.layers
    if type(model) is eqx.nn.MLP:
        functions = [model.activation] * (len(parts) - 1) + [model.final_activation]
        parts = [part for pair in zip(parts, functions, strict=True) for part in pair]
    for part in parts:
        function = part.fn if isinstance(part, eqx.nn.Lambda) else part
        # A subclass may override `__call__`, so only the exact types are accepted.
        if type(part) in (eqx.nn.MLP, eqx.nn.Sequential):
            yield from _steps(eqx, part)
        elif type(part) is eqx.nn.Linear:
            bias = np.zeros(len(part.weight), part.weight.dtype) if part.bias is None else part.bias
            yield dense("Linear", part.weight, bias)
        else:
            # Equinox's layers take one example.
            yield jax_step(name_of(function), jax.vmap(function))
