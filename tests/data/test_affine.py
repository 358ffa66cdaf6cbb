"""Warped images: against SciPy, and at the ends of their range."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

import jaxnet
from jaxnet.data.augment import affine

pytestmark = pytest.mark.compiled

still = partial(affine, turn=0, stretch=0, slant=0, shift=0)


@pytest.fixture(scope="module")
def seven():
    return jaxnet.data.synthetic.draw(jax.random.key(3), 7)


def test_identity(seven):
    np.testing.assert_allclose(still(jax.random.key(0), seven), seven, atol=1e-5)


def test_shift():
    dot = jnp.zeros((28, 28)).at[13:15, 13:15].set(1).reshape(784)
    shifted = partial(affine, turn=0, stretch=0, slant=0, shift=3)
    moves = [
        np.array(scipy.ndimage.center_of_mass(np.reshape(shifted(key, dot), (28, 28)))) - 13.5
        for key in jax.random.split(jax.random.key(0), 200)
    ]
    assert np.abs(moves).max() < 3.001
    assert np.abs(moves).max() > 2.8
    # Uniform in ±3: the mean of 200 has a standard deviation of 0.12.
    assert np.abs(np.mean(moves, axis=0)).max() < 0.6


@pytest.mark.parametrize(
    ("change", "matrix"),
    [
        ({"stretch": 0.2}, [[1.2, 0], [0, 1.2]]),
        ({"slant": 0.3}, [[1, 0], [0.3, 1]]),
        ({"turn": 0.3, "stretch": 0.1, "slant": 0.2}, None),
    ],
)
def test_scale_and_shear_against_scipy(seven, change, matrix, monkeypatch):
    """At the end of every range, where the uniform numbers all are 1."""
    monkeypatch.setattr(jax.random, "uniform", lambda *_: jnp.ones(6))
    ours = still(jax.random.key(0), seven, **change).reshape(28, 28)
    if matrix is None:
        turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
        matrix = turn @ [[1.1, 0], [0.2, 1.1]]
    offset = 13.5 - np.asarray(matrix) @ [13.5, 13.5]
    theirs = scipy.ndimage.affine_transform(
        np.asarray(seven).reshape(28, 28), matrix, offset, order=1
    )
    inside = (slice(3, -3), slice(3, -3))  # at the border the two fade to black differently
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-4)


@pytest.mark.parametrize("angle", [-0.4, 0.3])
def test_rotation_against_scipy(seven, angle, monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda *_: jnp.array([1.0, 0, 0, 0, 0, 0]))
    ours = affine(jax.random.key(0), seven, turn=angle).reshape(28, 28)
    theirs = scipy.ndimage.rotate(
        np.asarray(seven).reshape(28, 28), np.degrees(-angle), reshape=False, order=1
    )
    inside = (slice(3, -3), slice(3, -3))  # at the border the two fade to black differently
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-4)


def test_range_and_sizes(seven):
    warped = jax.vmap(affine, in_axes=(0, None))(jax.random.split(jax.random.key(0), 50), seven)
    assert warped.min() >= 0
    assert warped.max() <= 1 + 1e-6
    assert affine(jax.random.key(0), jnp.ones(64)).shape == (64,)


def test_accuracy_of_warped_digits(seven):
    keys = jax.random.split(jax.random.key(0), 100)
    warped = jax.vmap(affine, in_axes=(0, None))(keys, seven)
    assert (jaxnet.classify(jaxnet.pretrained(), warped).digits == 7).mean() > 0.95
