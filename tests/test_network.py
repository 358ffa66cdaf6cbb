"""The heart: what it computes, held against two other ways to say the same."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jaxnet
from jaxnet import Layer
from tests.oracles import matrix_form, neuron_by_neuron

pytestmark = pytest.mark.core


@pytest.mark.compiled
def test_parameter_count():
    params = jaxnet.init(jax.random.key(0))
    assert [layer.weights.size for layer in params] == [12_544, 256, 160]
    assert [layer.biases.size for layer in params] == [16, 16, 10]
    assert jaxnet.count(params) == 13_002
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))


@pytest.mark.compiled
def test_forward_against_neuron_by_neuron(params, x):
    np.testing.assert_allclose(jaxnet.forward(params, x), neuron_by_neuron(params, x), atol=1e-6)


def test_activations_against_matrix_form(params, x):
    layers = jaxnet.activations(params, x)
    assert [a.shape for a in layers] == [(784,), (16,), (16,), (10,)]
    for a, expected in zip(layers, matrix_form(params, x), strict=True):
        np.testing.assert_allclose(a, expected, atol=1e-6)


@pytest.mark.compiled
def test_batch_by_vmap(params, images):
    batch = jax.vmap(jaxnet.forward, in_axes=(None, 0))(params, images)
    np.testing.assert_allclose(batch, matrix_form(params, images)[-1], atol=1e-6)


def test_oracles_agree(params, x):
    np.testing.assert_allclose(neuron_by_neuron(params, x), matrix_form(params, x)[-1], rtol=1e-12)


def test_logits(params, x):
    a = matrix_form(params, x)[-1]
    np.testing.assert_allclose(jaxnet.logits(params, x), np.log(a / (1 - a)), atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("sizes", [(784, 10), (3, 4), (784, 16, 16, 16, 16, 2), (1, 1, 1)])
def test_other_sizes(sizes):
    params = jaxnet.init(jax.random.key(0), sizes)
    assert jaxnet.count(params) == sum(n * (m + 1) for m, n in pairwise(sizes))
    x = jnp.linspace(0, 1, sizes[0])
    np.testing.assert_allclose(jaxnet.forward(params, x), neuron_by_neuron(params, x), atol=1e-6)


def test_relu_and_identity(params, x):
    got = jaxnet.forward(params, x, squash=jax.nn.relu, last_squash=lambda z: z)
    a = np.asarray(x, np.float64)
    for w, b in params[:-1]:
        a = np.maximum(0, np.asarray(w, np.float64) @ a + np.asarray(b, np.float64))
    w, b = params[-1]
    np.testing.assert_allclose(got, np.asarray(w) @ a + np.asarray(b), rtol=1e-5, atol=1e-5)
    layers = jaxnet.activations(params, x, squash=jax.nn.relu)
    assert min(a.min() for a in layers[1:3]) == 0
    np.testing.assert_array_equal(
        layers[-1], jax.nn.sigmoid(jaxnet.logits(params, x, squash=jax.nn.relu))
    )


def test_predict_with_saturated_outputs():
    biases = jnp.array([90.0, 100.0, 95.0])
    params = (Layer(jnp.zeros((3, 2)), biases),)
    x = jnp.zeros(2)
    np.testing.assert_array_equal(jaxnet.forward(params, x), 1)  # all three, in float32
    assert jaxnet.predict(params, x) == 1


@pytest.mark.compiled
def test_init_is_glorot_uniform():
    params = jaxnet.init(jax.random.key(3))
    for w, b in params:
        limit = (6 / sum(w.shape)) ** 0.5
        assert abs(w).max() <= limit
        assert abs(w).max() > 0.9 * limit
        # Of a uniform variable, and n of them: standard error limit / sqrt(3 n), five of those.
        assert abs(w.mean()) < 5 * limit / (3 * w.size) ** 0.5
        assert not b.any()


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_precisions(dtype, x):
    params = jaxnet.init(jax.random.key(0), dtype=dtype)
    a = jaxnet.forward(params, x.astype(dtype))
    assert a.dtype == dtype
    # Rounding to p bits is off by 2**-p at most: a few such steps, of outputs of at most 1.
    atol = 4 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(a.astype(jnp.float32), neuron_by_neuron(params, x), atol=atol)


@pytest.mark.compiled
def test_float64(x):
    with jax.enable_x64(True):
        params = jaxnet.init(jax.random.key(0), dtype=jnp.float64)
        wide = np.asarray(x, np.float64)
        a = jaxnet.forward(params, jnp.asarray(wide))
        assert a.dtype == jnp.float64
        np.testing.assert_allclose(a, neuron_by_neuron(params, wide), rtol=1e-13)


def test_plain_tuples_and_numpy_params(params, x):
    plain = [(np.asarray(w), np.asarray(b)) for w, b in params]
    np.testing.assert_allclose(
        jaxnet.forward(plain, np.asarray(x)), jaxnet.forward(params, x), atol=1e-6
    )


ONE_IMAGE = r"shape \(784,\).* float32\[64, 784\] .*jax.vmap\(forward, in_axes=\(None, 0\)\)"


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda p, x: (p, jnp.zeros((64, 784))), ValueError, ONE_IMAGE),
        (lambda p, x: (p, jnp.zeros((28, 28))), ValueError, r"x\.reshape\(784\)"),
        (lambda p, x: (p, jnp.zeros(784, jnp.uint8)), ValueError, r"uint8\[784\] .*x / 255"),
        (lambda p, x: (p, jnp.zeros(783)), ValueError, r"float32\[783\]"),
        (lambda p, x: (p, jnp.zeros(())), ValueError, r"float32\[\]"),
        (lambda p, x: (p, [0.0] * 784), ValueError, "got list"),
        (lambda p, x: ((), x), TypeError, "tuple of Layer"),
        (lambda p, x: (p[0], x), TypeError, "got another Layer"),
        (lambda p, x: (jax.tree.leaves(p), x), TypeError, "got another list"),
        (lambda p, x: ({"0": p[0]}, x), TypeError, "got another dict"),
        (lambda p, x: (x, p), TypeError, "tuple of Layer"),
        (lambda p, x: (((*p[0], p[0]),), x), TypeError, "tuple of Layer"),
        (lambda p, x: (jax.tree.map(lambda a: a.astype(int), p), x), TypeError, "floating-point"),
        (lambda p, x: (p[1:], x), ValueError, r"shape \(16,\)"),
        (lambda p, x: ((p[0], p[2], p[1]), x), ValueError, r"params\[2\].*\(16, 16\) and \(16,\)"),
        (lambda p, x: ((p[0], Layer(p[1][0], p[2][1])), x), ValueError, r"params\[1\].*\(10,\)"),
        (lambda p, x: ((Layer(p[0][0].T, p[0][1]),), x), ValueError, r"\(784, 16\) and \(16,\)"),
        (lambda p, x: (jax.tree.map(lambda a: a[None], p), x), ValueError, r"in_axes=\(0, None\)"),
        (lambda p, x: (((jnp.float32(1), jnp.float32(1)),), x), ValueError, r"\(\) and \(\)"),
    ],
)
@pytest.mark.parametrize("function", [jaxnet.forward, jaxnet.logits, jaxnet.activations])
def test_error_names_the_right_call(params, x, wrong, error, says, function):
    params, x = wrong(params, x)
    with pytest.raises(error, match=says):
        function(params, x)
    with pytest.raises(error, match=says):
        jax.eval_shape(lambda: function(params, x))  # while tracing: nothing is computed


@pytest.mark.compiled
def test_vmap_over_params_by_mistake(x):
    params = jaxnet.init(jax.random.key(0), (8, 8))
    with pytest.raises(ValueError, match=r"in_axes=\(None, 0\)"):
        jax.vmap(jaxnet.forward)(params, jnp.zeros((8, 8)))


@pytest.mark.compiled
@pytest.mark.parametrize("sizes", [(), (784,), (784, 0, 10), (784, -1)])
def test_init_with_bad_sizes(sizes):
    with pytest.raises(ValueError, match="at least two positive sizes"):
        jaxnet.init(jax.random.key(0), sizes)


def with_a_skip(params, a, squash, last_squash):
    """`propagate`, but a layer as wide as the one before it adds that one's activations."""
    known = as_function  # noqa: F821, a name in `jaxnet.network`, where this code runs
    squashes = [known(squash)] * (len(params) - 1) + [known(last_squash)]
    activations = [a]
    for (w, b), f in zip(params, squashes, strict=True):
        z = f(w @ a + b)
        a = z + a if z.shape == a.shape else z
        activations.append(a)
    return activations


@pytest.mark.compiled
def test_one_forward_pass(params, images, monkeypatch):
    key, labels, bytes_ = jax.random.key(0), jnp.arange(7), (255 * images).astype("uint8")

    def everything():
        jax.clear_caches()
        fit = partial(jaxnet.training.fit, key, images, labels, optax.sgd(0.1), params=params)
        return {
            "forward": jaxnet.forward(params, images[0]),
            "logits": jaxnet.logits(params, images[0]),
            "activations": jaxnet.activations(params, images[0])[-1],
            "cost": fit(epochs=1, batch_size=7)[1].cost,
            "loss": jaxnet.training.loss(params, images, labels)[0],
            "evaluate": jaxnet.evaluate(params, images, labels).cost,
            "on device": jaxnet.inference.classify_on_device(params, bytes_).activations,
            "classify": jaxnet.classify(params, images).activations,
            "classify bytes": jaxnet.classify(params, bytes_).activations,
            "saliency": jaxnet.analysis.saliency(params, images[0], 3),
            "per-example gradients": jaxnet.analysis.per_example_gradients(params, images, labels),
        }

    before = everything()
    monkeypatch.setattr(jaxnet.network.propagate, "__code__", with_a_skip.__code__)
    after = everything()
    monkeypatch.undo()
    jax.clear_caches()
    for name, was in before.items():
        assert not np.allclose(ravel_pytree(was)[0], ravel_pytree(after[name])[0]), name
