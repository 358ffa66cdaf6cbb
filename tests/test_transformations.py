"""Every pure function under every JAX transformation, with JAX's debugging checks on.

`tests.cases` lists the functions, `tests.laws` what is checked; tests that fit no table are here.
"""

import inspect
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet import training
from tests import laws
from tests.cases import CASES, ON_THE_HOST, PURE, sgd, stacked
from tests.oracles import matrix_form

pytestmark = [pytest.mark.core, pytest.mark.compiled]


def by_room(names):
    """Names of cases, of which `make core` runs those of the heart that compile quickly."""

    def quick(name):
        heart = name.startswith(("network", "training", "inference")) and "," not in name
        return heart and not CASES[name].slow

    return [name if quick(name) else pytest.param(name, marks=pytest.mark.long) for name in names]


def test_table_is_complete():
    there = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in PURE
        for name, thing in vars(module).items()
        if name in getattr(module, "__all__", vars(module))
        and not name.startswith("_")
        and not inspect.isclass(thing)
        and getattr(thing, "__module__", "").startswith(module.__name__)
        and callable(thing)
    }
    assert there == {name.split(",")[0] for name in CASES} | ON_THE_HOST


@pytest.mark.parametrize("name", by_room(CASES))
def test_values(name):
    laws.check_values(CASES[name])


@pytest.mark.parametrize("name", by_room(name for name, case in CASES.items() if case.smooth))
def test_derivatives(name):
    laws.check_derivatives(CASES[name])


@pytest.mark.long
def test_forward_under_every_pair():
    laws.check_values(CASES["network.forward"], ways=laws.pairs)


# Sums of few terms and short chains, for which bfloat16's eight bits are enough.
@pytest.mark.parametrize(
    "name",
    [
        *("network.forward", "network.logits", "network.activations", "training.quadratic_cost"),
        *("training.cross_entropy", "analysis.contributions"),
        *("analysis.weighted_sum", "analysis.saliency", "analysis.per_example_gradients"),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float64])
@pytest.mark.slow
def test_other_dtypes(name, dtype):
    with jax.enable_x64(dtype == np.float64):
        laws.check_values(CASES[name], dtype, laws.few_ways)


def test_static_squashes(params, x):
    forward = jax.jit(jaxnet.forward, static_argnames=("squash", "last_squash"))
    got = forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    expected = jaxnet.forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(got.sum(), 1, atol=1e-6)


def test_scan_over_equal_layers(x):
    deep = jaxnet.init(jax.random.key(5), (16,) * 9)
    layers = jax.tree.map(jnp.asarray, stacked(*deep))
    got, _ = jax.lax.scan(lambda a, layer: (jaxnet.forward((layer,), a), None), x[:16], layers)
    np.testing.assert_allclose(got, jaxnet.forward(deep, x[:16]), atol=1e-6)


def test_eval_shape_computes_nothing():
    params = jax.eval_shape(jaxnet.init, jax.random.key(0))
    assert jaxnet.count(params) == 13_002
    x = jax.ShapeDtypeStruct((784,), jnp.bfloat16)
    half = jax.tree.map(lambda a: a.update(dtype=jnp.bfloat16), params)
    assert jax.eval_shape(jaxnet.forward, half, x) == jax.ShapeDtypeStruct((10,), jnp.bfloat16)
    assert jax.eval_shape(jaxnet.predict, half, x).dtype == jnp.int32


@pytest.mark.parametrize("n_devices", [1, 2])
def test_jit_keeps_the_sharding(params, images, n_devices):
    over_images = jax.jit(jax.vmap(jaxnet.forward, in_axes=(None, 0)))
    mesh = jax.make_mesh((n_devices,), ("batch",), devices=jax.devices()[:n_devices])
    shards = jax.device_put(images[:6], jax.NamedSharding(mesh, P("batch")))
    answers = over_images(jax.device_put(params, jax.NamedSharding(mesh, P())), shards)
    assert len(answers.sharding.device_set) == n_devices
    np.testing.assert_allclose(answers, matrix_form(params, images[:6])[-1], atol=1e-6)


# Optimizer states are optax's types, which the user has to register.
jax.export.register_namedtuple_serialization(optax.EmptyState, serialized_name="optax.EmptyState")


def exported(f, *arguments):
    """Serializes and deserializes a function, as if for another process."""
    return jax.export.deserialize(jax.export.export(jax.jit(f))(*arguments).serialize())


@pytest.mark.long
def test_export_with_any_batch_size(params, images):
    (n,) = jax.export.symbolic_shape("n")
    over_images = jax.vmap(jaxnet.forward, in_axes=(None, 0))
    again = exported(over_images, params, jax.ShapeDtypeStruct((n, 784), jnp.float32))
    for k in (1, 7):
        got = again.call(params, images[:k])
        np.testing.assert_allclose(got, matrix_form(params, images[:k])[-1], atol=1e-6)


@pytest.mark.long
def test_export_training_with_any_batch_size(params, images):
    (n,) = jax.export.symbolic_shape("n")
    some = jax.ShapeDtypeStruct((n, 784), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    labels = jnp.arange(len(images), dtype=jnp.int32)

    def step(state, images, labels):
        return training.train_step(state, images, labels, optimizer=sgd)

    for f, first in (
        (training.loss, params),
        (training.evaluate, params),
        (jax.grad(training.loss, has_aux=True), params),
        (step, training.TrainState(params, sgd.init(params))),
    ):
        again = exported(f, first, *some)
        for k in (1, 7):
            got = again.call(first, images[:k], labels[:k])
            expected = f(first, images[:k], labels[:k])
            assert type(got) is type(expected)
            jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), got, expected)


@pytest.mark.long
def test_loading_while_tracing(x):
    for make in (jaxnet.pretrained, jaxnet.handmade, lambda: jaxnet.load()[0]):
        expected = jaxnet.forward(make(), x)
        got = jax.jit(lambda x, make=make: jaxnet.forward(make(), x))(x)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert jaxnet.count(jax.eval_shape(make)) == 13_002
        assert len(jax.make_jaxpr(make)().jaxpr.outvars) == 6


def test_key_reuse_is_caught():
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        jaxnet.init(key)
        with pytest.raises(jax.errors.KeyReuseError):
            jaxnet.init(key)


def wrong_under_vmap(params, x):
    return jaxnet.forward(params, x) + 1e-3 * isinstance(x, jax.core.Tracer)


def without_gradient(params, x):
    return jax.lax.stop_gradient(jaxnet.forward(params, x))


def test_laws_catch_wrong_functions():
    case = CASES["network.forward"]._replace(f=wrong_under_vmap, slow=True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        laws.check_values(case)
    bent = case._replace(f=without_gradient, slow=True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        laws.check_derivatives(bent)
