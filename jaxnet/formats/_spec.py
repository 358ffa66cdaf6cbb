"""The description of a network: sizes, squashing functions, notes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, SupportsFloat, TypedDict

import jax.numpy as jnp
import numpy as np

from jaxnet.network import SQUASHES, Function

Notes = Mapping[str, str | SupportsFloat]  # numbers, among them those of NumPy and JAX


class Squashes(TypedDict):
    """The squashing functions as keyword arguments: `forward(params, x, **squashes)`.

    Attributes:
        squash: the hidden layers'.
        last_squash: the last layer's.
    """

    squash: Function
    last_squash: Function


class Spec(NamedTuple):
    """The description of a network, as stored in its file.

    Attributes:
        sizes: neurons in each layer, the input first.
        squash: the hidden layers' squashing function, a name in `SQUASHES`.
        last_squash: the last layer's.
        notes: everything else that was passed to `save`, as text.
    """

    sizes: tuple[int, ...]
    squash: str
    last_squash: str
    notes: dict[str, str]

    @property
    def squashes(self) -> Squashes:
        """Both functions as keyword arguments: `forward(params, x, **spec.squashes)`."""
        return {"squash": SQUASHES[self.squash], "last_squash": SQUASHES[self.last_squash]}

    @property
    def by_layer(self) -> tuple[str, ...]:
        """The name of each layer's squashing function, first layer first."""
        return (self.squash,) * (len(self.sizes) - 2) + (self.last_squash,)


def in_words(sizes: Sequence[int]) -> str:
    """Layer sizes as files and the command line write them."""
    return "-".join(map(str, sizes))


def with_notes(header: Mapping[str, str], notes: Notes) -> dict[str, str]:
    """Merges a header with notes, as text, whose names must differ."""
    if taken := header.keys() & notes.keys():
        raise ValueError(f"Expected notes with names other than {', '.join(sorted(taken))}.")
    return {**header, **as_text(notes)}


def as_text(notes: Notes) -> dict[str, str]:
    """Notes as files hold them: numbers become text."""
    return {
        name: note if isinstance(note, str) else _number(name, note) for name, note in notes.items()
    }


def _number(name: str, note: object) -> str:
    if isinstance(note, int | float):
        return str(note)
    number = np.asarray(note)
    if number.ndim or not jnp.issubdtype(number.dtype, jnp.number):
        got = type(note).__name__
        raise TypeError(f"Expected notes of text or numbers; got a {got} for {name!r:.60}.")
    return str(number[()])
