"""Networks that were trained on other pixels than 0 to 1, made to take 0 to 1."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnet._util.pixels import unit
from jaxnet.formats._spec import Spec
from jaxnet.network import Layer, Params, predict


class Pixels(NamedTuple):
    """The pixels that a network takes: `(white * x - mean) / std`, for x from 0 to 1.

    Attributes:
        white: what it takes for a white pixel, before `mean` and `std`.
        mean, std: what was subtracted from its pixels and what they were divided by.
    """

    white: float = 1.0
    mean: float = 0.0
    std: float = 1.0

    def in_words(self) -> str:
        """The numbers by name, as notes have them; empty for pixels from 0 to 1."""
        said = {} if self.white == 1 else {"pixels": self.white}
        if (self.mean, self.std) != (0, 1):
            said |= {"mean": self.mean, "std": self.std}
        return " ".join(f"{name} {number:.12g}" for name, number in said.items())


# What tutorials do to MNIST's pixels: nothing, or what torchvision's and Keras's examples do.
USUAL = (Pixels(), Pixels(255), Pixels(1, 0.1307, 0.3081), Pixels(1, 0.5, 0.5))


def checked(pixels: float | None, mean: float, std: float) -> Pixels:
    """Builds the scale; raises ValueError for one that is not of finite, positive numbers."""
    found = Pixels(1.0 if pixels is None else pixels, mean, std)
    are_numbers = all(np.ndim(n) == 0 and np.asarray(n).dtype.kind in "iuf" for n in found)
    if not (are_numbers and np.isfinite(found).all() and found.white > 0 and found.std > 0):
        raise ValueError(
            "Expected finite numbers as pixels=, mean= and std=, the first and the last above 0; "
            f"got {found.white!s:.40}, {mean!s:.40} and {std!s:.40}."
        )
    if pixels is None and max(abs(mean), std) > 1:
        raise ValueError(
            f"Expected pixels= as well, since mean={mean:g} and std={std:g} are not for pixels "
            "from 0 to 1; pass pixels=255, for example."
        )
    return found


def folded(params: Params, pixels: Pixels) -> Params:
    """The network that takes x from 0 to 1 and answers as `params` does for the other pixels."""
    if pixels == Pixels():
        return params
    (w, b), *others = params
    wide = np.asarray(w, np.float64)
    shifted = np.asarray(b, np.float64) - wide.sum(1) * (pixels.mean / pixels.std)
    scaled = wide * (pixels.white / pixels.std)
    with np.errstate(over="ignore"):
        first = [a.astype(w.dtype) for a in (scaled, shifted)]
    if not all(np.isfinite(a).all() for a in first):
        raise ValueError(f"Expected smaller numbers; {pixels.in_words()} gives infinite weights.")
    return (Layer(*map(jnp.asarray, first)), *others)


def accuracies(params: Params, spec: Spec, images: Any, labels: Any) -> Mapping[Pixels, float]:
    """The accuracy for each of the usual scales of pixels."""
    read = jax.jit(jax.vmap(lambda params, x: predict(params, x, squash=spec.squash), (None, 0)))
    x = unit(jnp.asarray(images))
    return {
        pixels: float(np.mean(np.asarray(read(folded(params, pixels), x)) == labels))
        for pixels in USUAL
    }
