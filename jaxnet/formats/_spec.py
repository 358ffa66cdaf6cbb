"""The description of a network: sizes, squashing functions, notes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from jaxnet.network import SQUASHES, Squash


class Squashes(TypedDict):
    """The squashing functions as keyword arguments: `forward(params, x, **squashes)`.

    Attributes:
        squash: the hidden layers'.
        last_squash: the last layer's.
    """

    squash: Squash
    last_squash: Squash


class Spec(NamedTuple):
    """The description of a network, as stored in its file.

    Attributes:
        sizes: neurons in each layer, the input first.
        squash: the hidden layers' squashing function, a name in `SQUASHES`.
        last_squash: the last layer's.
        notes: everything else that was passed to `save`.
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
    """Layer sizes as files and the command line write them.

    Args:
        sizes: neurons in each layer, input first.

    Returns:
        The numbers, joined by dashes.

    Example:
        >>> import jaxnet
        >>> jaxnet.formats.in_words((784, 16, 16, 10))
        '784-16-16-10'
    """
    return "-".join(map(str, sizes))


def with_notes(header: Mapping[str, str], notes: Mapping[str, str]) -> dict[str, str]:
    """Merges a header with notes, whose names must differ."""
    if taken := header.keys() & notes.keys():
        raise ValueError(f"Expected notes with names other than {', '.join(sorted(taken))}.")
    return {**header, **notes}
