"""Every pure function under every transformation of JAX's, with JAX's own checks switched on.

What is held against what is in `tests.kit`; here are the functions, and what no table holds.
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
from jaxnet import attribution, costs, design, ensembles, gradients, landscape, shuffling, training
from jaxnet.data import strokes, warp
from jaxnet.network import Layer
from jaxnet.pretrained import PATH
from tests import kit
from tests.helpers import backpropagation, matrix_form
from tests.kit import Case

SIZES = (6, 5, 4)
SIDE = 4  # of images that are warped
PURE = (
    *(jaxnet.network, costs, training, gradients, landscape, attribution, ensembles, shuffling),
    *(strokes, warp, design),
)
ON_THE_HOST = {
    *("network.count", "network.check", "attribution.check_neuron"),  # of shapes, not of values
    *("costs.check_examples", "costs.check_known_labels", "training.evaluation_params"),
    *("attribution.exciting_images", "landscape.matched", "ensembles.spread"),  # run on the host
}


def network(rng, sizes=SIZES):
    return tuple(
        Layer(rng.normal(size=(n_out, n_in)) / n_in**0.5, rng.normal(size=n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    )


def key(rng):
    return rng.integers(2**32, size=2, dtype=np.uint32)


def with_key(f):
    """Keys come as their bits: the same key, used once by each way to answer."""
    return lambda bits, *rest: f(jax.random.wrap_key_data(jnp.asarray(bits)), *rest)


def one_image(rng):
    return network(rng), rng.random(SIZES[0])


def labelled_image(rng):
    return *one_image(rng), rng.integers(SIZES[-1], dtype=np.int32)


def batch(rng, n=3):
    labels = rng.integers(SIZES[-1], size=n, dtype=np.int32)
    return network(rng), rng.random((n, SIZES[0])), labels


def neuron(rng):
    return *one_image(rng), rng.integers(SIZES[-1], dtype=np.int32)


def run(rng):
    return key(rng), *batch(rng, n=4)


def warped(rng):
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
    return np.mean(
        [cross_entropy(logits(params, x), y) for x, y in zip(images, labels, strict=True)]
    )


def gradients_by_hand(params, images, labels):
    rights = np.eye(SIZES[-1])[labels]
    each = [backpropagation(params, x, y) for x, y in zip(images, rights, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


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
        with_key(partial(jaxnet.init, sizes=SIZES)),
        only_key,
        smooth=False,
        wide=False,
        long=True,
    ),
    "network.forward": Case(jaxnet.forward, one_image, lambda p, x: matrix_form(p, x)[-1]),
    "network.forward, tanh and softmax": Case(
        partial(jaxnet.forward, squash=jnp.tanh, last_squash=jax.nn.softmax), one_image
    ),
    "network.logits": Case(jaxnet.logits, one_image, logits),
    "network.activations": Case(
        jaxnet.activations, one_image, lambda p, x: tuple(matrix_form(p, x))
    ),
    "network.predict": Case(
        jaxnet.predict, one_image, lambda p, x: matrix_form(p, x)[-1].argmax(), smooth=False
    ),
    "costs.quadratic_cost": Case(
        training.quadratic_cost,
        lambda rng: (rng.normal(size=4), rng.integers(4, dtype=np.int32)),
        quadratic_cost,
    ),
    "costs.cross_entropy": Case(
        training.cross_entropy,
        lambda rng: (rng.normal(size=4), rng.integers(4, dtype=np.int32)),
        cross_entropy,
    ),
    "training.mean_cost": Case(training.mean_cost, batch, mean_cost),
    "training.train_step": Case(stepped, batch, long=True),
    "training.train_epoch": Case(with_key(epoch), run, smooth=False, long=True),
    "training.fit": Case(with_key(fitted), run, smooth=False, long=True),
    "network.predicted": Case(
        jaxnet.network.predicted,
        lambda rng: (rng.normal(size=4),),
        lambda z: z.argmax(),
        smooth=False,
    ),
    "network.predicted, of one output": Case(
        jaxnet.network.predicted,
        lambda rng: (rng.normal(size=1),),
        lambda z: int(z[0] > 0),
        smooth=False,
    ),
    "training.score": Case(training.score, batch, smooth=False),
    "training.evaluate": Case(training.evaluate, batch, smooth=False),
    "costs.unit": Case(costs.unit, lambda rng: (rng.random(5),), lambda x: x),
    "gradients.per_example": Case(
        partial(gradients.per_example, batch_size=2, cost=training.quadratic_cost),
        batch,
        gradients_by_hand,
        long=True,
    ),
    "gradients.influence": Case(
        lambda params, images, labels: gradients.influence(
            params, images, labels, images[0], labels[0], damping=0.5, n_iterations=30
        ),
        batch,
        smooth=False,
        long=True,
        roundings=400,
    ),
    "landscape.hessian_vector_product": Case(
        lambda params, direction, images, labels: landscape.hessian_vector_product(
            params, direction, images, labels
        ),
        lambda rng: (network(rng), *batch(rng)),
        long=True,
        roundings=100,
    ),
    "landscape.largest_curvature": Case(
        with_key(partial(landscape.largest_curvature, n_iterations=3)),
        run,
        smooth=False,
        wide=False,
        long=True,
        roundings=400,
    ),
    "landscape.line": Case(
        partial(landscape.line, n=3), lambda rng: (network(rng), network(rng)), roundings=10
    ),
    "attribution.contributions": Case(
        lambda params, x, k: attribution.contributions(params, x, 2, k),
        neuron,
        lambda params, x, k: params[1].weights[k] * matrix_form(params, x)[1],
    ),
    "attribution.weighted_sum": Case(
        lambda params, x, k: attribution.weighted_sum(params, x, 2, k),
        neuron,
        lambda params, x, k: logits(params, x)[k],
    ),
    "attribution.saliency": Case(attribution.saliency, neuron),
    "attribution.exciting_image": Case(
        lambda params, x, k: attribution.exciting_image(params, x, 2, k, n_steps=3, rate=0.2),
        neuron,
        smooth=False,
    ),
    "ensembles.consult": Case(
        ensembles.consult,
        lambda rng: (
            jax.tree.map(lambda *w: np.stack(w), network(rng), network(rng)),
            rng.random(6),
        ),
    ),
    "shuffling.shuffled": Case(
        with_key(partial(shuffling.shuffled, n=6)), only_key, smooth=False, wide=False
    ),
    "shuffling.shuffled, by rounds": Case(
        with_key(partial(shuffling.shuffled, n=1_001)), only_key, smooth=False, wide=False
    ),
    "strokes.draw": Case(
        with_key(strokes.draw),
        lambda rng: (key(rng), rng.integers(10, dtype=np.int32)),
        smooth=False,
        wide=False,
        long=True,
        roundings=400,  # of places up to 28, from which the ink follows
    ),
    "strokes.sample": Case(
        with_key(partial(strokes.sample, n=1)),
        only_key,
        smooth=False,
        wide=False,
        long=True,
        roundings=400,
    ),
    "warp.affine": Case(with_key(warp.affine), warped, smooth=False, wide=False, long=True),
    "warp.elastic": Case(
        with_key(partial(warp.elastic, smoothness=2.0)), warped, smooth=False, wide=False, long=True
    ),
    "warp.both": Case(with_key(warp.both), warped, smooth=False, wide=False, long=True),
    "design.region": Case(partial(design.region, length=4.0, width=2.0, side=8), place, wide=False),
    "design.edge": Case(partial(design.edge, length=4.0, width=2.0, side=8), place, wide=False),
    "design.threshold": Case(
        design.threshold, lambda rng: (rng.normal(size=5), rng.normal(size=())), wide=False
    ),
    "design.layer": Case(
        lambda w, b: design.layer([design.Neuron(w, b), design.Neuron(-w, b)]),
        lambda rng: (rng.normal(size=5), rng.normal(size=())),
        lambda w, b: Layer(np.stack([w, -w]), np.stack([b, b])),
    ),
    "design.at_least": Case(partial(design.at_least, 2), wanted, smooth=False, wide=False),
    "design.all_of": Case(design.all_of, wanted, smooth=False, wide=False),
    "design.any_of": Case(design.any_of, wanted, smooth=False, wide=False),
    "design.none_of": Case(design.none_of, wanted, smooth=False, wide=False),
    "design.most_of": Case(design.most_of, wanted, smooth=False, wide=False),
}


def test_the_table_holds_every_pure_function():
    there = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in PURE
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and not inspect.isclass(thing)
        and getattr(thing, "__module__", None) == module.__name__
        and callable(thing)
    }
    assert there == {name.split(",")[0] for name in CASES} | ON_THE_HOST


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    kit.check_values(CASES[name])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.smooth])
def test_derivatives(name):
    kit.check_derivatives(CASES[name])


def test_forward_under_every_pair_of_transformations():
    kit.check_values(CASES["network.forward"], ways=kit.of_every_pair)


# Of these, bfloat16's eight bits can say something: sums of few terms and no long chains.
@pytest.mark.parametrize(
    "name",
    [
        *("network.forward", "network.logits", "network.activations", "costs.quadratic_cost"),
        *("costs.cross_entropy", "attribution.contributions"),
        *("attribution.weighted_sum", "attribution.saliency", "gradients.per_example"),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float64])
@pytest.mark.slow
def test_other_precisions(name, dtype):
    with jax.enable_x64(dtype == np.float64):
        kit.check_values(CASES[name], dtype, kit.of_few)


def test_squashes_are_static_under_jit(params, x):
    forward = jax.jit(jaxnet.forward, static_argnames=("squash", "last_squash"))
    got = forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    expected = jaxnet.forward(params, x, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(got.sum(), 1, atol=1e-6)


def test_scan_over_equal_layers(x):
    deep = jaxnet.init(jax.random.key(5), (16,) * 9)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *deep)
    through, _ = jax.lax.scan(lambda a, layer: (jaxnet.forward((layer,), a), None), x[:16], stacked)
    np.testing.assert_allclose(through, jaxnet.forward(deep, x[:16]), atol=1e-6)


def test_eval_shape_computes_nothing():
    params = jax.eval_shape(jaxnet.init, jax.random.key(0))
    assert jaxnet.count(params) == 13_002
    x = jax.ShapeDtypeStruct((784,), jnp.bfloat16)
    half = jax.tree.map(lambda a: a.update(dtype=jnp.bfloat16), params)
    assert jax.eval_shape(jaxnet.forward, half, x) == jax.ShapeDtypeStruct((10,), jnp.bfloat16)
    assert jax.eval_shape(jaxnet.predict, half, x).dtype == jnp.int32


@pytest.mark.parametrize("n_devices", [1, 2])
def test_jit_divides_the_work_as_the_images_are_divided(params, images, n_devices):
    over_images = jax.jit(jax.vmap(jaxnet.forward, in_axes=(None, 0)))
    mesh = jax.make_mesh((n_devices,), ("batch",), devices=jax.devices()[:n_devices])
    shares = jax.device_put(images[:6], jax.NamedSharding(mesh, P("batch")))
    answers = over_images(jax.device_put(params, jax.NamedSharding(mesh, P())), shares)
    assert len(answers.sharding.device_set) == n_devices
    np.testing.assert_allclose(answers, matrix_form(params, images[:6])[-1], atol=1e-6)


# The types of an optimizer's memory are optax's, and the user's to register.
jax.export.register_namedtuple_serialization(optax.EmptyState, serialized_name="optax.EmptyState")


def exported(f, *arguments):
    """What another process would make of the serialized function."""
    return jax.export.deserialize(jax.export.export(jax.jit(f))(*arguments).serialize())


def test_export_with_any_batch_size(params, images):
    (n,) = jax.export.symbolic_shape("n")
    over_images = jax.vmap(jaxnet.forward, in_axes=(None, 0))
    again = exported(over_images, params, jax.ShapeDtypeStruct((n, 784), jnp.float32))
    for k in (1, 7):
        got = again.call(params, images[:k])
        np.testing.assert_allclose(got, matrix_form(params, images[:k])[-1], atol=1e-6)


def test_export_of_training_with_any_batch_size(params, images):
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


def test_networks_are_loaded_while_tracing(x):
    for make in (jaxnet.pretrained, jaxnet.handmade, lambda: jaxnet.load(PATH)[0]):
        expected = jaxnet.forward(make(), x)
        got = jax.jit(lambda x, make=make: jaxnet.forward(make(), x))(x)
        np.testing.assert_allclose(got, expected, atol=1e-6)
        assert jaxnet.count(jax.eval_shape(make)) == 13_002
        assert len(jax.make_jaxpr(make)().jaxpr.outvars) == 6


def test_reused_keys_would_be_caught():
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        jaxnet.init(key)
        with pytest.raises(jax.errors.KeyReuseError):
            jaxnet.init(key)


def wrong_under_vmap(params, x):
    return jaxnet.forward(params, x) + 1e-3 * isinstance(x, jax.core.Tracer)


def without_slopes(params, x):
    return jax.lax.stop_gradient(jaxnet.forward(params, x))


def test_the_kit_tells_a_function_that_is_another_when_traced():
    case = CASES["network.forward"]._replace(f=wrong_under_vmap, long=True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        kit.check_values(case)
    bent = case._replace(f=without_slopes, long=True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        kit.check_derivatives(bent)
