"""What neurons look at, held against the neuron's own sum, finite differences and brute force."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import attribution
from tests.helpers import float64, matrix_form


@pytest.mark.parametrize(("layer", "neuron"), [(1, 0), (1, 15), (2, 3), (3, 9)])
def test_contributions_and_bias_add_up_to_what_is_squashed(params, x, layer, neuron):
    a = matrix_form(params, x)
    parts = np.asarray(attribution.contributions(params, x, layer, neuron), np.float64)
    w, b = float64(params)[layer - 1]
    np.testing.assert_allclose(parts, w[neuron] * a[layer - 1], rtol=1e-4, atol=1e-5)
    z = parts.sum() + b[neuron]
    assert 1 / (1 + np.exp(-z)) == pytest.approx(a[layer][neuron], abs=1e-5)
    assert attribution.weighted_sum(params, x, layer, neuron) == pytest.approx(z, abs=1e-4)


def test_the_hidden_squash_is_honoured(params, x):
    hidden = np.maximum(np.asarray(params[0].weights) @ np.asarray(x) + params[0].biases, 0)
    parts = attribution.contributions(params, x, 2, 5, squash=jax.nn.relu)
    np.testing.assert_allclose(parts, params[1].weights[5] * hidden, rtol=1e-4, atol=1e-5)


def test_saliency_is_the_slope_of_the_logit(params, x):
    def logit(image):
        a = image
        for w, b in float64(params)[:-1]:
            a = 1 / (1 + np.exp(-(w @ a + b)))
        w, b = float64(params)[-1]
        return (w @ a + b)[4]

    slopes = attribution.saliency(params, x, 4)
    for pixel in (0, 100, 400, 783):
        nudge = np.zeros(784)
        nudge[pixel] = 1e-5
        image = np.asarray(x, np.float64)
        expected = (logit(image + nudge) - logit(image - nudge)) / 2e-5
        assert slopes[pixel] == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.37, 1.0])
def test_the_first_layers_exciting_image_is_the_best_there_is(params, start):
    image = attribution.exciting_image(params, jnp.full(784, start), 1, 3)
    np.testing.assert_array_equal(image, params[0].weights[3] > 0)


def test_a_pixel_without_weight_stays_as_it_is(params):
    w = params[0].weights.at[3, :10].set(0)
    params = (params[0]._replace(weights=w), *params[1:])
    image = attribution.exciting_image(params, jnp.full(784, 0.25), 1, 3)
    np.testing.assert_array_equal(image[:10], np.full(10, 0.25, np.float32))


def test_deeper_no_corner_of_a_small_cube_excites_more():
    """With few inputs every image of black and white can be tried."""
    params = jaxnet.init(jax.random.key(3), (6, 5, 4))
    corners = np.stack([*np.ndindex(*[2] * 6)]).astype(np.float32)
    sums = jax.vmap(partial(attribution.weighted_sum, params, layer=2, neuron=1))(corners)
    image = attribution.exciting_image(params, jnp.zeros(6), 2, 1)
    assert image.min() >= 0
    assert image.max() <= 1
    assert attribution.weighted_sum(params, image, 2, 1) >= sums.max() - 1e-4


def test_all_of_a_layer_are_what_each_is_alone(params):
    places, images, sums = attribution.exciting_images(params, 2)
    assert places.tolist() == [*range(16)]
    alone = attribution.exciting_image(params, jnp.zeros(784), 2, 7)
    assert sums[7] == pytest.approx(float(attribution.weighted_sum(params, alone, 2, 7)), rel=1e-2)
    assert images.shape == (16, 784)
    assert attribution.exciting_images(params, 2, 7)[0].tolist() == [7]


def test_they_obey_jit_and_vmap(params, x, images):
    neurons = jnp.arange(16)
    table = jax.jit(jax.vmap(lambda k: attribution.contributions(params, x, 2, k)))(neurons)
    for k in (0, 9):
        np.testing.assert_allclose(table[k], attribution.contributions(params, x, 2, k), rtol=1e-5)
    slopes = jax.jit(jax.vmap(partial(attribution.saliency, params), in_axes=(0, None)))(images, 3)
    expected = attribution.saliency(params, images[2], 3)
    np.testing.assert_allclose(slopes[2], expected, rtol=1e-4, atol=1e-6)
    best = jax.jit(lambda k: attribution.exciting_image(params, jnp.zeros(784), 1, k, n_steps=80))
    np.testing.assert_array_equal(best(5), params[0].weights[5] > 0)


@pytest.mark.parametrize(
    ("layer", "neuron", "error", "says"),
    [
        (0, 0, ValueError, "layer from 1 to 3; got 0"),
        (4, 0, ValueError, "layer from 1 to 3; got 4"),
        (1.0, 0, TypeError, "layer as an integer, static under jit; got float"),
        (True, 0, TypeError, "got bool"),
        (3, 10, ValueError, "neuron from 0 to 9 in layer 3; got 10"),
        (3, -1, ValueError, "neuron from 0 to 9 in layer 3; got -1"),
    ],
)
def test_there_is_no_such_neuron(params, x, layer, neuron, error, says):
    for ask in (attribution.contributions, attribution.exciting_image, attribution.weighted_sum):
        with pytest.raises(error, match=says):
            ask(params, x, layer, neuron)


def test_a_batch_is_refused_as_by_forward(params, images):
    for ask in (
        lambda: attribution.contributions(params, images, 1, 0),
        lambda: attribution.saliency(params, images, 0),
        lambda: attribution.exciting_image(params, images, 1, 0),
    ):
        with pytest.raises(ValueError, match=r"vmap\(forward"):
            ask()
