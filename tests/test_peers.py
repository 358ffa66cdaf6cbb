"""Other libraries' networks with the same weights: same outputs, same gradients.

Flax and stax keep weights as `(in, out)`, Equinox as `(out, in)` like jaxnet.
"""

import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.example_libraries import stax
from jax.nn import sigmoid

import jaxnet
from jaxnet import Layer

pytestmark = pytest.mark.compiled


def equinox(params):
    """An `eqx.nn.MLP`; each of these returns model arrays, apply, and a conversion to layers."""

    def arrays(mlp):
        return [a for layer in mlp.layers for a in (layer.weight, layer.bias)]

    mlp = eqx.nn.MLP(784, 10, 16, 2, sigmoid, sigmoid, key=jax.random.key(0))
    mlp = eqx.tree_at(arrays, mlp, [a for layer in params for a in layer])

    def as_layers(mlp):
        return tuple(Layer(layer.weight, layer.bias) for layer in mlp.layers)

    # Its activation functions are leaves too, which JAX cannot differentiate.
    arrays_only, others = eqx.partition(mlp, eqx.is_array)
    return arrays_only, lambda mlp, x: eqx.combine(mlp, others)(x), as_layers


def linen(params):
    """A `flax.linen.Sequential` of `Dense` layers."""
    dense = [part for b in (16, 16, 10) for part in (flax.linen.Dense(b), sigmoid)]
    variables = {f"layers_{2 * n}": {"kernel": w.T, "bias": b} for n, (w, b) in enumerate(params)}

    def as_layers(variables):
        return tuple(Layer(part["kernel"].T, part["bias"]) for _, part in sorted(variables.items()))

    model = flax.linen.Sequential(dense)
    return variables, lambda variables, x: model.apply({"params": variables}, x), as_layers


def flax_nnx(params):
    """An `nnx.Sequential` of `nnx.Linear`, split into its definition and its arrays."""
    rngs = nnx.Rngs(0)
    parts = [
        part for w, _ in params for part in (nnx.Linear(w.shape[1], w.shape[0], rngs=rngs), sigmoid)
    ]
    for linear, (w, b) in zip(parts[::2], params, strict=True):
        linear.kernel[...], linear.bias[...] = w.T, b
    definition, state = nnx.split(nnx.Sequential(*parts))

    def as_layers(state):
        linears = nnx.merge(definition, state).layers[::2]
        return tuple(Layer(linear.kernel[...].T, linear.bias[...]) for linear in linears)

    return state, lambda state, x: nnx.merge(definition, state)(x), as_layers


def jax_stax(params):
    """`stax.serial` of `Dense` and `Sigmoid`, with one tuple of parameters for each."""
    parts = [part for n in (16, 16, 10) for part in (stax.Dense(n), stax.Sigmoid)]
    _, apply = stax.serial(*parts)
    weights = [part for w, b in params for part in ((w.T, b), ())]
    return weights, apply, lambda weights: tuple(Layer(w.T, b) for w, b in weights[::2])


@pytest.fixture(autouse=True)
def users_defaults():
    """Restores JAX's defaults, as their code relies on broadcasting."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("make", [equinox, linen, flax_nnx, jax_stax])
def test_peer_with_the_same_weights(make, params, images):
    model, apply, as_layers = make(params)

    def weighted(outputs):
        return (outputs * jnp.cos(jnp.arange(outputs.size)).reshape(outputs.shape)).sum()

    def ours(params, x):
        return weighted(jax.vmap(jaxnet.forward, in_axes=(None, 0))(params, x))

    def theirs(model, x):
        return weighted(jax.vmap(apply, in_axes=(None, 0))(model, x))

    got = jax.vmap(jaxnet.forward, in_axes=(None, 0))(params, images)
    expected = jax.vmap(apply, in_axes=(None, 0))(model, images)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)

    gradient, gradient_by_x = jax.jit(jax.grad(ours, argnums=(0, 1)))(params, images)
    expected, expected_by_x = jax.jit(jax.grad(theirs, argnums=(0, 1)))(model, images)
    expected = as_layers(expected)
    assert [w.shape for w, _ in expected] == [(16, 784), (16, 16), (10, 16)]
    for a, b in zip(*map(jax.tree.leaves, (gradient, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gradient_by_x, expected_by_x, rtol=0, atol=1e-6)
    assert max(abs(a).max() for a in jax.tree.leaves(gradient)) > 1e-3  # not all zeros
