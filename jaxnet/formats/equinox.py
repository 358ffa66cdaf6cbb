"""Equinox networks: `nn.MLP`, and `nn.Sequential` of `Linear` and `Lambda`."""

from collections.abc import Iterator
from typing import Any

import jax

from jaxnet._util.optional import package
from jaxnet.formats._parts import in_a_row, name_of, squash_of, unsupported, with_spec
from jaxnet.formats._spec import Spec
from jaxnet.network import SQUASHES, Params, Squash

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
        model: an `equinox.nn.MLP`, or an `equinox.nn.Sequential` of `Linear` and `Lambda`.

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
    return in_a_row(_parts(eqx, model))


def _parts(eqx: Any, model: Any) -> Iterator[tuple[Any, Any] | str]:
    """Layers and names of activation functions, in order."""
    parts = model.layers
    if type(model) is eqx.nn.MLP:
        functions = [model.activation] * (len(parts) - 1) + [model.final_activation]
        parts = [part for pair in zip(parts, functions, strict=True) for part in pair]
    for part in parts:
        function = part.fn if isinstance(part, eqx.nn.Lambda) else part
        # A subclass may override forward, so only the exact types are accepted.
        if type(part) in (eqx.nn.MLP, eqx.nn.Sequential):
            yield from _parts(eqx, part)
        elif type(part) is eqx.nn.Linear and part.bias is not None:
            yield part.weight, part.bias
        elif any(map(eqx.is_inexact_array, jax.tree.leaves(part))):
            raise unsupported("Linear layers", type(part).__name__)
        else:
            # Equinox's layers take one example.
            yield squash_of(jax.vmap(function), name_of(function))
