"""`handmade`: a digit classifier whose 13,002 weights and biases are set by hand."""

import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnet.design._detectors import Neuron, edge, layer, most_of, region, threshold
from jaxnet.network import Params

Number = int | float
Place = tuple[Number, Number, Number, Number, Number]


class Detector(NamedTuple):
    """A neuron of the first hidden layer, which looks at the image through a pattern of weights.

    Attributes:
        looks_for: what it detects.
        pattern: `edge` or `region`.
        place: the arguments of the pattern: x, y, angle in degrees, length and width.
        against: a second place, whose pattern is subtracted.
        above: the weighted sum at which it switches on.
        steepness: how sharply it switches.
    """

    looks_for: str
    pattern: Callable[..., Array]
    place: Place
    against: Place | None = None
    above: float = 0.18  # half the response of an edge to a stroke of MNIST's width
    steepness: float = 14


class Evidence(NamedTuple):
    """A neuron that combines those of the previous layer as evidence, by `most_of`.

    Attributes:
        looks_for: what it detects.
        wanted: the neurons wanted on, minus those wanted off, with optional weights.
        share: the fraction of the evidence at which it is one half.
        steepness: how sharply it switches.
    """

    looks_for: str
    wanted: str
    share: float
    steepness: float


# Vertical strokes lean right by 15 degrees, so higher places are further to the right.
FIRST = {
    "top": Detector("a stroke across the top", edge, (15, 5.5, 0, 7, 4)),
    "brow": Detector("one further down: 7 and 9 hang low", edge, (14.5, 8.5, 5, 7, 4)),
    "shoulder": Detector("where the bar of a 7 begins", edge, (9.5, 9.5, 5, 5, 4.5)),
    "lid": Detector("any ink on top: a 4 is open", region, (14.5, 7, 90, 5, 4), above=0.3),
    "waist": Detector("a stroke across the middle", edge, (14.3, 14.2, 5, 7, 6)),
    "floor": Detector("a stroke across the bottom", edge, (13, 21.3, 0, 8, 5.5)),
    "upper left": Detector("ink there", region, (9.6, 11.2, 75, 3.5, 5), above=0.23, steepness=16),
    "upper right": Detector("ink there", region, (18.3, 9.8, 75, 4, 6), above=0.22, steepness=16),
    "lower left": Detector("a stroke along it", edge, (9.6, 17.7, 75, 5, 6.5)),
    "lower right": Detector("a stroke along it", edge, (17.7, 17.7, 75, 5, 6.5)),
    "stem": Detector("one long stroke down the middle", edge, (14, 14, 75, 14, 5)),
    "lean": Detector(
        "the upper half leans right",
        region,
        (18.2, 9.9, 75, 4, 6),
        against=(9.9, 11, 75, 4, 6),
        above=-0.02,
        steepness=12,
    ),
    "neck": Detector("the rising stroke of 2 and 7", edge, (12.5, 18, 50, 9, 5)),
    "tail": Detector("a stroke that ends at the bottom", edge, (14.5, 23, 70, 6, 5)),
    "swing": Detector(
        "the lower half leans right",
        region,
        (17.8, 17, 75, 4.5, 6),
        against=(9.4, 17.2, 75, 4.5, 6),
        above=0,
        steepness=12,
    ),
    "foot": Detector("ink at the lower right corner: a 2", region, (20, 20.5, 0, 4, 4), above=0.25),
}

# The first ten are figures, one per digit in order; the rest are parts that several digits share.
SECOND = {
    "ring": Evidence(
        "ink all around and none within",
        "top + lid + floor + 2 upper left + 2 upper right + 2 lower left + 2 lower right"
        " - 3 waist - 3 stem - 2 neck - tail",
        share=0.75,
        steepness=16,
    ),
    "line": Evidence(
        "a stem and nothing beside it",
        "3 stem - 2 top - 2 waist - 2 floor - 2 upper left - 2 lower right - shoulder - foot",
        share=0.78,
        steepness=16,
    ),
    "swan": Evidence(
        "an arch, a neck to the left, a foot to the right",
        "2 top + 3 floor + 3 foot + 2 neck + upper right + lower left + lean"
        " - 4 swing - 2 upper left - 2 lower right - 2 tail - waist",
        share=0.64,
        steepness=16,
    ),
    "bulges": Evidence(
        "two bows to the right, nothing on the left",
        "2 top + 2 waist + 2 floor + 2 upper right + 2 lower right + 3 lean + 2 swing"
        " - 3 upper left - 3 lower left - 2 brow - shoulder",
        share=0.72,
        steepness=16,
    ),
    "fork": Evidence(
        "two prongs, a bar, no lid and no floor",
        "2 upper left + 2 upper right + 3 waist + tail + swing"
        " - 4 lid - 2 top - 2 floor - lower left - brow - foot",
        share=0.76,
        steepness=16,
    ),
    "hook": Evidence(
        "upper left, then lower right",
        "2 top + 2 floor + 3 upper left + 2 lower right + 2 swing"
        " - 3 lean - 3 lower left - 2 upper right - neck - brow - shoulder",
        share=0.76,
        steepness=16,
    ),
    "curl": Evidence(
        "a back on the left, a loop below",
        "2 upper left + 3 lower left + lower right + waist + floor - 3 upper right - 2 lean"
        " - 2 shoulder - top - lid - brow - tail - swing",
        share=0.63,
        steepness=16,
    ),
    "roof": Evidence(
        "a bar on top and a stroke down from its right end",
        "3 brow + 3 shoulder + 2 neck + upper right + lean - 3 floor - 2 top - 2 lower right"
        " - upper left - waist - lower left",
        share=0.74,
        steepness=16,
    ),
    "two loops": Evidence(
        "something everywhere, and a waist",
        "top + lid + 2 waist + 2 floor + upper left + upper right + 2 lower left + lower right"
        " + stem - 2 tail - shoulder - brow - foot",
        share=0.65,
        steepness=16,
    ),
    "loop on a leg": Evidence(
        "a loop with a lid, a tail below and no floor",
        "4 lid + 2 waist + 2 upper left + upper right + 2 tail + 2 swing + lower right + brow"
        " - 3 shoulder - 2 top - 2 floor - 2 lower left",
        share=0.74,
        steepness=16,
    ),
    "upper loop": Evidence(
        "both sides, a lid and a waist",
        "2 lid + 2 upper left + 2 upper right + 2 waist - 2 shoulder",
        share=0.63,
        steepness=10,
    ),
    "lower loop": Evidence(
        "both sides, a waist and a floor",
        "2 lower left + 2 lower right + 2 floor + waist - tail",
        share=0.63,
        steepness=10,
    ),
    "belly": Evidence(
        "a bow to the lower right, open on the left",
        "2 floor + 2 swing + lower right - 2 lower left - neck",
        share=0.63,
        steepness=10,
    ),
    "leg": Evidence(
        "a tail and no floor",
        "2 tail - 3 floor - lower left - foot",
        share=0.7,
        steepness=10,
    ),
    "right above": Evidence(
        "the upper half open on the left",
        "3 lean + upper right - 2 upper left",
        share=0.63,
        steepness=10,
    ),
    "right below": Evidence(
        "the lower half open on the left",
        "3 swing - 2 lower left - foot",
        share=0.63,
        steepness=10,
    ),
}

THIRD = {
    "0": Evidence(
        "a ring, not the curl of a 6 or the hook of a 5",
        "6 ring + lower loop - 2 curl - 2 hook - upper loop - two loops - belly - leg"
        " - right above",
        share=0.69,
        steepness=20,
    ),
    "1": Evidence(
        "a line and no other figure",
        "6 line - ring - two loops - roof - fork - belly - upper loop - lower loop",
        share=0.71,
        steepness=20,
    ),
    "2": Evidence(
        "a swan, open on the left above and on the right below",
        "6 swan + 2 right above - 2 right below - 2 belly - 2 leg - 2 line - roof - two loops",
        share=0.7,
        steepness=20,
    ),
    "3": Evidence(
        "bulges, open on the left above and below",
        "6 bulges + 2 belly + 2 right above + 2 right below - 2 hook - two loops - leg"
        " - lower loop - upper loop",
        share=0.63,
        steepness=20,
    ),
    "4": Evidence(
        "a fork on a leg, not a loop",
        "6 fork + 2 leg - 2 loop on a leg - belly - curl - roof - lower loop",
        share=0.66,
        steepness=20,
    ),
    "5": Evidence(
        "a hook with a belly, open on the right above",
        "6 hook + 2 belly + 2 right below - 2 right above - 2 bulges - curl - leg - lower loop",
        share=0.66,
        steepness=20,
    ),
    "6": Evidence(
        "a curl with a lower loop",
        "6 curl + 2 lower loop - 2 right below - 2 hook - 2 fork - right above - leg - ring"
        " - upper loop",
        share=0.62,
        steepness=20,
    ),
    "7": Evidence(
        "a roof on a leg, and no loop",
        "6 roof + 2 leg + right above - 2 loop on a leg - 2 upper loop - belly - lower loop - swan",
        share=0.65,
        steepness=20,
    ),
    "8": Evidence(
        "two loops, and no figure that is open somewhere",
        "6 two loops + 2 upper loop + 2 lower loop - 3 curl - 2 leg - 2 right below - 2 bulges"
        " - 2 swan - right above - line - ring",
        share=0.62,
        steepness=20,
    ),
    "9": Evidence(
        "a loop on a leg, not a fork or a roof",
        "6 loop on a leg + 2 upper loop + 2 leg - 4 fork - 3 roof - 2 lower loop - belly"
        " - right above",
        share=0.67,
        steepness=20,
    ),
}


def handmade() -> Params:
    """Builds a 784-16-16-10 sigmoid network by hand: no training, no images.

    `FIRST`, `SECOND` and `THIRD` describe its neurons. It classifies 63.6 % of MNIST's 10,000 test
    images correctly, where chance is 10 %; they were used once, when it was finished.

    Returns:
        Three layers, float32, the same on every call.

    Example:
        >>> import jax, jaxnet
        >>> from jaxnet.design import handmade
        >>> jaxnet.count(handmade())
        13002
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(10), 4)
        >>> int(jaxnet.predict(handmade(), x))
        4

    Source: 3Blue1Brown, "But what is a neural network?", 2017, which imagines such a network.
    """
    return (
        layer([_detector(detector) for detector in FIRST.values()]),
        layer([_evidence(evidence, FIRST) for evidence in SECOND.values()]),
        layer([_evidence(evidence, SECOND) for evidence in THIRD.values()]),
    )


def _detector(detector: Detector) -> Neuron:
    def weights(place: Place) -> Array:
        x, y, degrees, length, width = place
        return detector.pattern(x, y, math.radians(degrees), length=length, width=width)

    w = weights(detector.place)
    if detector.against:
        w -= weights(detector.against)
    return threshold(w, detector.above, steepness=detector.steepness)


def _evidence(evidence: Evidence, below: Iterable[str]) -> Neuron:
    wanted = _wanted(evidence.wanted, [*below])
    return most_of(wanted, share=evidence.share, steepness=evidence.steepness)


def _wanted(sum_of_names: str, below: list[str]) -> Float[Array, " in"]:
    """Parses "2 top - waist" into 2 for `top`, -1 for `waist` and 0 for the others."""
    entries = dict.fromkeys(below, 0.0)
    for sign, number, name in re.findall(r"([+-]?) ?(\d*) ?([a-z][a-z ]*[a-z])", sum_of_names):
        if name not in entries:
            raise ValueError(f"Expected one of {below}; got {name!r} instead.")
        entries[name] = float(f"{sign}{number or 1}")
    return jnp.array([*entries.values()], jnp.float32)
