"""Gradients one by one against backpropagation by hand; influence against training again."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, softmax

import jaxnet
from jaxnet.gradients import influence, per_example
from jaxnet.training import mean_cost, quadratic_cost
from tests.helpers import backpropagation, float64, matrix_form

SIZES = (4, 3, 2)
N, N_INPUTS, N_OUTPUTS = 200, 4, 3  # of the convex model
DAMPING = 0.01

separate = jax.jit(per_example, static_argnames=("batch_size", "keep", "cost", "squash"))
compiled = jax.jit(influence, static_argnames=("cost", "squash"))


@pytest.fixture(scope="module")
def tiny():
    """A network of 23 numbers, eleven images and their labels."""
    rng = np.random.default_rng(0)
    params = tuple(
        jaxnet.Layer(rng.normal(size=(n_out, n_in)).astype("f"), rng.normal(size=n_out).astype("f"))
        for n_in, n_out in itertools.pairwise(SIZES)
    )
    return params, rng.random((11, 4), "f"), np.arange(11, dtype=np.int32) % 2


def close(got, expected, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), got, expected)


def test_each_gradient_is_that_of_backpropagation_by_hand(tiny):
    params, images, labels = tiny
    got = per_example(params, images, labels, cost=quadratic_cost)
    got = jax.tree.map(np.asarray, got)
    for n, (x, y) in enumerate(zip(images, labels, strict=True)):
        expected = backpropagation(params, x, np.eye(2)[y])
        for layer, (weights, biases) in zip(got, expected, strict=True):
            close(layer.weights[n], weights)
            close(layer.biases[n], biases)


def by_differences(function, params):
    """The slopes of a function of a network, one number of the network after another."""
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


def weighted_sums(layers, images):
    """Of the last layer, in float64 and without JAX."""
    a = matrix_form(layers, images)[-1]
    return np.log(a / (1 - a))


def rows(gradients):
    """Gradients flat, a row an image."""
    return np.concatenate(
        [np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(gradients)], axis=1
    )


def test_each_gradient_of_cross_entropy_is_that_of_finite_differences(tiny):
    params, images, labels = tiny

    def costs(layers):
        return -log_softmax(weighted_sums(layers, images), axis=1)[np.arange(11), labels]

    close(rows(separate(params, images, labels)), by_differences(costs, params).T)


def test_their_mean_is_the_gradient_of_the_mean_cost(tiny):
    whole = jax.jit(jax.grad(mean_cost))(*tiny)
    close(jax.tree.map(lambda leaf: np.mean(leaf, 0), separate(*tiny)), whole)


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_the_batch_size_changes_nothing(tiny, batch_size):
    close(separate(*tiny, batch_size=batch_size), separate(*tiny), atol=1e-7)


def test_what_is_kept_is_made_of_the_whole_gradient_of_one_image(tiny):
    def keep(gradient):
        return {"length": optax.tree.norm(gradient), "biases": gradient[0].biases}

    kept, whole = separate(*tiny, keep=keep, batch_size=3), separate(*tiny)
    close(kept["length"], np.linalg.norm(rows(whole), axis=1))
    close(kept["biases"], whole[0].biases)


def test_bytes_relu_and_shares_for_labels(tiny):
    params, images, labels = tiny
    pixels = (255 * images).astype(np.uint8)
    relu = partial(separate, squash=jax.nn.relu)
    got = relu(params, pixels, np.eye(2, dtype="f")[labels])
    close(got, relu(params, pixels / np.float32(255), labels))
    assert np.abs(rows(got) - rows(separate(params, pixels, labels))).max() > 1e-3


def test_gradients_that_are_not_kept_take_no_memory():
    def scratch(n):
        images = jax.ShapeDtypeStruct((n, 784), jnp.uint8)
        labels = jax.ShapeDtypeStruct((n,), jnp.int32)
        norms = jax.jit(partial(per_example, keep=optax.tree.norm))
        program = norms.lower(jaxnet.pretrained(), images, labels).compile()
        return program.memory_analysis().temp_size_in_bytes

    few, many = scratch(10_000), scratch(20_000)
    gradient = 13_002 * 4
    # One batch's gradients, some of their parts twice, beside copies of the images as bytes.
    assert many < 3 * 256 * gradient + 2 * 20_000 * 784
    assert many < 20_000 * gradient / 10
    assert many - few < 2 * 10_000 * 784


# A single layer under softmax is convex, and Gauss and Newton's curvature is exact there: what
# leaving an image out does can be had by doing it. All in float64, and without JAX.


@pytest.fixture(scope="module")
def lessons():
    """Bytes whose labels depend on them by chance, so that no weights fit them perfectly."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, N_INPUTS), np.uint8)
    z = images / 255 @ rng.normal(0, 4, (N_INPUTS, N_OUTPUTS)) + rng.gumbel(size=(N, N_OUTPUTS))
    return images, z.argmax(1)


def with_bias(images):
    return np.append(images / 255, np.ones((len(images), 1)), axis=1)


def slopes(table, images, labels):
    """Each image's gradient, flat, by (output, input or bias)."""
    x = with_bias(images)
    errors = softmax(x @ table.T, axis=1) - np.eye(N_OUTPUTS)[labels]
    return (errors[:, :, None] * x[:, None, :]).reshape(len(x), -1)


def curvature(table, images):
    """The sum of the Hessians of the images' costs."""
    x = with_bias(images)
    p = softmax(x @ table.T, axis=1)
    bends = np.eye(N_OUTPUTS) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    return np.einsum("nij,nk,nl->ikjl", bends, x, x).reshape(table.size, table.size)


def learnt(images, labels, start, anchor, damping):
    """Newton's method to the end: the sum over N, and half the squared way from the anchor."""
    table = start
    for _ in range(100):
        slope = slopes(table, images, labels).sum(0) / N + damping * (table - anchor).ravel()
        if np.abs(slope).max() < 1e-13:
            return table
        steep = curvature(table, images) / N + damping * np.eye(table.size)
        table = table - np.linalg.solve(steep, slope).reshape(table.shape)
    raise AssertionError("Newton's method did not settle.")


def cost_of(table, x, y):
    return -log_softmax(with_bias(x[None])[0] @ table.T)[y]


def as_params(table):
    return (jaxnet.Layer(table[:, :-1].astype("f"), table[:, -1].astype("f")),)


def trained(lessons, anchored):
    """The table, and its anchor: zero or, had it learnt without damping, the table itself."""
    zero = np.zeros((N_OUTPUTS, N_INPUTS + 1))
    if anchored == "at zero":
        return learnt(*lessons, zero, zero, DAMPING), zero
    # So little that it only decides what no image does, a constant in all logits.
    table = learnt(*lessons, zero, zero, 1e-9)
    return table, table


@pytest.mark.parametrize("anchored", ["at zero", "where it is"])
def test_influence_is_what_leaving_the_image_out_does(lessons, anchored):
    images, labels = lessons
    table, anchor = trained(lessons, anchored)
    without = [
        learnt(np.delete(images, n, 0), np.delete(labels, n), table, anchor, DAMPING)
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
        # Of first order: one of 200 images and 15 parameters bends the curvature by some 1 / 13.
        assert 0.9 < (got @ rises) / (rises @ rises) < 1.02
        clear = np.abs(rises) > np.abs(rises).max() / 50
        assert (np.sign(got)[clear] == np.sign(rises)[clear]).all()


@pytest.mark.parametrize("damping", [0.001, 0.01, 1.0])
def test_influence_solves_with_the_curvature(lessons, damping):
    """To first order there is a formula; here with the matrix written down."""
    images, labels = lessons
    table, _ = trained(lessons, "at zero")
    x, y = np.array([[10, 200, 30, 90]], np.uint8), np.array([2])
    steep = curvature(table, images) / N + damping * np.eye(table.size)
    way = np.linalg.solve(steep, slopes(table, x, y)[0])
    expected = slopes(table, images, labels) @ way / N
    got = compiled(
        as_params(table), images, labels, x[0] / np.float32(255), np.int32(2), damping=damping
    )
    close(got, expected, atol=1e-4 * np.abs(expected).max())


def test_influence_in_a_deep_network_is_by_gauss_and_newtons_curvature(tiny):
    params, images, labels = tiny
    turns = by_differences(lambda layers: weighted_sums(layers, images), params)
    p = softmax(weighted_sums(params, images), axis=1)
    bends = np.eye(2) * p[:, :, None] - p[:, :, None] * p[:, None, :]
    steep = np.einsum("ina,nab,jnb->ij", turns, bends, turns) / 11
    slopes = np.einsum("ina,na->ni", turns, p - np.eye(2)[labels])
    way = np.linalg.solve(steep + DAMPING * np.eye(len(steep)), slopes[0])
    with jax.enable_x64(True):  # in float32 the search would stop short of this
        exact = jax.tree.map(lambda leaf: leaf.astype(np.float64), (params, images))
        got = compiled(*exact, labels, exact[1][0], labels[0], damping=DAMPING)
    close(got, slopes @ way / 11, atol=1e-5 * np.abs(got).max())


def test_an_image_helps_to_read_itself_and_hinders_under_another_label(lessons):
    images, labels = lessons
    params = as_params(trained(lessons, "at zero")[0])
    for n in range(10):
        x, y = images[n] / np.float32(255), labels[n]
        assert compiled(params, images, labels, x, y)[n] > 0
        doubled = np.append(images, images[[n]], 0), np.append(labels, (y + 1) % N_OUTPUTS)
        own, opposite = np.asarray(compiled(params, *doubled, x, y))[[n, N]]
        assert own > 0 > opposite


def test_bytes_and_floats_have_one_influence(lessons):
    images, labels = lessons
    params = as_params(trained(lessons, "at zero")[0])
    x = images[7] / np.float32(255)
    got = compiled(params, images, labels, x, 1)
    close(got, compiled(params, images / np.float32(255), labels, x, 1), atol=1e-6)
    close(got, compiled(params, images, np.eye(3, dtype="f4")[labels], x, 1), 1e-6)


def test_influence_on_many_images_is_that_on_each(tiny):
    _, images, labels = tiny
    over = jax.jit(jax.vmap(influence, in_axes=(None, None, None, 0, 0)))
    alone = [compiled(*tiny, x, y) for x, y in zip(images, labels, strict=True)]
    # Conjugate gradients go on until an error is small enough, and so may stop a step apart.
    close(over(*tiny, images, labels), np.array(alone), atol=1e-5)


def test_influence_of_other_costs_and_squashes(tiny):
    _, images, labels = tiny
    got = compiled(*tiny, images[0], labels[0])
    for other in ({"squash": jax.nn.relu}, {"cost": quadratic_cost}):
        assert np.abs(compiled(*tiny, images[0], labels[0], **other) - got).max() > 1e-3
