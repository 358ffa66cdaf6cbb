"""The heart under every transformation of JAX's, with JAX's own checks switched on."""

from functools import partial

import chex
import jax
import jax.export
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import jaxnet
from jaxnet import training
from tests.helpers import backpropagation, matrix_form

over_images = jax.vmap(jaxnet.forward, in_axes=(None, 0))
over_networks = jax.vmap(jaxnet.forward, in_axes=(0, None))


@pytest.fixture(autouse=True)
def checks():
    with jax.checking_leaks(), jax.debug_nans(True), jax.debug_key_reuse(True):
        yield


@pytest.fixture
def ensemble():
    return jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(3), 5))


@pytest.fixture
def tiny():
    """A network small enough for second derivatives, and an image for it."""
    params = jaxnet.init(jax.random.key(4), (4, 3, 2))
    return params, jnp.array([0.1, 0.9, 0.4, 0.0])


def member(ensemble, n):
    return jax.tree.map(lambda leaf: leaf[n], ensemble)


def quadratic_cost(params, x, y):
    return training.quadratic_cost(jaxnet.logits(params, x), y)


def close(got, expected, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), got, expected)


def test_jit(params, x):
    close(jax.jit(jaxnet.forward)(params, x), matrix_form(params, x)[-1])
    close(jax.jit(jaxnet.activations)(params, x), tuple(matrix_form(params, x)))


def test_squashes_are_static_under_jit(params, x):
    forward = jax.jit(jaxnet.forward, static_argnames=("squash", "last_squash"))
    got = forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    close(got.sum(), 1)
    close(got, jaxnet.forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax))


def test_vmap_over_images(params, images):
    close(over_images(params, images), matrix_form(params, images)[-1])


def test_vmap_over_networks(ensemble, x):
    got = over_networks(ensemble, x)
    for n in range(5):
        close(got[n], matrix_form(member(ensemble, n), x)[-1])


def test_vmap_over_both(ensemble, images):
    paired = jax.vmap(jaxnet.forward)(ensemble, images[:5])
    crossed = jax.vmap(over_images, in_axes=(0, None))(ensemble, images)
    for n in range(5):
        close(paired[n], matrix_form(member(ensemble, n), images[n])[-1])
        close(crossed[n], matrix_form(member(ensemble, n), images)[-1])


def test_grad_is_backpropagation(params, x):
    right = jax.nn.one_hot(3, 10)
    value, gradient = jax.value_and_grad(quadratic_cost)(params, x, jnp.int32(3))
    close(value, ((matrix_form(params, x)[-1] - np.asarray(right)) ** 2).sum())
    expected = backpropagation(params, x, np.asarray(right, np.float64))
    close(gradient, tuple(jaxnet.Layer(*layer) for layer in expected))
    close(jax.grad(quadratic_cost)(params, x, jnp.int32(3)), gradient)


@pytest.mark.parametrize("squash", [jax.nn.sigmoid, jnp.tanh])
def test_gradients_of_first_and_second_order(tiny, squash):
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tiny)
        check_grads(partial(jaxnet.forward, squash=squash), (params, x), order=2)


def test_jvp_and_vjp_are_transposes(params, x):
    tangent = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size * 1.0)).reshape(a.shape), params)
    forward = partial(jaxnet.forward, x=x)
    a, da = jax.jvp(forward, (params,), (tangent,))
    _, vjp = jax.vjp(forward, params)
    (cotangent,) = vjp(a)
    inner = jax.tree.map(jnp.vdot, cotangent, tangent)
    np.testing.assert_allclose(jnp.vdot(a, da), jax.tree.reduce(jnp.add, inner), rtol=1e-4)


def test_hessian_is_the_difference_of_gradients(tiny):
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tiny)
        flat, unflatten = jax.flatten_util.ravel_pytree(params)

        def cost(flat):
            return quadratic_cost(unflatten(flat), x, jnp.int32(1))

        hessian = jax.hessian(cost)(flat)
        steps = 1e-5 * jnp.eye(flat.size)
        difference = jax.vmap(
            lambda step: jax.grad(cost)(flat + step) - jax.grad(cost)(flat - step)
        )
        close(hessian, difference(steps) / 2e-5, atol=1e-8)
        close(hessian, hessian.T, atol=1e-15)


def test_scan_over_images_and_over_equal_layers(params, images):
    _, answers = jax.lax.scan(lambda c, x: (c, jaxnet.forward(params, x)), None, images)
    close(answers, matrix_form(params, images)[-1])
    deep = jaxnet.init(jax.random.key(5), (16,) * 9)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *deep)
    a = images[0, :16]
    through, _ = jax.lax.scan(lambda a, layer: (jaxnet.forward((layer,), a), None), a, stacked)
    close(through, jaxnet.forward(deep, a))


def test_remat_changes_no_gradient(params, x):
    cost = jax.checkpoint(quadratic_cost)
    close(
        jax.grad(cost)(params, x, jnp.int32(3)), jax.grad(quadratic_cost)(params, x, jnp.int32(3))
    )


def test_eval_shape_computes_nothing():
    params = jax.eval_shape(jaxnet.init, jax.random.key(0))
    assert jaxnet.count(params) == 13_002
    x = jax.ShapeDtypeStruct((784,), jnp.bfloat16)
    half = jax.tree.map(lambda a: a.update(dtype=jnp.bfloat16), params)
    assert jax.eval_shape(jaxnet.forward, half, x) == jax.ShapeDtypeStruct((10,), jnp.bfloat16)
    assert jax.eval_shape(jaxnet.predict, half, x).dtype == jnp.int32


def test_shard_map_over_two_devices(params, images):
    mesh = jax.make_mesh((2,), ("batch",), devices=jax.devices()[:2])
    sharded = jax.shard_map(
        over_images, mesh=mesh, in_specs=(P(), P("batch")), out_specs=P("batch")
    )
    shares = jax.device_put(images[:6], jax.NamedSharding(mesh, P("batch")))
    answers = jax.jit(sharded)(params, shares)
    assert len(answers.sharding.device_set) == 2
    close(answers, matrix_form(params, images[:6])[-1])


def test_export_with_any_batch_size(params, images):
    jax.export.register_namedtuple_serialization(jaxnet.Layer, serialized_name="jaxnet.Layer")
    (n,) = jax.export.symbolic_shape("n")
    arguments = (params, jax.ShapeDtypeStruct((n, 784), jnp.float32))
    exported = jax.export.export(jax.jit(over_images))(*arguments)
    again = jax.export.deserialize(exported.serialize())
    for k in (1, 7):
        close(again.call(params, images[:k]), matrix_form(params, images[:k])[-1])


def test_one_compilation_serves_all_parameters_and_images(params, ensemble, images):
    chex.clear_trace_counter()
    forward = jax.jit(chex.assert_max_traces(jaxnet.forward, n=1))
    for x in images:
        forward(params, x)
    for n in range(5):
        forward(member(ensemble, n), images[0])
    with pytest.raises(AssertionError):  # the counter does count
        forward(params, images[0].astype(jnp.bfloat16).astype(jnp.float16))


def test_compiled_code_holds_nothing_but_the_equation(params, x):
    def inline(params, x):
        (w1, b1), (w2, b2), (w3, b3) = params
        a = jax.nn.sigmoid(w1 @ x + b1)
        a = jax.nn.sigmoid(w2 @ a + b2)
        return jax.nn.sigmoid(w3 @ a + b3)

    ours, theirs = (
        [eqn.primitive.name for eqn in jax.make_jaxpr(f)(params, x).eqns]
        for f in (jaxnet.forward, inline)
    )
    assert ours == theirs


def test_reused_keys_are_caught_by_the_checks_above():
    key = jax.random.key(0)
    jaxnet.init(key)
    with pytest.raises(jax.errors.KeyReuseError):
        jaxnet.init(key)
