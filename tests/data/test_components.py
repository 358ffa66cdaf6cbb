"""Components of digits: drawn where they belong, and the truth of which digit has which."""

import jax
import numpy as np
import pytest
from scipy.ndimage import label

from jaxnet.data.synthetic import (
    COMPONENTS,
    draw_component,
    sample,
    sample_components,
    sample_with_components,
)

pytestmark = pytest.mark.core

INK, HOLE = 0.5, 3  # from which a pixel is ink; pixels from which a gap is a hole


@pytest.fixture(scope="module")
def alone():
    images, which = sample_components(jax.random.key(0), 8_000)
    return np.asarray(images).reshape(-1, 28, 28), np.asarray(which)


@pytest.fixture(scope="module")
def within():
    images, labels, has = map(np.asarray, sample_with_components(jax.random.key(1), 4_000))
    return images.reshape(-1, 28, 28), labels, has


def holes(image):
    """Regions of paper that ink encloses, found by a flood fill: their pixels' coordinates."""
    regions, n = label(image < INK)
    inside = [np.argwhere(regions == k) for k in range(1, n + 1) if k != regions[0, 0]]
    return [hole for hole in inside if len(hole) >= HOLE]


@pytest.mark.compiled
def test_loops_enclose_a_hole_and_others_do_not(alone):
    images, which = alone
    for n, name in enumerate(COMPONENTS):
        found = [len(holes(image)) for image in images[which == n]]
        share = np.mean([count == ("loop" in name) for count in found])
        assert share > 0.98, (name, share)  # a small loop drawn with a wide pen may be filled in


def test_holes_are_above_or_below_as_named(alone):
    images, which = alone
    for name, rows in (("loop above", (0, 14)), ("loop below", (13, 28))):
        for image in images[which == COMPONENTS.index(name)][:200]:
            for hole in holes(image):
                assert rows[0] <= hole[:, 0].mean() <= rows[1]


@pytest.mark.compiled
def test_digits_have_a_hole_for_each_loop(within):
    """None elsewhere; but three lines enclose a triangle in one 4, and a 2 may curl at its foot."""
    images, labels, has = within
    loops = has[:, ["loop" in name for name in COMPONENTS]].sum(1)
    found = np.array([len(holes(image)) for image in images])
    closed_4 = (labels == 4) & has[:, COMPONENTS.index("slanting line above")]
    plain = ~closed_4 & (labels != 2)
    assert (found == loops)[plain].mean() > 0.99
    assert (found[closed_4] == 1).mean() > 0.8


# Where the ink's center lies, as fractions of the picture's width and height from its middle.
PLACES = {
    "loop above": (0, -1), "loop below": (0, 1), "bar on top": (0, -1), "bar at the bottom": (0, 1),
    "bow to the right above": (0, -1), "bow to the right below": (0, 1),
    "long bow to the left": (-1, 0), "long bow to the right": (1, 0),
    "line at the upper left": (-1, -1), "line at the upper right": (1, -1),
    "line at the lower right": (1, 1), "slanting line above": (0, -1),
    "slanting line below": (0, 1), "one large loop": (0, 0), "long line": (0, 0),
    "bar in the middle": (0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPONENTS)
def test_drawn_where_the_name_says(alone, name):
    images, which = alone
    ink = images[which == COMPONENTS.index(name)].mean(0)
    across, down = ink.sum(0) @ np.arange(28) / ink.sum(), ink.sum(1) @ np.arange(28) / ink.sum()
    for center, side in zip((across - 13.5, down - 13.5), PLACES[name], strict=True):
        assert center * side >= side * side  # at least one pixel to that side
        if PLACES[name] == (0, 0):
            assert abs(center) < 2


def test_bars_lie_and_lines_stand(alone):
    images, which = alone
    for name in COMPONENTS:
        for image in images[which == COMPONENTS.index(name)][:100]:
            height, width = ((image > INK).any(axis).sum() for axis in (1, 0))
            if name.startswith("bar"):
                assert width > 1.4 * height
            if name == "long line":
                assert height > 14


@pytest.mark.compiled
def test_all_vary(alone):
    images, which = alone
    for n in range(len(COMPONENTS)):
        some = images[which == n][:50].reshape(50, -1)
        assert len(np.unique(some, axis=0)) == 50
    assert abs(np.bincount(which, minlength=16) - 500).max() < 5 * np.sqrt(500)


@pytest.mark.compiled
def test_within_digits(within):
    images, labels, has = within
    same, same_labels = sample(jax.random.key(1), 4_000)
    np.testing.assert_array_equal(images.reshape(-1, 784), same)
    np.testing.assert_array_equal(labels, same_labels)
    share = {
        name: [has[labels == digit, n].mean() for digit in range(10)]
        for n, name in enumerate(COMPONENTS)
    }
    assert np.flatnonzero(np.array(share["loop above"]) == 1).tolist() == [8, 9]
    assert np.flatnonzero(np.array(share["loop below"]) == 1).tolist() == [6, 8]
    assert np.flatnonzero(np.array(share["bow to the right above"]) == 1).tolist() == [2, 3]
    assert 0.2 < share["bar in the middle"][7] < 0.45  # one way of three has a bar
    assert has.any(1).all()
    assert has.any(0).all()


def test_no_component_is_a_digit_in_disguise(within):
    """No two digits have the same components, and most components are in several digits."""
    _, labels, has = within
    sets = {digit: {*map(tuple, has[labels == digit])} for digit in range(10)}
    for digit, its in sets.items():
        for other in range(digit):
            assert not its & sets[other]
    digits_with = [len({*labels[has[:, n]].tolist()}) for n in range(len(COMPONENTS))]
    assert sum(n > 1 for n in digits_with) >= 10


def test_bad_component():
    with pytest.raises(ValueError, match="a component, 0 to 15; got 16"):
        draw_component(jax.random.key(0), 16)
