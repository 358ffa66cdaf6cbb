"""Networks written from scratch: arrays of any names and orientation, put in order by shapes."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet.formats._order import in_one_line, in_order

_WEIGHTS = re.compile(r"weight|kernel|(^|[._])w")
_BIASES = re.compile(r"bias|(^|[._])b(?!n|eta|atch)")
_SIZES = ("sizes", "shape", "layers")  # arrays that list layer sizes

Arrays = Mapping[str, NDArray[Any]]


def layers_in(arrays: Arrays) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Weights of shape `(out, in)` and biases of shape `(out,)`, the first layer first."""
    # Input weights may also be `(in, out)`; biases may be columns, rows, or missing.
    any_says = any(kind.search(name.lower()) for name in arrays for kind in (_WEIGHTS, _BIASES))
    weights: dict[str, NDArray[Any]] = {}
    biases: dict[str, NDArray[Any]] = {}
    after_weights = False
    for name, array in arrays.items():
        last = name.rpartition(".")[2].lower()
        if array.dtype.kind not in "fiu" or not array.ndim or last in _SIZES:
            continue
        # Names say what an array is; or where none does, a row or a column is a bias after weights.
        if any_says:
            says = [bool(kind.search(name.lower())) for kind in (_WEIGHTS, _BIASES)]
            if says[0] == says[1]:
                raise ValueError(
                    f"Expected names of weights and biases, as W1 and b1; got {name:.80}."
                )
            after_weights = says[0]
        else:
            is_line = array.ndim == 1 or (array.ndim == 2 and 1 in array.shape)
            after_weights = not (is_line and (array.ndim == 1 or after_weights))
        (weights if after_weights else biases)[name] = array
    if not weights:
        raise ValueError("Expected the weights of layers, arrays of two axes; found none.")
    fitting = [layers for turned in (False, True) if (layers := _paired(weights, biases, turned))]
    # One without biases also fits backward; a network that reads images has more inputs.
    forward = [layers for layers in fitting if layers[0][0].shape[1] > len(layers[-1][0])]
    fitting = forward if len(forward) == 1 else fitting
    if len(fitting) != 1:
        shapes = in_one_line(
            f"{n} {a.shape}" for found in (weights, biases) for n, a in found.items()
        )
        raise ValueError(
            "Expected weights of shape (out, in) or (in, out) and biases that fit together in one "
            f"way; got {shapes:.300}."
        )
    return fitting[0]


def _paired(
    weights: Arrays, biases: Arrays, turned: bool
) -> list[tuple[NDArray[Any], NDArray[Any]]] | None:
    """The layers, with weights transposed or not; None if they do not fit together."""
    if any(w.ndim != 2 for w in weights.values()):
        return None
    matrices = {name: w.T if turned else w for name, w in weights.items()}
    try:
        order = in_order({name: w.shape for name, w in matrices.items()}, declared=True)
    except ValueError:  # no order fits, or several do
        return None
    if any(matrices[a].shape[0] != matrices[b].shape[1] for a, b in pairwise(order)):
        return None
    # Biases belong to the weights with the same name but for its beginning, or else in order.
    of = {_stem(name): name for name in biases}
    if of.keys() == {_stem(name) for name in weights}:
        offsets = [biases[of[_stem(name)]] for name in order]
    else:
        offsets = [*biases.values()]
    offsets = offsets or [np.zeros(len(matrices[name])) for name in order]
    if [b.size for b in offsets] != [len(matrices[name]) for name in order]:
        return None
    return [
        (_floats(matrices[name]), _floats(b.reshape(-1)))
        for name, b in zip(order, offsets, strict=True)
    ]


def _floats(array: NDArray[Any]) -> NDArray[Any]:
    """Integers as floats; floats as they are."""
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _stem(name: str) -> str:
    """A name without what says weights or biases."""
    return re.sub(r"weights?|bias(es)?|(?<![a-z])[wb](?![a-z])", "", name.lower()).strip("._")
