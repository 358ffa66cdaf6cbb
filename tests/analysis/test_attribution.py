"""Attribution: against the weighted sum, finite differences and brute force."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import analysis
from tests.oracles import float64, matrix_form

pytestmark = [pytest.mark.core, pytest.mark.compiled]


@pytest.mark.parametrize(("layer", "neuron"), [(1, 0), (1, 15), (2, 3), (3, 9)])
def test_contributions_and_bias_sum_to_the_weighted_sum(params, x, layer, neuron):
    a = matrix_form(params, x)
    parts = np.asarray(analysis.contributions(params, x, layer, neuron), np.float64)
    w, b = float64(params)[layer - 1]
    np.testing.assert_allclose(parts, w[neuron] * a[layer - 1], rtol=1e-4, atol=1e-5)
    z = parts.sum() + b[neuron]
    assert 1 / (1 + np.exp(-z)) == pytest.approx(a[layer][neuron], abs=1e-5)
    assert analysis.weighted_sum(params, x, layer, neuron) == pytest.approx(z, abs=1e-4)


def test_hidden_squash(params, x):
    hidden = np.maximum(np.asarray(params[0].weights) @ np.asarray(x) + params[0].biases, 0)
    parts = analysis.contributions(params, x, 2, 5, squash=jax.nn.relu)
    np.testing.assert_allclose(parts, params[1].weights[5] * hidden, rtol=1e-4, atol=1e-5)


def test_saliency_is_the_gradient_of_the_logit(params, x):
    def logit(image):
        a = image
        for w, b in float64(params)[:-1]:
            a = 1 / (1 + np.exp(-(w @ a + b)))
        w, b = float64(params)[-1]
        return (w @ a + b)[4]

    slopes = analysis.saliency(params, x, 4)
    for pixel in (0, 100, 400, 783):
        nudge = np.zeros(784)
        nudge[pixel] = 1e-5
        image = np.asarray(x, np.float64)
        expected = (logit(image + nudge) - logit(image - nudge)) / 2e-5
        assert slopes[pixel] == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("start", [0.0, 0.37, 1.0])
def test_first_layer_maximum_is_global(params, start):
    image = analysis.maximizing_image(params, jnp.full(784, start), 1, 3)
    np.testing.assert_array_equal(image, params[0].weights[3] > 0)


def test_pixel_without_weight_is_unchanged(params):
    w = params[0].weights.at[3, :10].set(0)
    params = (params[0]._replace(weights=w), *params[1:])
    image = analysis.maximizing_image(params, jnp.full(784, 0.25), 1, 3)
    np.testing.assert_array_equal(image[:10], np.full(10, 0.25, np.float32))


@pytest.mark.long
def test_deeper_layer_maximum_by_brute_force():
    """With six inputs, every black-and-white image can be tried."""
    params = jaxnet.init(jax.random.key(3), (6, 5, 4))
    corners = np.stack([*np.ndindex(*[2] * 6)]).astype(np.float32)
    sums = jax.vmap(partial(analysis.weighted_sum, params, layer=2, neuron=1))(corners)
    image = analysis.maximizing_image(params, jnp.zeros(6), 2, 1)
    assert image.min() >= 0
    assert image.max() <= 1
    assert analysis.weighted_sum(params, image, 2, 1) >= sums.max() - 1e-4


def test_all_neurons_of_a_layer_equal_single_ones(params):
    indices, images, sums = analysis.maximizing_images(params, 2)
    assert indices.tolist() == [*range(16)]
    alone = analysis.maximizing_image(params, jnp.zeros(784), 2, 7)
    assert sums[7] == pytest.approx(float(analysis.weighted_sum(params, alone, 2, 7)), rel=1e-2)
    assert images.shape == (16, 784)
    assert analysis.maximizing_images(params, 2, 7)[0].tolist() == [7]


def test_jit_and_vmap(params, x, images):
    neurons = jnp.arange(16)
    table = jax.jit(jax.vmap(lambda k: analysis.contributions(params, x, 2, k)))(neurons)
    for k in (0, 9):
        np.testing.assert_allclose(table[k], analysis.contributions(params, x, 2, k), rtol=1e-5)
    slopes = jax.jit(jax.vmap(partial(analysis.saliency, params), in_axes=(0, None)))(images, 3)
    expected = analysis.saliency(params, images[2], 3)
    np.testing.assert_allclose(slopes[2], expected, rtol=1e-4, atol=1e-6)
    best = jax.jit(lambda k: analysis.maximizing_image(params, jnp.zeros(784), 1, k, n_steps=80))
    np.testing.assert_array_equal(best(5), params[0].weights[5] > 0)


@pytest.mark.parametrize(
    ("layer", "neuron", "error", "message"),
    [
        (0, 0, ValueError, "layer from 1 to 3; got 0"),
        (4, 0, ValueError, "layer from 1 to 3; got 4"),
        (1.0, 0, TypeError, "layer as an integer, static under jit; got float"),
        (True, 0, TypeError, "got bool"),
        (3, 10, ValueError, "neuron from 0 to 9 in layer 3; got 10"),
        (3, -1, ValueError, "neuron from 0 to 9 in layer 3; got -1"),
    ],
)
def test_unknown_neuron(params, x, layer, neuron, error, message):
    for call in (analysis.contributions, analysis.maximizing_image, analysis.weighted_sum):
        with pytest.raises(error, match=message):
            call(params, x, layer, neuron)


def test_batch_without_vmap(params, images):
    for call in (
        lambda: analysis.contributions(params, images, 1, 0),
        lambda: analysis.saliency(params, images, 0),
        lambda: analysis.maximizing_image(params, images, 1, 0),
    ):
        with pytest.raises(ValueError, match=r"vmap\(forward"):
            call()
