"""The handmade network: its shape, what its neurons detect, and its accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.data.synthetic import sample
from jaxnet.design import FIRST, SECOND, THIRD, handmade
from tests.oracles import neuron_by_neuron

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def made():
    return handmade()


@pytest.fixture(scope="module")
def drawn(made):
    """2,000 synthetic digits: images, labels, and every layer's activations by neuron."""
    images, labels = sample(jax.random.key(0), 2_000)
    layers = jax.vmap(jaxnet.activations, in_axes=(None, 0))(made, images)[1:]
    seen = [
        dict(zip(names, np.asarray(layer).T, strict=True))
        for names, layer in zip((FIRST, SECOND, THIRD), layers, strict=True)
    ]
    return images, np.asarray(labels), *seen


def picture(*strokes):
    """Horizontal and vertical strokes, 3 pixels wide, as (left, right, top, bottom)."""
    x = np.zeros((28, 28), np.float32)
    for left, right, top, bottom in strokes:
        x[top - 1 : bottom + 2, left - 1 : right + 2] = 1
    return jnp.asarray(x.ravel())


@pytest.mark.compiled
def test_size_and_save(made, tmp_path):
    assert jaxnet.count(made) == 13_002
    assert [layer.weights.shape for layer in made] == [(16, 784), (16, 16), (10, 16)]
    for leaf in jax.tree.leaves(made):
        assert leaf.dtype == jnp.float32
        assert jnp.isfinite(leaf).all()
    jaxnet.save(tmp_path / "made.safetensors", made)
    again, spec = jaxnet.load(tmp_path / "made.safetensors")
    assert spec.squash == "sigmoid"
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(made), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.compiled
def test_no_unused_neurons(made):
    for layer in made:
        assert (jnp.abs(layer.weights) > 0).any(axis=1).all()
    for layer in made[1:]:
        assert (jnp.abs(layer.weights) > 0).any(axis=0).all()


@pytest.mark.compiled
def test_outputs_by_the_videos_formula(made):
    x = picture((14, 14, 5, 23))
    np.testing.assert_allclose(jaxnet.forward(made, x), neuron_by_neuron(made, x), atol=1e-4)


# A stroke, the detector that must respond to it, and others that must not.
STROKES = [
    ((11, 18, 5, 5), "top", ["waist", "floor", "stem", "tail"]),
    ((11, 18, 14, 14), "waist", ["top", "floor", "brow", "tail"]),
    ((9, 18, 21, 21), "floor", ["top", "waist", "stem", "lower left", "lower right"]),
    ((10, 10, 14, 22), "lower left", ["lower right", "upper right", "floor", "swing"]),
    ((18, 18, 14, 22), "lower right", ["lower left", "upper left", "floor", "tail"]),
    ((18, 18, 6, 12), "upper right", ["upper left", "lower right", "top"]),
    ((10, 10, 8, 14), "upper left", ["upper right", "lower left", "lean"]),
    ((14, 14, 5, 23), "stem", ["top", "waist", "floor", "lower left", "lower right"]),
]


@pytest.mark.parametrize(("stroke", "sees", "blind"), STROKES, ids=[s[1] for s in STROKES])
def test_detectors_respond_only_to_their_stroke(made, stroke, sees, blind):
    w, b = made[0]
    seen = dict(zip(FIRST, jax.nn.sigmoid(w @ picture(stroke) + b), strict=True))
    assert seen[sees] > 0.8
    for name in blind:
        assert seen[name] < 0.5, name


def test_no_strokes_in_uniform_images(made):
    w, b = made[0]
    for image in (jnp.zeros(784), jnp.ones(784)):
        seen = dict(zip(FIRST, jax.nn.sigmoid(w @ image + b), strict=True))
        for name in ("top", "brow", "waist", "floor", "stem", "neck", "tail", "lower left"):
            assert seen[name] < 0.1, name


@pytest.mark.parametrize(
    ("name", "there", "not_there"),
    [
        ("top", [2, 3, 5], [4, 7, 9]),
        ("floor", [0, 3, 5], [4, 7, 9]),
        ("shoulder", [7], [1, 3, 6]),
        ("lid", [0, 3, 8], [4]),
        ("waist", [4, 9], [0, 7]),
        ("upper left", [0, 4, 9], [1, 2, 3]),
        ("upper right", [0, 2, 3, 4], [5, 6]),
        ("lower left", [2, 6], [3, 5, 9]),
        ("lower right", [0, 5], [1, 2, 7]),
        ("stem", [1], [0, 4]),
        ("neck", [2, 7], [0, 5, 6]),
        ("lean", [2, 3], [5, 6]),
        ("swing", [3, 5, 9], [2]),
    ],
)
def test_detectors_separate_synthetic_digits(drawn, name, there, not_there):
    _, labels, seen, _, _ = drawn
    least = min(seen[name][labels == digit].mean() for digit in there)
    most = max(seen[name][labels == digit].mean() for digit in not_there)
    assert least > most + 0.15


def test_figures_are_brightest_for_their_digit(drawn):
    _, labels, _, seen, _ = drawn
    for digit, figure in zip(range(10), SECOND, strict=False):
        means = [seen[figure][labels == other].mean() for other in range(10)]
        assert np.argmax(means) == digit, figure


def test_outputs_are_bright_only_for_their_digit(drawn):
    _, labels, _, _, seen = drawn
    for digit in range(10):
        its = seen[str(digit)]
        assert its[labels == digit].mean() > 0.5, digit
        assert its[labels != digit].mean() < 0.35, digit


def test_accuracy_on_synthetic_digits(drawn, made):
    images, labels, *_ = drawn
    right = jaxnet.classify(made, images).digits == labels
    assert right.mean() > 0.75
    for digit in range(10):
        assert right[labels == digit].mean() > 0.4, digit


@pytest.mark.compiled
def test_mnist_accuracy_in_the_docstring(made, mnist):
    images, labels = mnist["test"]
    right = jaxnet.classify(made, images).digits == labels
    assert right.mean() > 0.6
    assert f"classifies {100 * right.mean():.1f} % of MNIST's" in handmade.__doc__
    for digit in range(10):
        assert right[labels == digit].mean() > 0.5, digit
