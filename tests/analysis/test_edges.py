"""`edge_fit`: planted edges are found again, noise and other patterns are not taken for edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

import jaxnet
from jaxnet.analysis import edge_fit
from jaxnet.design import edge, region

pytestmark = [pytest.mark.core, pytest.mark.compiled]

fit_all = jax.jit(jax.vmap(edge_fit))
N = 128


@pytest.fixture(scope="module")
def planted():
    """Edges of all places and sizes that `edge` allows, some cut off by the border."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 27, (2, N))
    sizes = rng.uniform(0, np.pi, N), rng.uniform(4, 30, N), rng.uniform(2.5, 12, N)
    gain = rng.choice([-1, 1], N) * rng.uniform(0.5, 20, N)
    grids = jax.vmap(lambda x, y, a, long, wide: edge(x, y, a, length=long, width=wide))
    weights = np.asarray(grids(*map(jnp.asarray, (x, y, *sizes)))) * gain[:, None]
    return (x, y, *sizes, gain), weights.astype(np.float32)


def between_angles(a, b):
    return abs((np.asarray(a) - b + np.pi / 2) % np.pi - np.pi / 2)


def test_planted_edges_are_found_again(planted):
    (x, y, angle, length, width, gain), weights = planted
    found = fit_all(weights)
    assert found.explained.min() > 0.9999
    np.testing.assert_allclose(found.x, x, atol=0.05)
    np.testing.assert_allclose(found.y, y, atol=0.05)
    assert between_angles(found.angle, angle).max() < 5e-3
    np.testing.assert_allclose(found.length, length, rtol=1e-2)
    np.testing.assert_allclose(found.width, width, rtol=1e-2)
    np.testing.assert_allclose(found.gain, gain, rtol=1e-2)


def test_planted_edges_under_noise(planted):
    """Those within the image: of one cut off by the border the center is a guess."""
    (x, y, *_), weights = planted
    within = (abs(x - 13.5) < 9) & (abs(y - 13.5) < 9)
    x, y, weights = x[within], y[within], weights[within]
    rng = np.random.default_rng(1)
    size = np.sqrt((weights**2).mean(1, keepdims=True))
    found = fit_all(weights + (0.09 * size * rng.normal(size=weights.shape)).astype(np.float32))
    assert found.explained.min() > 0.99
    far = np.hypot(found.x - x, found.y - y)
    assert np.median(far) < 0.1
    assert (far < 0.5).mean() > 0.95, far  # of a long one, the center along it is uncertain


def test_noise_is_no_edge():
    weights = jax.random.normal(jax.random.key(0), (16, 784))
    assert fit_all(weights).explained.max() < 0.1


@pytest.mark.slow
def test_no_better_edge_by_scipys_optimizer():
    """From the found edge and from random ones, SciPy finds none that explains more."""
    rng = np.random.default_rng(2)
    pattern = jax.jit(lambda p: edge(*p[:3], length=p[3], width=p[4]))
    for weights in np.asarray(jaxnet.pretrained()[0].weights)[[0, 3, 4, 8]]:
        found = edge_fit(weights)

        def left(p, weights=weights):
            e = np.asarray(pattern(p.astype(np.float32)), np.float64)
            return (
                weights / np.linalg.norm(weights)
                - (e @ weights) / np.linalg.norm(weights) / (e @ e) * e
            )

        low, high = [0, 0, -10, 1, 2], [27, 27, 10, 56, 14]
        starts = [[*map(float, found[:5])]]
        starts += [[*rng.uniform(8, 19, 2), *rng.uniform((0, 4, 3), (3, 20, 8))] for _ in range(12)]
        best = max(
            1 - 2 * least_squares(left, s, bounds=(low, high), diff_step=1e-3).cost for s in starts
        )
        assert found.explained > best - 1e-3


def test_explained_by_the_formula(planted):
    """R² from the edge that was found, in NumPy float64, with and without importance."""
    weights = np.asarray(jaxnet.pretrained()[0].weights[3], np.float64)
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
    variance = np.asarray(images.var(0), np.float64)
    for importance in (np.ones(784), variance):
        found = edge_fit(weights.astype(np.float32), importance.astype(np.float32))
        pattern = edge(found.x, found.y, found.angle, length=found.length, width=found.width)
        left = weights - float(found.gain) * np.asarray(pattern, np.float64)
        explained = 1 - (importance * left**2).sum() / (importance * weights**2).sum()
        assert found.explained == pytest.approx(explained, abs=1e-4)


def test_importance_ignores_dead_pixels(planted):
    """Noise where the importance is 0 changes nothing."""
    _, weights = planted
    border = np.ones((28, 28), np.float32)
    border[4:24, 4:24] = 0
    noisy = weights[0] + 0.5 * border.ravel()
    assert edge_fit(noisy).explained < 0.5
    assert edge_fit(noisy, 1 - border.ravel()).explained > 0.999


def test_a_blob_is_not_quite_an_edge():
    assert edge_fit(region(14, 14, length=6, width=6)).explained < 0.9


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype):
    weights = 10 * edge(12.3, 15.1, 0.5, length=9.0, width=5.0)
    with jax.enable_x64(dtype == "float64"):
        found = edge_fit(jnp.asarray(weights, dtype))
    assert found.explained > 0.999
    assert found.x == pytest.approx(12.3, abs=0.05)


def test_zero_weights():
    found = edge_fit(np.zeros(784, np.float32))
    assert found.explained == 0
    assert all(np.isfinite(number) for number in found)


@pytest.mark.parametrize("name", ["explained", "x", "angle", "length", "width", "gain"])
def test_derivatives_at_the_optimum(name):
    """The derivative towards another edge against a difference of two fits.

    Where R² is greatest it is flat, so float32 tells a place or size to about a thousandth: hence
    a direction along which every number changes much, and 5 %.
    """
    here, there = edge(12.3, 15.1, 0.5, length=9, width=5), edge(12.8, 14.3, 0.6, length=13)
    weights = 10 * here + 0.05 * jax.random.normal(jax.random.key(0), (784,))
    along = 1.6 * there - here

    def number(w):
        return getattr(edge_fit(w), name)

    slope = jax.grad(number)(weights) @ along
    difference = (number(weights + along) - number(weights - along)) / 2
    np.testing.assert_allclose(slope, difference, rtol=0.05)


@pytest.mark.parametrize("side", [8, 16, 40])
def test_other_sides(side):
    weights = edge(side / 2, side / 3, 0.5, length=side / 2, width=max(2, side / 6), side=side)
    assert edge_fit(weights).explained > 0.999


def test_errors():
    with pytest.raises(ValueError, match=r"one neuron on a square image.*jax.vmap\(edge_fit\)"):
        edge_fit(jaxnet.pretrained()[0].weights)
    with pytest.raises(ValueError, match="square image"):
        edge_fit(np.zeros(10, np.float32))
    with pytest.raises(ValueError, match=r"importance of shape \(784,\); got \(3,\)"):
        edge_fit(np.zeros(784, np.float32), np.zeros(3, np.float32))
