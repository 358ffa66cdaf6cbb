"""Every pure function under every JAX transformation, with JAX's debugging checks on.

`tests.laws` says what is checked; here are the functions, and the tests that fit no table.
"""

import inspect
import itertools
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from scipy.special import expit, log_softmax

import jaxnet
from jaxnet import analysis, design, training
from jaxnet._util import shuffle
from jaxnet.data import augment, synthetic
from jaxnet.network import Layer
from tests import laws
from tests.laws import Case
from tests.oracles import backpropagation, matrix_form

SIZES = (6, 5, 4)
SIDE = 4  # of the images for augmentation
PURE = (jaxnet.network, training, analysis, shuffle, synthetic, augment, design)
ON_THE_HOST = {
    *("network.count", "network.check", "analysis.check_neuron"),  # look at shapes only
    *("training.check_examples", "training.check_known_labels", "training.evaluation_params"),
    *("analysis.maximizing_images", "analysis.match_neurons", "analysis.shard_members"),
}
VALUES_ONLY = {"smooth": False, "x64": False}  # and in float32 only


def network(rng, sizes=SIZES):
    return tuple(
        Layer(rng.normal(size=(n_out, n_in)) / n_in**0.5, rng.normal(size=n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    )


def stacked(*trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def key(rng):
    return rng.integers(2**32, size=2, dtype=np.uint32)


def with_key(f):
    """Takes a key as its raw bits, so that every transformation may use it once."""
    return lambda bits, *rest: f(jax.random.wrap_key_data(jnp.asarray(bits)), *rest)


def one_image(rng):
    return network(rng), rng.random(SIZES[0])


def scores(n):
    return lambda rng: (rng.normal(size=n),)


def labeled_scores(rng):
    return rng.normal(size=4), rng.integers(4, dtype=np.int32)


def batch(rng, n=3):
    labels = rng.integers(SIZES[-1], size=n, dtype=np.int32)
    return network(rng), rng.random((n, SIZES[0])), labels


def neuron(rng):
    return *one_image(rng), rng.integers(SIZES[-1], dtype=np.int32)


def run(rng):
    return key(rng), *batch(rng, n=4)


def augmented(rng):
    return key(rng), rng.random(SIDE**2)


def place(rng):
    return tuple(map(np.asarray, (*rng.uniform(1, 6, 2), rng.uniform(0, np.pi))))


def only_key(rng):
    return (key(rng),)


def wanted(rng):
    return (rng.choice([-1.0, 0.5, 1.0, 2.0], size=5),)


def logits(params, x):
    a = matrix_form(params, x)[-1]
    return np.log(a / (1 - a))


def quadratic_cost(z, y):
    return ((expit(z) - np.eye(z.size)[y]) ** 2).sum()


def cross_entropy(z, y):
    return -log_softmax(z)[y]


def mean_cost(params, images, labels):
    return np.mean([*map(cross_entropy, (logits(params, x) for x in images), labels)])


def gradients_by_hand(params, images, labels):
    rights = np.eye(SIZES[-1])[labels]
    return stacked(*(backpropagation(params, x, y) for x, y in zip(images, rights, strict=True)))


sgd = optax.sgd(0.1)


def stepped(params, images, labels):
    state = training.TrainState(params, sgd.init(params))
    return training.train_step(state, images, labels, optimizer=sgd)


def epoch(key, params, images, labels):
    state = training.TrainState(params, sgd.init(params))
    return training.train_epoch(key, state, images, labels, optimizer=sgd, batch_size=2)


def fitted(key, params, images, labels):
    return training.fit(key, images, labels, sgd, params=params, epochs=2, batch_size=2)


CASES = {
    "network.init": Case(
        with_key(partial(jaxnet.init, sizes=SIZES)), only_key, **VALUES_ONLY, slow=True
    ),
    "network.forward": Case(jaxnet.forward, one_image, lambda p, x: matrix_form(p, x)[-1]),
    "network.forward, tanh and softmax": Case(
        partial(jaxnet.forward, squash=jnp.tanh, last_squash=jax.nn.softmax), one_image
    ),
    "network.logits": Case(jaxnet.logits, one_image, logits),
    "network.activations": Case(jaxnet.activations, one_image, matrix_form),
    "network.predict": Case(
        jaxnet.predict, one_image, lambda p, x: matrix_form(p, x)[-1].argmax(), smooth=False
    ),
    "training.quadratic_cost": Case(training.quadratic_cost, labeled_scores, quadratic_cost),
    "training.cross_entropy": Case(training.cross_entropy, labeled_scores, cross_entropy),
    "training.mean_cost": Case(training.mean_cost, batch, mean_cost),
    "training.train_step": Case(stepped, batch, slow=True),
    "training.train_epoch": Case(with_key(epoch), run, smooth=False, slow=True),
    "training.fit": Case(with_key(fitted), run, smooth=False, slow=True),
    "network.predicted": Case(jaxnet.network.predicted, scores(4), np.argmax, smooth=False),
    "network.predicted, one output": Case(
        jaxnet.network.predicted, scores(1), lambda z: int(z[0] > 0), smooth=False
    ),
    "training.score": Case(training.score, batch, smooth=False),
    "training.evaluate": Case(training.evaluate, batch, smooth=False),
    "training.unit": Case(training.unit, lambda rng: (rng.random(5),), lambda x: x),
    "analysis.per_example_gradients": Case(
        partial(analysis.per_example_gradients, batch_size=2, cost=training.quadratic_cost),
        batch,
        gradients_by_hand,
        slow=True,
    ),
    "analysis.influence": Case(
        lambda params, images, labels: analysis.influence(
            params, images, labels, images[0], labels[0], damping=0.5, n_iterations=30
        ),
        batch,
        smooth=False,
        slow=True,
        roundings=400,
    ),
    "analysis.hessian_vector_product": Case(
        analysis.hessian_vector_product,
        lambda rng: (network(rng), *batch(rng)),
        slow=True,
        roundings=100,
    ),
    "analysis.top_hessian_eigenvalue": Case(
        with_key(partial(analysis.top_hessian_eigenvalue, n_iterations=3)),
        run,
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "analysis.interpolate": Case(
        partial(analysis.interpolate, n=3), lambda rng: (network(rng), network(rng)), roundings=10
    ),
    "analysis.contributions": Case(
        lambda params, x, k: analysis.contributions(params, x, 2, k),
        neuron,
        lambda params, x, k: params[1].weights[k] * matrix_form(params, x)[1],
    ),
    "analysis.weighted_sum": Case(
        lambda params, x, k: analysis.weighted_sum(params, x, 2, k),
        neuron,
        lambda params, x, k: logits(params, x)[k],
    ),
    "analysis.saliency": Case(analysis.saliency, neuron),
    "analysis.maximizing_image": Case(
        lambda params, x, k: analysis.maximizing_image(params, x, 2, k, n_steps=3, rate=0.2),
        neuron,
        smooth=False,
    ),
    "analysis.vote": Case(
        analysis.vote, lambda rng: (stacked(network(rng), network(rng)), rng.random(SIZES[0]))
    ),
    "shuffle.shuffled": Case(with_key(partial(shuffle.shuffled, n=6)), only_key, **VALUES_ONLY),
    "shuffle.shuffled, without sorting": Case(
        with_key(partial(shuffle.shuffled, n=1_001)), only_key, **VALUES_ONLY
    ),
    "synthetic.draw": Case(
        with_key(synthetic.draw),
        lambda rng: (key(rng), rng.integers(10, dtype=np.int32)),
        **VALUES_ONLY,
        slow=True,
        roundings=400,  # of coordinates up to 28, which determine the ink
    ),
    "synthetic.sample": Case(
        with_key(partial(synthetic.sample, n=1)), only_key, **VALUES_ONLY, slow=True, roundings=400
    ),
    "augment.affine": Case(with_key(augment.affine), augmented, **VALUES_ONLY, slow=True),
    "augment.elastic": Case(
        with_key(partial(augment.elastic, smoothness=2.0)), augmented, **VALUES_ONLY, slow=True
    ),
    "augment.both": Case(with_key(augment.both), augmented, **VALUES_ONLY, slow=True),
    "design.region": Case(partial(design.region, length=4.0, width=2.0, side=8), place, x64=False),
    "design.edge": Case(partial(design.edge, length=4.0, width=2.0, side=8), place, x64=False),
    "design.threshold": Case(
        design.threshold, lambda rng: (rng.normal(size=5), rng.normal(size=())), x64=False
    ),
    "design.layer": Case(
        lambda w, b: design.layer([design.Neuron(w, b), design.Neuron(-w, b)]),
        lambda rng: (rng.normal(size=5), rng.normal(size=())),
        lambda w, b: Layer(np.stack([w, -w]), np.stack([b, b])),
    ),
    "design.at_least": Case(partial(design.at_least, 2), wanted, **VALUES_ONLY),
    "design.all_of": Case(design.all_of, wanted, **VALUES_ONLY),
    "design.any_of": Case(design.any_of, wanted, **VALUES_ONLY),
    "design.none_of": Case(design.none_of, wanted, **VALUES_ONLY),
    "design.most_of": Case(design.most_of, wanted, **VALUES_ONLY),
}


def test_table_is_complete():
    there = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in PURE
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and not inspect.isclass(thing)
        and getattr(thing, "__module__", "").startswith(module.__name__)
        and callable(thing)
    }
    assert there == {name.split(",")[0] for name in CASES} | ON_THE_HOST


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    laws.check_values(CASES[name])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.smooth])
def test_derivatives(name):
    laws.check_derivatives(CASES[name])


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


def test_export_with_any_batch_size(params, images):
    (n,) = jax.export.symbolic_shape("n")
    over_images = jax.vmap(jaxnet.forward, in_axes=(None, 0))
    again = exported(over_images, params, jax.ShapeDtypeStruct((n, 784), jnp.float32))
    for k in (1, 7):
        got = again.call(params, images[:k])
        np.testing.assert_allclose(got, matrix_form(params, images[:k])[-1], atol=1e-6)


def test_export_training_with_any_batch_size(params, images):
    (n,) = jax.export.symbolic_shape("n")
    some = jax.ShapeDtypeStruct((n, 784), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    labels = jnp.arange(len(images), dtype=jnp.int32)

    def step(state, images, labels):
        return training.train_step(state, images, labels, optimizer=sgd)

    for f, first in (
        (training.mean_cost, params),
        (jax.grad(training.mean_cost), params),
        (step, training.TrainState(params, sgd.init(params))),
    ):
        again = exported(f, first, *some)
        for k in (1, 7):
            got = again.call(first, images[:k], labels[:k])
            expected = f(first, images[:k], labels[:k])
            assert type(got) is type(expected)
            jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), got, expected)


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
