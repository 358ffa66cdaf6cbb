"""Curvature against differences of a cost written in NumPy; ways between networks."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet.landscape import hessian_vector_product, largest_curvature, line, matched
from jaxnet.training import cross_entropy, mean_cost
from tests.helpers import float64, matrix_form

SIZES = (4, 3, 2)
DEEP = (5, 8, 7, 6, 3)

product = jax.jit(hessian_vector_product, static_argnames=("cost", "squash"))
largest = jax.jit(largest_curvature, static_argnames=("n_iterations", "cost", "squash"))


def draw(seed, sizes, dtype=np.float32):
    """A network whose biases are not zero."""
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
    """A network of 23 numbers, twenty images and their labels."""
    images = np.random.default_rng(1).random((20, 4), "f")
    return draw(0, SIZES), images, np.arange(20, dtype=np.int32) % 2


@pytest.fixture(scope="module")
def hessian(tiny):
    """All of it, in float64 and without JAX: second differences of the cost in NumPy."""
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


def test_products_with_every_direction_are_the_whole_hessian(tiny, hessian):
    """All at once, by `vmap` over the directions."""
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


def test_products_in_float64_are_differences_of_gradients(tiny):
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
    params, *lessons = tiny
    u, v = draw(1, SIZES), draw(2, SIZES)
    hu, hv = (product(params, d, *lessons) for d in (u, v))
    close(flat(u) @ flat(hv), flat(v) @ flat(hu), atol=1e-5)
    both = jax.tree.map(lambda a, b: 2 * a - 3 * b, u, v)
    close(flat(product(params, both, *lessons)), 2 * flat(hu) - 3 * flat(hv), atol=1e-5)


def test_products_at_full_size_in_bytes():
    """Against the other way, a difference of two gradients: in float32, and so roughly."""
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
def test_the_largest_curvature_is_numpys_eigenvalue(tiny, hessian, key):
    values, vectors = np.linalg.eigh(hessian)
    assert values[-1] > 1.1 * -values[0] > 0
    value, direction = largest(jax.random.key(key), *tiny, n_iterations=200)
    close(value, values[-1], atol=1e-5)
    close(np.abs(flat(direction) @ vectors[:, -1]), 1.0, atol=1e-5)
    close(np.linalg.norm(flat(direction)), 1.0)


def test_where_the_cost_curves_down_most_the_value_is_negative(tiny, hessian):
    """The same landscape upside down."""

    def gain(z, y):
        return -cross_entropy(z, y)

    values, vectors = np.linalg.eigh(-hessian)
    value, direction = largest(jax.random.key(0), *tiny, n_iterations=200, cost=gain)
    assert value < 0
    close(value, values[0], atol=1e-5)
    close(np.abs(flat(direction) @ vectors[:, 0]), 1.0, atol=1e-5)
    close(np.linalg.norm(flat(direction)), 1.0)


def test_gradient_descent_settles_below_two_over_the_curvature_and_not_above():
    """One layer, so that the cost is convex and its lowest point can be had."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((30, 3), "f"), rng.integers(0, 3, 30, np.int32)
    slope = jax.grad(mean_cost)

    @jax.jit
    def descend(params, rate, n):
        def step(_, p):
            return jax.tree.map(lambda a, g: a - rate * g, p, slope(p, images, labels))

        return jax.lax.fori_loop(0, n, step, params)

    lowest = jax.tree.map(np.asarray, descend(draw(0, (3, 3)), 2.0, 20_000))
    value, direction = largest(jax.random.key(0), lowest, images, labels, n_iterations=100)
    nearby = jax.tree.map(lambda p, d: p + np.float32(0.01) * np.asarray(d), lowest, direction)
    for share, settles in ((0.95, True), (1.05, False)):
        after = descend(nearby, share * 2 / float(value), 100)
        assert (np.linalg.norm(flat(after) - flat(lowest)) < 0.01) == settles


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_a_line_begins_and_ends_with_the_two_networks(dtype):
    one, other = draw(0, SIZES, dtype), draw(1, SIZES, dtype)
    networks = jax.jit(line, static_argnums=2)(one, other, 5)
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


def test_a_line_of_two_and_a_line_in_float64():
    one, other = draw(0, SIZES), draw(1, SIZES)
    compiled = jax.jit(line, static_argnums=2)
    close(compiled(one, other, 2), jax.tree.map(lambda *ends: np.stack(ends), one, other), atol=0)
    with jax.enable_x64(True):
        middle = jax.tree.map(lambda leaf: np.asarray(leaf)[1], compiled(one, other, 3))
    assert middle[0].weights.dtype == np.float32
    close(flat(middle), (flat(one) + flat(other)) / 2)


def test_the_cost_along_a_line(tiny):
    one, images, labels = tiny
    other = draw(1, SIZES)
    over = jax.jit(jax.vmap(mean_cost, in_axes=(0, None, None)))
    costs = over(line(one, other, 9), images, labels)
    for n in range(9):
        between = [
            (w + n / 8 * (w2 - w), b + n / 8 * (b2 - b))
            for (w, b), (w2, b2) in zip(float64(one), float64(other), strict=True)
        ]
        a = matrix_form(between, images)[-1]
        odds = a / (1 - a)
        close(costs[n], -np.log(odds[np.arange(20), labels] / odds.sum(1)).mean())


def reordered(params, seed):
    """The same network with the neurons of each hidden layer in random order."""
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
def test_what_was_put_out_of_order_is_put_in_order_again(sizes, biases):
    """For the right order the way is zero, and for no other."""
    for seed in range(20):
        params = draw(seed, sizes)
        if biases == "zero":  # as `jaxnet.init` has them
            params = tuple(layer._replace(biases=0 * layer.biases) for layer in params)
        close(matched(reordered(params, seed), params), params, atol=0)


@pytest.mark.parametrize("sizes", [DEEP, (784, 16, 16, 10)])
def test_matched_answers_as_before_and_is_never_farther(sizes):
    rng = np.random.default_rng(0)
    for seed in range(10):
        params, like = draw(seed, sizes), draw(seed + 100, sizes)
        got = matched(params, like)
        x = rng.random((7, sizes[0]))
        close(matrix_form(got, x)[-1], matrix_form(params, x)[-1], atol=1e-12)
        assert distance(got, like) < distance(params, like)
        # Nothing but the order: the same numbers in every array.
        for a, b in zip(*map(jax.tree.leaves, (got, params)), strict=True):
            np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


def test_with_one_hidden_layer_no_order_comes_closer():
    """Every one of the 24 orders, tried."""
    for seed in range(10):
        params, like = draw(seed, (5, 4, 3)), draw(seed + 100, (5, 4, 3))
        (w, b), (w_after, b_after) = params
        ways = [
            distance(((w[o], b[o]), (w_after[:, o], b_after)), like)
            for o in map(np.array, itertools.permutations(range(4)))
        ]
        close(distance(matched(params, like), like), min(ways), atol=1e-5)


def test_matched_to_itself_is_the_same_network():
    params = draw(0, (784, 16, 16, 10))
    close(matched(params, params), params, atol=0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_matched_keeps_the_type(dtype):
    params = draw(3, (20, 8, 7, 3), dtype)
    got = matched(reordered(params, 0), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(dtype)}
    jax.tree.map(np.testing.assert_array_equal, got, params)


@pytest.mark.parametrize("scale", [1, 2])
def test_matched_in_half_precision_does_not_overflow(scale):
    """Sums of squares soon exceed 65,504, which is float16's greatest number."""
    params = jax.tree.map(
        lambda leaf: (scale * np.asarray(leaf)).astype(np.float16), jaxnet.pretrained()
    )
    close(matched(reordered(params, 0), params), params, atol=0)


def test_a_network_of_lists_or_numpy_arrays_is_matched_too():
    params = reordered(draw(0, DEEP), 5)
    lists = [list(map(np.asarray, layer)) for layer in params]
    close(matched(lists, draw(0, DEEP)), matched(params, draw(0, DEEP)), atol=0)


def test_networks_of_different_shapes_cannot_be_matched():
    one, other = (jaxnet.init(jax.random.key(0), (6, n, 3)) for n in (4, 5))
    with pytest.raises(ValueError, match="two networks of one shape"):
        jaxnet.landscape.matched(one, other)
