"""Drawn digits: reproducible, framed as MNIST's are, and honest."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.data import synthetic
from jaxnet.data.synthetic import draw, sample


@pytest.fixture(scope="module")
def drawn():
    return sample(jax.random.key(0), 5_000)


@pytest.mark.compiled
def test_shapes_and_ranges(drawn):
    images, labels = drawn
    chex.assert_shape(images, (5_000, 784))
    chex.assert_shape(labels, (5_000,))
    assert images.min() == 0
    np.testing.assert_array_equal(images.max(1), 1)
    # Each digit falls 500 times in the mean; five standard deviations of that are 106.
    assert abs(np.bincount(labels, minlength=10) - 500).max() < 106


def test_mnist_frame(drawn):
    images = np.asarray(drawn[0]).reshape(-1, 28, 28)
    # Few touch the frame: of these 5 in a hundred, of MNIST's own 1.
    assert images[:, [0, -1], :].any(axis=(1, 2)).mean() < 0.06
    mass = images.sum((1, 2))
    for axis in (1, 2):
        center = images.sum(3 - axis) @ np.arange(28) / mass
        # The pen's path is centered, and where it crosses itself the ink is not doubled.
        assert abs(center.mean() - 14) < 0.15
        assert abs(center - 14).max() < 1.5
    height, width = ((images > 0.5).any(axis).sum(1) for axis in (2, 1))
    longest = np.maximum(height, width)
    assert longest.min() >= 17
    assert longest.max() <= 21


def test_mnist_ink(drawn, mnist):
    ours = np.asarray(drawn[0]).sum(1).mean()
    theirs = mnist["train"].images.sum(1).mean() / 255
    assert abs(ours / theirs - 1) < 0.2


@pytest.mark.compiled
def test_accuracy_of_the_trained_network(drawn):
    """As the README says: more than 99 % of all, and of no digit alone less than 90 %."""
    images, labels = drawn
    digits = jaxnet.classify(jaxnet.pretrained(), images).digits
    assert (digits == labels).mean() > 0.99
    for digit in range(10):
        of_this = np.asarray(labels) == digit
        assert (digits[of_this] == digit).mean() >= 0.9, digit


@pytest.mark.compiled
def test_independent_classifier(drawn, mnist):
    """The nearest of 10,000 training images, pixel by pixel, has the same label for most."""
    images, labels = np.asarray(drawn[0][:500]), np.asarray(drawn[1][:500])
    train = mnist["train"].images[:10_000].astype(np.float32) / 255
    distance = (train**2).sum(1) - 2 * images @ train.T
    nearest = mnist["train"].labels[distance.argmin(1)]
    assert (nearest == labels).mean() > 0.9


def hands(**fixed):
    """A seven by 200 hands, that differ in all but what is fixed."""
    ranges = dict(synthetic.HAND)
    try:
        synthetic.HAND.update({name: (value, value) for name, value in fixed.items()})
        images = jax.vmap(draw, in_axes=(0, None))(jax.random.split(jax.random.key(0), 200), 7)
    finally:
        synthetic.HAND.update(ranges)
    return np.asarray(images)


@pytest.mark.compiled
@pytest.mark.parametrize("name", synthetic.HAND)
def test_variation(name):
    low, high = synthetic.HAND[name]
    difference = abs(hands(**{name: low}) - hands(**{name: low + 0.8 * (high - low)}))
    assert difference.mean() > 1e-3


@pytest.mark.slow
def test_x64_and_strict_types():
    image = draw(jax.random.key(0), 4)
    images, labels = sample(jax.random.key(0), 20)
    with jax.enable_x64(True):
        wide = draw(jax.random.key(0), 4)
        assert wide.dtype == jnp.float32
        np.testing.assert_allclose(wide, image, atol=1e-4)
        again, the_same = sample(jax.random.key(0), 20)
        np.testing.assert_allclose(again, images, atol=1e-4)
        np.testing.assert_array_equal(the_same, labels)


@pytest.mark.slow
def test_under_jit_vmap_and_jax_checks():
    with jax.checking_leaks(), jax.debug_nans(True), jax.debug_key_reuse(True):
        traced = jax.jit(chex.assert_max_traces(draw, n=1))
        for digit in range(2):
            np.testing.assert_allclose(
                traced(jax.random.key(digit), jnp.int32(digit)),
                draw(jax.random.key(digit), digit),
                atol=1e-4,
            )
        keys = jax.random.split(jax.random.key(0), 10)
        images = jax.vmap(draw)(jax.random.clone(keys), jnp.arange(10))
        np.testing.assert_allclose(images[3], draw(keys[3], 3), atol=1e-4)


@pytest.mark.parametrize("digit", [-1, 10, 42])
def test_unknown_digit(digit):
    with pytest.raises(ValueError, match=f"0 to 9; got {digit}"):
        draw(jax.random.key(0), digit)
