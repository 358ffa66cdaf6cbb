"""The loss landscape: curvature against finite differences, paths against brute force."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.analysis import (
    hessian_vector_product,
    interpolate,
    match_neurons,
    top_hessian_eigenvalue,
)
from jaxnet.training import MeanCost, cross_entropy, evaluate, loss
from tests.oracles import float64, matrix_form

pytestmark = [pytest.mark.core, pytest.mark.compiled]

SIZES = (4, 3, 2)
DEEP = (5, 8, 7, 6, 3)

product = jax.jit(hessian_vector_product, static_argnames="loss")
top_eigenvalue = jax.jit(top_hessian_eigenvalue, static_argnames=("n_iterations", "loss"))


def mean_cost(params, images, labels):
    return loss(params, images, labels)[0]


def draw(seed, sizes, dtype=np.float32):
    """A random network with nonzero biases."""
    rng = np.random.default_rng(seed)
    return tuple(
        jaxnet.Layer(
            rng.normal(0, n_in**-0.5, (n_out, n_in)).astype(dtype),
            rng.normal(size=n_out).astype(dtype),
        )
        for n_in, n_out in itertools.pairwise(sizes)
    )


def flat(params):
    return np.concatenate([np.ravel(leaf) for layer in float64(params) for leaf in layer])


def close(got, expected, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), got, expected)


@pytest.fixture(scope="module")
def tiny():
    """A network of 23 parameters, with twenty images and their labels."""
    images = np.random.default_rng(1).random((20, 4), "f")
    return draw(0, SIZES), images, np.arange(20, dtype=np.int32) % 2


@pytest.fixture(scope="module")
def hessian(tiny):
    """The full Hessian by second differences of a NumPy cost, in float64."""
    params, images, labels = tiny
    layers = float64(params)
    leaves = [leaf for layer in layers for leaf in layer]
    places = [(leaf, place) for leaf in leaves for place in np.ndindex(leaf.shape)]

    def cost():
        a = matrix_form(layers, images)[-1]
        odds = a / (1 - a)  # the exponential of the logits
        return -np.log(odds[np.arange(20), labels] / odds.sum(1)).mean()

    step, whole = 1e-4, np.zeros((len(places), len(places)))
    for (i, one), (j, other) in itertools.product(enumerate(places), repeat=2):
        for a, b in itertools.product((1, -1), repeat=2) if i <= j else ():
            before = [leaf.copy() for leaf in leaves]
            one[0][one[1]] += a * step
            other[0][other[1]] += b * step
            whole[i, j] += a * b * cost() / (4 * step**2)
            for leaf, old in zip(leaves, before, strict=True):
                leaf[...] = old
    return np.triu(whole) + np.triu(whole, 1).T


def test_products_with_all_unit_vectors(tiny, hessian):
    """All at once, under `vmap` over the directions."""
    params, images, labels = tiny
    ends = np.cumsum([leaf.size for leaf in jax.tree.leaves(params)])[:-1]
    parts = np.split(np.eye(len(hessian), dtype="f"), ends, axis=1)
    like = jax.tree.leaves(params)
    directions = [part.reshape(-1, *leaf.shape) for part, leaf in zip(parts, like, strict=True)]
    directions = jax.tree.unflatten(jax.tree.structure(params), directions)
    over = jax.jit(jax.vmap(hessian_vector_product, in_axes=(None, 0, None, None)))
    got = jax.tree.leaves(over(params, directions, images, labels))
    rows = np.concatenate([np.reshape(leaf, (len(hessian), -1)) for leaf in got], axis=1)
    close(rows, hessian, atol=1e-6)


def test_products_in_float64_by_gradient_differences(tiny):
    with jax.enable_x64(True):
        params, v = (
            jax.tree.map(lambda leaf: leaf.astype(np.float64), p) for p in (tiny[0], draw(1, SIZES))
        )
        images, labels = tiny[1].astype(np.float64), tiny[2]
        slope, step = jax.jit(jax.grad(mean_cost)), 1e-5
        ahead, behind = (
            slope(jax.tree.map(lambda p, d: p + s * d, params, v), images, labels)  # noqa: B023
            for s in (step, -step)
        )
        expected = jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)
        close(product(params, v, images, labels), expected, atol=1e-9)


def test_products_are_symmetric_and_linear(tiny):
    params, *data = tiny
    u, v = draw(1, SIZES), draw(2, SIZES)
    hu, hv = (product(params, d, *data) for d in (u, v))
    close(flat(u) @ flat(hv), flat(v) @ flat(hu), atol=1e-5)
    both = jax.tree.map(lambda a, b: 2 * a - 3 * b, u, v)
    close(flat(product(params, both, *data)), 2 * flat(hu) - 3 * flat(hv), atol=1e-5)


def test_products_of_an_own_loss(tiny, hessian):
    """A penalty of half the squared weights adds the direction itself to the product."""

    def decayed(params, images, labels, key):
        penalty = 0.5 * sum((leaf**2).sum() for leaf in jax.tree.leaves(params))
        return loss(params, images, labels, key)[0] + 3 * penalty, {"penalty": penalty}

    v = draw(1, SIZES)
    got = product(tiny[0], v, *tiny[1:], loss=decayed)
    close(flat(got), hessian @ flat(v) + 3 * flat(v), atol=1e-5)


@pytest.mark.long
def test_products_at_full_size_with_uint8():
    """Against a difference of two gradients in float32, which is only approximate."""
    params, rng = draw(0, (784, 16, 16, 10)), np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (50, 784), np.uint8), rng.integers(0, 10, 50, np.int32)
    slope = jax.jit(jax.grad(mean_cost))
    v = jax.tree.map(np.asarray, slope(params, images, labels))
    step = np.float32(1e-2 / np.linalg.norm(flat(v)))
    ahead, behind = (
        slope(jax.tree.map(lambda p, d: p + s * d, params, v), images, labels)  # noqa: B023
        for s in (step, -step)
    )
    expected = (flat(ahead) - flat(behind)) / (2 * step)
    got = flat(product(params, v, images, labels))
    assert np.linalg.norm(got - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("key", [0, 1])
def test_top_eigenvalue_by_numpy(tiny, hessian, key):
    values, vectors = np.linalg.eigh(hessian)
    assert values[-1] > 1.1 * -values[0] > 0
    value, direction = top_eigenvalue(jax.random.key(key), *tiny, n_iterations=200)
    close(value, values[-1], atol=1e-5)
    close(np.abs(flat(direction) @ vectors[:, -1]), 1.0, atol=1e-5)
    close(np.linalg.norm(flat(direction)), 1.0)


@pytest.mark.long
def test_top_eigenvalue_can_be_negative(tiny, hessian):
    """The same landscape, upside down."""

    def gain(z, y):
        return -cross_entropy(z, y)

    values, vectors = np.linalg.eigh(-hessian)
    value, direction = top_eigenvalue(
        jax.random.key(0), *tiny, n_iterations=200, loss=MeanCost(gain)
    )
    assert value < 0
    close(value, values[0], atol=1e-5)
    close(np.abs(flat(direction) @ vectors[:, 0]), 1.0, atol=1e-5)
    close(np.linalg.norm(flat(direction)), 1.0)


@pytest.mark.long
def test_gradient_descent_converges_only_below_two_over_the_eigenvalue():
    """With one layer the cost is convex, and its minimum can be found."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((30, 3), "f"), rng.integers(0, 3, 30, np.int32)
    slope = jax.grad(mean_cost)

    @jax.jit
    def descend(params, rate, n):
        def step(_, p):
            return jax.tree.map(lambda a, g: a - rate * g, p, slope(p, images, labels))

        return jax.lax.fori_loop(0, n, step, params)

    lowest = jax.tree.map(np.asarray, descend(draw(0, (3, 3)), 2.0, 20_000))
    value, direction = top_eigenvalue(jax.random.key(0), lowest, images, labels, n_iterations=100)
    nearby = jax.tree.map(lambda p, d: p + np.float32(0.01) * np.asarray(d), lowest, direction)
    for fraction, converges in ((0.95, True), (1.05, False)):
        after = descend(nearby, fraction * 2 / float(value), 100)
        assert (np.linalg.norm(flat(after) - flat(lowest)) < 0.01) == converges


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_interpolation_endpoints_and_steps(dtype):
    one, other = draw(0, SIZES, dtype), draw(1, SIZES, dtype)
    networks = jax.jit(interpolate, static_argnums=2)(one, other, 5)
    for leaf, a, b in zip(*map(jax.tree.leaves, (networks, one, other)), strict=True):
        assert leaf.dtype == dtype
        assert leaf.shape == (5, *a.shape)
        leaf, a, b = (np.asarray(part, np.float64) for part in (leaf, a, b))
        np.testing.assert_array_equal(leaf[0], a)
        np.testing.assert_array_equal(leaf[-1], b)
        for n in range(5):
            # Two products and a sum, each rounded.
            atol = 3 * float(jnp.finfo(dtype).eps) * np.maximum(np.abs(a), np.abs(b)).max()
            close(leaf[n], a + n / 4 * (b - a), atol=atol)


def test_interpolation_of_two_and_in_float64():
    one, other = draw(0, SIZES), draw(1, SIZES)
    compiled = jax.jit(interpolate, static_argnums=2)
    close(compiled(one, other, 2), jax.tree.map(lambda *ends: np.stack(ends), one, other), atol=0)
    with jax.enable_x64(True):
        middle = jax.tree.map(lambda leaf: np.asarray(leaf)[1], compiled(one, other, 3))
    assert middle[0].weights.dtype == np.float32
    close(flat(middle), (flat(one) + flat(other)) / 2)


def test_cost_along_an_interpolation(tiny):
    one, images, labels = tiny
    other = draw(1, SIZES)
    over = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)))
    costs = over(interpolate(one, other, 9), images, labels).cost
    for n in range(9):
        between = [
            (w + n / 8 * (w2 - w), b + n / 8 * (b2 - b))
            for (w, b), (w2, b2) in zip(float64(one), float64(other), strict=True)
        ]
        a = matrix_form(between, images)[-1]
        odds = a / (1 - a)
        close(costs[n], -np.log(odds[np.arange(20), labels] / odds.sum(1)).mean())


def shuffled(params, seed):
    """The same network with the neurons of each hidden layer shuffled."""
    rng, layers = np.random.default_rng(seed), [tuple(map(np.asarray, layer)) for layer in params]
    for n in range(len(layers) - 1):
        (w, b), (w_after, b_after) = layers[n : n + 2]
        order = rng.permutation(len(b))
        layers[n : n + 2] = (w[order], b[order]), (w_after[:, order], b_after)
    return tuple(jaxnet.Layer(jnp.asarray(w), jnp.asarray(b)) for w, b in layers)


def distance(one, other):
    return np.linalg.norm(flat(one) - flat(other))


@pytest.mark.parametrize("sizes", [(784, 16, 16, 10), SIZES, (6, 3), DEEP])
@pytest.mark.parametrize("biases", ["drawn", "zero"])
def test_match_undoes_a_permutation(sizes, biases):
    """The distance is zero for the right permutation and no other."""
    for seed in range(20):
        params = draw(seed, sizes)
        if biases == "zero":  # as in `jaxnet.init`
            params = tuple(layer._replace(biases=0 * layer.biases) for layer in params)
        close(match_neurons(shuffled(params, seed), params), params, atol=0)


@pytest.mark.parametrize("sizes", [DEEP, (784, 16, 16, 10)])
def test_match_keeps_the_outputs_and_is_closer(sizes):
    rng = np.random.default_rng(0)
    for seed in range(10):
        params, like = draw(seed, sizes), draw(seed + 100, sizes)
        got = match_neurons(params, like)
        x = rng.random((7, sizes[0]))
        close(matrix_form(got, x)[-1], matrix_form(params, x)[-1], atol=1e-12)
        assert distance(got, like) < distance(params, like)
        # Only the order changes: every array has the same numbers.
        for a, b in zip(*map(jax.tree.leaves, (got, params)), strict=True):
            np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


def test_match_is_optimal_for_one_hidden_layer():
    """All 24 permutations are tried."""
    for seed in range(10):
        params, like = draw(seed, (5, 4, 3)), draw(seed + 100, (5, 4, 3))
        (w, b), (w_after, b_after) = params
        distances = [
            distance(((w[o], b[o]), (w_after[:, o], b_after)), like)
            for o in map(np.array, itertools.permutations(range(4)))
        ]
        close(distance(match_neurons(params, like), like), min(distances), atol=1e-5)


def test_match_to_itself():
    params = draw(0, (784, 16, 16, 10))
    close(match_neurons(params, params), params, atol=0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_match_keeps_the_dtype(dtype):
    params = draw(3, (20, 8, 7, 3), dtype)
    got = match_neurons(shuffled(params, 0), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(dtype)}
    jax.tree.map(np.testing.assert_array_equal, got, params)


@pytest.mark.parametrize("scale", [1, 2])
def test_match_in_float16_does_not_overflow(scale):
    """Sums of squares soon exceed 65,504, float16's maximum."""
    params = jax.tree.map(
        lambda leaf: (scale * np.asarray(leaf)).astype(np.float16), jaxnet.pretrained()
    )
    close(match_neurons(shuffled(params, 0), params), params, atol=0)


def test_match_takes_lists_and_numpy_arrays():
    params = shuffled(draw(0, DEEP), 5)
    lists = [list(map(np.asarray, layer)) for layer in params]
    close(match_neurons(lists, draw(0, DEEP)), match_neurons(params, draw(0, DEEP)), atol=0)


@pytest.mark.long
def test_match_of_different_shapes():
    one, other = (jaxnet.init(jax.random.key(0), (6, n, 3)) for n in (4, 5))
    with pytest.raises(ValueError, match="two networks of one shape"):
        jaxnet.analysis.match_neurons(one, other)
