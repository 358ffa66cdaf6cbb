"""Bent images: how far they are bent, and that they stay readable."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.data.augment import elastic

pytestmark = pytest.mark.compiled

bend = jax.jit(elastic, static_argnames=("strength", "smoothness"))
bend_each = jax.jit(jax.vmap(elastic))


@pytest.fixture(scope="module")
def digits():
    images, labels = jax.jit(jaxnet.data.synthetic.sample, static_argnums=1)(jax.random.key(0), 500)
    return np.asarray(images), np.asarray(labels)


@cache
def ways(strength, smoothness):
    """How far each pixel went under 2,000 keys, down and to the right: read off two ramps."""
    ramps = np.mgrid[:28, :28].astype(np.float32).reshape(2, 784)
    bent = partial(elastic, strength=strength, smoothness=smoothness)
    over = jax.jit(jax.vmap(jax.vmap(bent, in_axes=(None, 0)), in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(0), 2_000)
    return (np.asarray(over(keys, ramps)) - ramps).reshape(-1, 2, 28, 28)


def test_shape_type_and_range(digits):
    keys = jax.random.split(jax.random.key(1), 500)
    bent = bend_each(keys, digits[0])
    assert bent.shape == (500, 784)
    assert bent.dtype == jnp.float32
    assert bent.min() >= 0
    assert bent.max() <= 1 + 1e-6
    assert bend(keys[0], np.ones(64, np.float32)).shape == (64,)


def test_zero_strength(digits):
    for x in digits[0][:10]:
        np.testing.assert_array_equal(bend(jax.random.key(0), x, strength=0.0), x)


@pytest.mark.parametrize(("strength", "smoothness"), [(0.8, 4.0), (1.5, 2.0)])
def test_displacement(strength, smoothness):
    way = ways(strength, smoothness)
    # Of 2,000 a standard deviation is known to 1.6 %, a mean to 2.2 % of it; here of many pixels.
    inside = way[:, :, 7:21, 7:21]  # no way is long enough to leave the ramp from there
    np.testing.assert_allclose(inside.std(axis=0), strength, rtol=4.5 * 0.016)
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=4.5 * 0.022 * strength)
    # And at the border: what goes inwards, as beyond it there is no ramp to read.
    for edge in (way[:, 0, 0, 14], way[:, 1, 14, 0]):
        inwards = edge[edge > 0]
        assert 900 < len(inwards) < 1_100
        np.testing.assert_allclose(np.mean(inwards**2) ** 0.5, strength, rtol=4.5 * 0.022)


def test_smoothness():
    """White noise under a Gaussian correlates as under one √2 as wide: exp(-d² / 4s²)."""
    way = ways(0.8, 4.0)
    down, right = way[:, :, 14, 14].T
    assert abs(np.corrcoef(down, right)[0, 1]) < 4.5 / 2_000**0.5
    for d in (1, 3, 5, 7, 12):
        one, other = way[:, 0, 14, 14 - d // 2], way[:, 0, 14, 14 - d // 2 + d]
        got = np.corrcoef(one, other)[0, 1]
        # The noise is drawn for places as far apart as the Gaussian is wide: nearly white.
        np.testing.assert_allclose(got, np.exp(-(d**2) / (4 * 4.0**2)), atol=0.06)


def test_under_vmap(digits):
    keys = jax.random.split(jax.random.key(0), 500)
    alone = [bend(key, x) for key, x in zip(keys[:5], digits[0], strict=False)]
    together = np.asarray(bend_each(keys, digits[0]))
    np.testing.assert_allclose(together[:5], np.array(alone), atol=1e-5)


def test_accuracy_of_bent_digits(digits):
    images, labels = digits
    bent = bend_each(jax.random.split(jax.random.key(1), 500), images)
    assert (jaxnet.classify(jaxnet.pretrained(), bent).digits == labels).mean() > 0.9
