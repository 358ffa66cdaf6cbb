"""Per-example gradients against backpropagation by hand; influence against retraining."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, softmax

import jaxnet
from jaxnet.analysis import influence, per_example_gradients
from jaxnet.training import MeanCost, loss, quadratic_cost
from tests.oracles import backpropagation, float64, matrix_form

pytestmark = [pytest.mark.core, pytest.mark.compiled]

SIZES = (4, 3, 2)
N, N_INPUTS, N_OUTPUTS = 200, 4, 3  # of the convex model
DAMPING = 0.01

gradients = jax.jit(per_example_gradients, static_argnames=("batch_size", "keep", "loss"))
compiled = jax.jit(influence, static_argnames="loss")


@pytest.fixture(scope="module")
def tiny():
    """A network of 23 parameters, with eleven images and their labels."""
    rng = np.random.default_rng(0)
    params = tuple(
        jaxnet.Layer(rng.normal(size=(n_out, n_in)).astype("f"), rng.normal(size=n_out).astype("f"))
        for n_in, n_out in itertools.pairwise(SIZES)
    )
    return params, rng.random((11, 4), "f"), np.arange(11, dtype=np.int32) % 2


def close(got, expected, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), got, expected)


def test_quadratic_cost_by_backpropagation(tiny):
    params, images, labels = tiny
    got = per_example_gradients(params, images, labels, loss=MeanCost(quadratic_cost))
    got = jax.tree.map(np.asarray, got)
    for n, (x, y) in enumerate(zip(images, labels, strict=True)):
        expected = backpropagation(params, x, np.eye(2)[y])
        for layer, (weights, biases) in zip(got, expected, strict=True):
            close(layer.weights[n], weights)
            close(layer.biases[n], biases)


def by_differences(function, params):
    """The derivative of a function of a network by each parameter, by central differences."""
    layers = float64(params)
    step, slopes = 1e-5, []
    for leaf in (leaf for layer in layers for leaf in layer):
        for place in np.ndindex(leaf.shape):
            middle, values = leaf[place], []
            for side in (step, -step):
                leaf[place] = middle + side
                values.append(function(layers))
            leaf[place] = middle
            slopes.append((values[0] - values[1]) / (2 * step))
    return np.array(slopes)


def logits(layers, images):
    """The logits, in float64 and without JAX."""
    a = matrix_form(layers, images)[-1]
    return np.log(a / (1 - a))


def rows(tree):
    """Per-example gradients, flattened to one row per image."""
    return np.concatenate(
        [np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(tree)], axis=1
    )


def test_cross_entropy_by_finite_differences(tiny):
    params, images, labels = tiny

    def costs(layers):
        return -log_softmax(logits(layers, images), axis=1)[np.arange(11), labels]

    close(rows(gradients(params, images, labels)), by_differences(costs, params).T)


def test_mean_is_the_gradient_of_the_mean_cost(tiny):
    whole, _ = jax.jit(jax.grad(loss, has_aux=True))(*tiny)
    close(jax.tree.map(lambda leaf: np.mean(leaf, 0), gradients(*tiny)), whole)


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_batch_size(tiny, batch_size):
    close(gradients(*tiny, batch_size=batch_size), gradients(*tiny), atol=1e-7)


def test_keep_gets_one_whole_gradient(tiny):
    def keep(gradient):
        return {"length": optax.tree.norm(gradient), "biases": gradient[0].biases}

    kept, whole = gradients(*tiny, keep=keep, batch_size=3), gradients(*tiny)
    close(kept["length"], np.linalg.norm(rows(whole), axis=1))
    close(kept["biases"], whole[0].biases)


def test_uint8_relu_and_one_hot_labels(tiny):
    params, images, labels = tiny
    pixels = (255 * images).astype(np.uint8)
    relu = partial(gradients, loss=MeanCost(squash="relu"))
    got = relu(params, pixels, np.eye(2, dtype="f")[labels])
    close(got, relu(params, pixels / np.float32(255), labels))
    assert np.abs(rows(got) - rows(gradients(params, pixels, labels))).max() > 1e-3


def test_own_loss_gets_one_image_and_its_label(tiny):
    """Labels as a tree of digits and weights, and a penalty, whose gradient each image has."""
    params, images, labels = tiny
    weights = np.linspace(0, 2, 11, dtype="f")
    seen = []

    def own(params, images, labels, key):
        seen.append((images.shape, labels["digit"].shape, labels["weight"].shape, key))
        cost = labels["weight"].mean() * loss(params, images, labels["digit"])[0]
        return cost + 0.5 * optax.tree.norm(params, squared=True), {"anything": 1}

    got = rows(gradients(params, images, {"digit": labels, "weight": weights}, loss=own))
    alone = weights[:, None] * rows(gradients(*tiny))
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    close(got, alone + flat[None])
    assert {*seen} == {((1, 4), (1,), (1,), None)}
    weighted = gradients(params, images, (labels, weights), loss=MeanCost(weighted=True))
    close(rows(weighted), alone)


@pytest.mark.long
def test_memory_without_keeping_gradients():
    def scratch(n):
        images = jax.ShapeDtypeStruct((n, 784), jnp.uint8)
        labels = jax.ShapeDtypeStruct((n,), jnp.int32)
        norms = jax.jit(partial(per_example_gradients, keep=optax.tree.norm))
        program = norms.lower(jaxnet.pretrained(), images, labels).compile()
        return program.memory_analysis().temp_size_in_bytes

    few, many = scratch(10_000), scratch(20_000)
    gradient = 13_002 * 4
    # One batch of gradients (some arrays twice) and uint8 copies of the images.
    assert many < 3 * 256 * gradient + 2 * 20_000 * 784
    assert many < 20_000 * gradient / 10
    assert many - few < 2 * 10_000 * 784


# Softmax regression is convex and its Gauss-Newton matrix is the exact Hessian, so influence can be
# compared with actually leaving an image out. All in float64 and without JAX.


@pytest.fixture(scope="module")
def noisy():
    """uint8 images with noisy labels, which no weights fit perfectly."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, N_INPUTS), np.uint8)
    z = images / 255 @ rng.normal(0, 4, (N_INPUTS, N_OUTPUTS)) + rng.gumbel(size=(N, N_OUTPUTS))
    return images, z.argmax(1)


def with_bias(images):
    return np.append(images / 255, np.ones((len(images), 1)), axis=1)


def slopes(table, images, labels):
    """Each image's gradient, flattened from (output, input or bias)."""
    x = with_bias(images)
    errors = softmax(x @ table.T, axis=1) - np.eye(N_OUTPUTS)[labels]
    return (errors[:, :, None] * x[:, None, :]).reshape(len(x), -1)


def hessian_sum(table, images):
    """The sum of the Hessians of the per-image costs."""
    x = with_bias(images)
    p = softmax(x @ table.T, axis=1)
    output_hessians = np.eye(N_OUTPUTS) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    return np.einsum("nij,nk,nl->ikjl", output_hessians, x, x).reshape(table.size, table.size)


def minimize(images, labels, start, anchor, damping):
    """Minimizes the cost plus damping / 2 times the squared distance from the anchor, by Newton."""
    table = start
    for _ in range(100):
        slope = slopes(table, images, labels).sum(0) / N + damping * (table - anchor).ravel()
        if np.abs(slope).max() < 1e-13:
            return table
        hessian = hessian_sum(table, images) / N + damping * np.eye(table.size)
        table = table - np.linalg.solve(hessian, slope).reshape(table.shape)
    raise AssertionError("Newton's method did not converge.")


def cost_of(table, x, y):
    return -log_softmax(with_bias(x[None])[0] @ table.T)[y]


def as_params(table):
    return (jaxnet.Layer(table[:, :-1].astype("f"), table[:, -1].astype("f")),)


def trained(noisy, anchored):
    """Trained weights and their anchor: zero, or without damping the weights themselves."""
    zero = np.zeros((N_OUTPUTS, N_INPUTS + 1))
    if anchored == "at zero":
        return minimize(*noisy, zero, zero, DAMPING), zero
    # Just enough damping to fix the one free direction, a constant in all logits.
    table = minimize(*noisy, zero, zero, 1e-9)
    return table, table


@pytest.mark.parametrize("anchored", ["at zero", "at the weights"])
def test_influence_is_leave_one_out_retraining(noisy, anchored):
    images, labels = noisy
    table, anchor = trained(noisy, anchored)
    without = [
        minimize(np.delete(images, n, 0), np.delete(labels, n), table, anchor, DAMPING)
        for n in range(N)
    ]
    for seed in range(3):
        rng = np.random.default_rng(seed + 1)
        x, y = rng.integers(0, 256, N_INPUTS, np.uint8), int(rng.integers(N_OUTPUTS))
        rises = np.array([cost_of(t, x, y) for t in without]) - cost_of(table, x, y)
        got = compiled(
            as_params(table), images, labels, x / np.float32(255), np.int32(y), damping=DAMPING
        )
        assert got.shape == (N,)
        assert np.corrcoef(got, rises)[0, 1] > 0.99
        # First order only: with 200 images and 15 parameters, one image changes the curvature by
        # about 1 / 13.
        assert 0.9 < (got @ rises) / (rises @ rises) < 1.02
        clear = np.abs(rises) > np.abs(rises).max() / 50
        assert (np.sign(got)[clear] == np.sign(rises)[clear]).all()


@pytest.mark.parametrize("damping", [0.001, 0.01, 1.0])
def test_influence_by_an_explicit_hessian(noisy, damping):
    """The first-order formula, with the matrix written out."""
    images, labels = noisy
    table, _ = trained(noisy, "at zero")
    x, y = np.array([[10, 200, 30, 90]], np.uint8), np.array([2])
    hessian = hessian_sum(table, images) / N + damping * np.eye(table.size)
    direction = np.linalg.solve(hessian, slopes(table, x, y)[0])
    expected = slopes(table, images, labels) @ direction / N
    got = compiled(
        as_params(table), images, labels, x[0] / np.float32(255), np.int32(2), damping=damping
    )
    close(got, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.long
def test_influence_in_a_deep_network_is_gauss_newton(tiny):
    params, images, labels = tiny
    jacobian = by_differences(lambda layers: logits(layers, images), params)
    p = softmax(logits(params, images), axis=1)
    output_hessians = np.eye(2) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    hessian = np.einsum("ina,nab,jnb->ij", jacobian, output_hessians, jacobian) / 11
    slopes = np.einsum("ina,na->ni", jacobian, p - np.eye(2)[labels])
    direction = np.linalg.solve(hessian + DAMPING * np.eye(len(hessian)), slopes[0])
    with jax.enable_x64(True):  # float32 does not reach this tolerance
        exact = jax.tree.map(lambda leaf: leaf.astype(np.float64), (params, images))
        got = compiled(*exact, labels, exact[1][0], labels[0], damping=DAMPING)
    close(got, slopes @ direction / 11, atol=1e-5 * np.abs(got).max())


@pytest.mark.long
def test_image_helps_itself_and_hurts_with_another_label(noisy):
    images, labels = noisy
    params = as_params(trained(noisy, "at zero")[0])
    for n in range(10):
        x, y = images[n] / np.float32(255), labels[n]
        assert compiled(params, images, labels, x, y)[n] > 0
        doubled = np.append(images, images[[n]], 0), np.append(labels, (y + 1) % N_OUTPUTS)
        own, opposite = np.asarray(compiled(params, *doubled, x, y))[[n, N]]
        assert own > 0 > opposite


@pytest.mark.long
def test_influence_of_uint8_and_float_images(noisy):
    images, labels = noisy
    params = as_params(trained(noisy, "at zero")[0])
    x = images[7] / np.float32(255)
    got = compiled(params, images, labels, x, 1)
    close(got, compiled(params, images / np.float32(255), labels, x, 1), atol=1e-6)
    close(got, compiled(params, images, np.eye(3, dtype="f4")[labels], x, 1), 1e-6)


@pytest.mark.long
def test_influence_under_vmap(tiny):
    _, images, labels = tiny
    over = jax.jit(jax.vmap(influence, in_axes=(None, None, None, 0, 0)))
    alone = [compiled(*tiny, x, y) for x, y in zip(images, labels, strict=True)]
    # Conjugate gradients stop at a tolerance, so they may stop one step apart.
    close(over(*tiny, images, labels), np.array(alone), atol=1e-5)


@pytest.mark.long
def test_influence_with_other_costs_and_squashes(tiny):
    _, images, labels = tiny
    got = compiled(*tiny, images[0], labels[0])
    for other in ({"squash": "relu"}, {"cost": quadratic_cost}):
        changed = compiled(*tiny, images[0], labels[0], loss=MeanCost(**other))
        assert np.abs(changed - got).max() > 1e-3
