"""Weights set by hand: detectors against NumPy, gates against their truth tables."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.design import all_of, any_of, at_least, edge, layer, most_of, none_of, region, threshold

pytestmark = pytest.mark.core

UP = np.pi / 2
TABLE = np.array([*itertools.product((0, 1), repeat=3)], np.float32)  # all inputs of three neurons


def on(neuron, inputs=TABLE):
    """The sigmoid neuron's output for each row of inputs."""
    w, b = neuron
    return np.asarray(jax.nn.sigmoid(inputs @ w + b))


def inked(x, y, angle, length, width, side=28):
    """An image of a straight stroke, and each pixel's distance from its axis."""
    picture, beside = np.zeros((side, side), np.float32), np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            along = (column - x) * np.cos(angle) - (row - y) * np.sin(angle)
            beside[row, column] = abs((column - x) * np.sin(angle) + (row - y) * np.cos(angle))
            picture[row, column] = abs(along) <= length / 2 and beside[row, column] <= width / 2
    return picture.ravel(), beside.ravel()


PLACES = [(14, 14, 0.0), (9.5, 18.2, 0.9), (18.3, 9, UP), (3, 25, 2.6), (0, 0, 0.4)]


@pytest.mark.parametrize(("x", "y", "angle"), PLACES)
@pytest.mark.parametrize(("length", "width"), [(8, 4), (5, 6.5)])
def test_edge_is_positive_within_its_width(x, y, angle, length, width):
    w = np.asarray(edge(x, y, angle, length=length, width=width))
    _, beside = inked(x, y, angle, length, width)
    assert (w[beside < 0.98 * width / 2] >= 0).all()
    assert (w[beside > 1.02 * width / 2] <= 0).all()
    np.testing.assert_allclose(np.maximum(w, 0).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(np.minimum(w, 0).sum(), -1, rtol=1e-5)


@pytest.mark.parametrize(("x", "y", "angle"), PLACES[:3])
def test_edge_responds_most_to_its_own_stroke(x, y, angle):
    w = np.asarray(edge(x, y, angle, length=8, width=4))
    own = inked(x, y, angle, 12, 4)[0] @ w
    assert own > 0.8
    sideways = np.sin(angle), np.cos(angle)
    beside = inked(x + 4 * sideways[0], y + 4 * sideways[1], angle, 12, 4)[0] @ w
    assert beside < -0.2
    across = inked(x, y, angle + UP, 40, 4)[0] @ w
    assert abs(across) < 0.1
    assert abs(np.ones(784) @ w) < 1e-5


def test_edge_translation_and_rotation():
    here = np.asarray(edge(14, 13, 0.7)).reshape(28, 28)
    there = np.asarray(edge(16, 10, 0.7)).reshape(28, 28)
    # Flanks cut off by the image border differ slightly, which changes the scale.
    np.testing.assert_allclose(there[2:22, 6:], here[5:25, 4:26], atol=2e-4)
    flat = np.asarray(edge(13.5, 13.5, 0.3)).reshape(28, 28)
    turned = np.asarray(edge(13.5, 13.5, 0.3 + UP)).reshape(28, 28)
    np.testing.assert_allclose(turned, np.rot90(flat), atol=1e-6)  # rot90 goes counterclockwise


def test_positive_angle_rises_to_the_right():
    w = np.asarray(edge(13.5, 13.5, np.pi / 4))
    rising = np.fliplr(np.eye(28)).ravel()
    assert rising @ w > 0 > np.eye(28).ravel() @ w


def test_region_moments():
    w = np.asarray(region(9, 14, UP, length=8, width=4))
    assert (w >= 0).all()
    assert np.ones(784) @ w == pytest.approx(1)
    row, column = np.mgrid[:28, :28].reshape(2, 784)
    assert w @ column == pytest.approx(9, abs=0.01)
    assert w @ row == pytest.approx(14, abs=0.01)
    assert (w @ (row - 14.0) ** 2) ** 0.5 == pytest.approx(4, abs=0.02)
    assert (w @ (column - 9.0) ** 2) ** 0.5 == pytest.approx(2, abs=0.01)


@pytest.mark.compiled
def test_other_image_sizes():
    assert edge(4, 4, 0.0, length=3, width=3, side=9).shape == (81,)
    assert np.argmax(region(2, 5, side=9)) == 5 * 9 + 2


@pytest.mark.long
@pytest.mark.compiled
def test_jit_vmap_and_grad():
    angles = jnp.linspace(0, 3, 5)
    many = jax.jit(jax.vmap(lambda angle: edge(14, 12, angle)))(angles)
    for w, angle in zip(many, angles, strict=True):
        np.testing.assert_allclose(w, edge(14, 12, float(angle)), atol=1e-6)
    x = jnp.asarray(inked(14, 12, 0.5, 12, 4)[0])
    slope = jax.grad(lambda angle: x @ edge(14, 12, angle))
    assert slope(0.3) > 0 > slope(0.7)  # towards the stroke's angle from both sides


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", -1), ("y", 28), ("x", float("nan")), ("length", 0.5), ("width", -2), ("width", 29)],
)
@pytest.mark.parametrize("pattern", [edge, region])
def test_out_of_bounds_arguments(pattern, name, value):
    with pytest.raises(ValueError, match=rf"^Expected {name} from .*; got {value} instead\."):
        pattern(**{"x": 14, "y": 14, "angle": 0.0, name: value})


@pytest.mark.parametrize("width", [2, 14])
def test_extreme_widths_are_finite(width):
    for x in (0, 13.5, 14, 27):
        for angle in (0.0, 0.8):
            w = edge(x, x, angle, length=1, width=width)
            np.testing.assert_allclose([w.sum(), jnp.abs(w).sum()], [0, 2], atol=1e-5)


@pytest.mark.parametrize("steepness", [1, 12.5])
def test_threshold_is_one_half_at_its_value(steepness):
    neuron = threshold(jnp.array([2.0, -1.0]), 10, steepness=steepness)
    sums = np.array([[5.0, 0], [7, 4], [5.5, 0], [4.5, 0]], np.float32)
    at, also_at, above, below = on(neuron, sums)
    assert at == also_at == 0.5
    assert above == pytest.approx(1 / (1 + np.exp(-steepness)))
    assert below == pytest.approx(1 / (1 + np.exp(steepness)), rel=1e-4)


def test_integer_weights():
    w, b = threshold(np.array([1, 2]), 1, steepness=0.5)
    assert w.tolist() == [0.5, 1]
    assert b == -0.5
    chex.assert_trees_all_equal(any_of(jnp.array([1, -1])), any_of(jnp.array([1.0, -1.0])))


WANTED = [*itertools.product((-1.0, 0.0, 1.0), repeat=3)]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_gate_truth_tables(wanted):
    for row, *answers in zip(
        TABLE,
        on(all_of(jnp.array(wanted))),
        on(any_of(jnp.array(wanted))),
        on(none_of(jnp.array(wanted))),
        on(at_least(2, jnp.array(wanted))),
        strict=True,
    ):
        met = [bool(a) == (w > 0) for w, a in zip(wanted, row, strict=True) if w]
        truths = [all(met), any(met), not any(met), sum(met) >= 2]
        for answer, truth in zip(answers, truths, strict=True):
            assert answer > 0.98 if truth else answer < 0.02


@pytest.mark.compiled
def test_most_of_weights_its_evidence():
    wanted, rng = np.array([3.0, -1.0, 0.0, -2.0]), np.random.default_rng(0)
    inputs = rng.uniform(size=(20, 4)).astype(np.float32)
    for share in (0.3, 0.8):
        expected = [
            1 / (1 + np.exp(-16 * ((3 * a + (1 - b) + 2 * (1 - d)) / 6 - share)))
            for a, b, _, d in inputs
        ]
        neuron = most_of(jnp.asarray(wanted, jnp.float32), share=share)
        np.testing.assert_allclose(on(neuron, inputs), expected, rtol=1e-4)


@pytest.mark.compiled
def test_xor_in_two_layers():
    first = layer([any_of(jnp.ones(2)), all_of(jnp.ones(2))])
    second = layer([all_of(jnp.array([1.0, -1.0]))])
    for a in itertools.product((0.0, 1.0), repeat=2):
        answer = jaxnet.forward((first, second), jnp.array(a))
        assert bool(answer[0] > 0.5) == (a[0] != a[1])


@pytest.mark.parametrize("sizes", [(), (2, 3)])
def test_layer_of_mismatched_neurons(sizes):
    with pytest.raises(ValueError, match=r"^Expected neurons with the same number of inputs; got"):
        layer([any_of(jnp.ones(n)) for n in sizes])


@pytest.mark.compiled
def test_weights_that_are_not_a_vector():
    with pytest.raises(ValueError, match=r"^Expected weights of shape \(in,\); got \(2, 3\)"):
        threshold(jnp.ones((2, 3)), 1)
