"""Calls of training: what they refuse, what they compile and keep, where they may run."""

import gc
import subprocess
import sys
import weakref
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

import jaxnet
from jaxnet import training
from jaxnet.data.augment import affine
from jaxnet.training import MeanCost, TrainState, evaluate, fit, train_epoch, train_step
from tests.oracles import matrix_form

SIZES = (16, 5, 4)
KEY = jax.random.key(0)
SGD = optax.sgd(0.5, momentum=0.9)


@pytest.fixture
def params():
    return jaxnet.init(jax.random.key(1), SIZES)


def draw(n):
    """Images and digits on the device."""
    key_images, key_labels = jax.random.split(jax.random.key(2))
    return jax.random.uniform(key_images, (n, 16)), jax.random.randint(key_labels, (n,), 0, 4)


def calls(optimizer, params, opt_state=None, **options):
    """Each function that takes an optimizer, ready to be called, compiled and not."""
    images, labels = draw(20)
    state = TrainState(params, opt_state)
    options |= {"optimizer": optimizer}
    batches = options | {"batch_size": 5}
    run = partial(fit, KEY, images, labels, epochs=1, **batches)
    yield lambda: train_step(state, images, labels, **options)
    yield lambda: train_epoch(KEY, state, images, labels, **batches)
    yield lambda: run(state=state)
    yield lambda: jax.jit(partial(train_step, **options))(state, images, labels)
    if opt_state is None:
        yield lambda: run(params=params)


# Refused.


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (optax.adam, "the function adam, not called"),
        (None, "None"),
        (0.1, r"0\.1"),
        ("adam", "'adam'"),
        ([SGD], r"\[Gradient"),
        (tuple(SGD), r"\(<function"),
    ],
    ids=["not called", "None", "rate", "name", "list", "tuple"],
)
def test_no_optimizer(params, wrong, got):
    for call in calls(wrong, params):
        says = rf"Expected an optimizer that optax has made, such as optax.adam\(0.01\); got {got}"
        with pytest.raises(TypeError, match=says):
            call()


def test_lookahead_of_one_set_of_weights(params):
    lookahead = optax.lookahead(optax.sgd(0.1), 5, 0.5)
    for optimizer in (lookahead, optax.chain(optax.clip(1.0), lookahead)):
        for call in calls(optimizer, params):
            with pytest.raises(TypeError, match=r"init_synced\(params\).*got a plain tuple"):
                call()


@pytest.mark.parametrize("dtype", [jnp.float8_e4m3fn, jnp.float8_e5m2])
def test_float8(params, dtype):
    """Neither as a network, nor as what an own loss trains."""
    small = jax.tree.map(lambda a: a.astype(dtype), params)
    for call in calls(SGD, small):
        with pytest.raises(TypeError, match="Expected params of 16 bits or more; got float8"):
            call()

    def own(params, images, labels, key):
        return (params.astype(jnp.float32) ** 2).sum()

    for call in calls(SGD, small[0].biases, loss=own):
        with pytest.raises(TypeError, match="Expected params of 16 bits or more; got float8"):
            call()


@pytest.mark.parametrize(
    "bend",
    [
        lambda a: a[:1],
        lambda a: a[None],
        lambda a: a.sum(),
        lambda a: a.astype(jnp.bfloat16),
        lambda a: a.T[None],
    ],
    ids=["one row", "an ensemble of one", "scalars", "bfloat16", "transposed"],
)
def test_moments_of_other_params(params, bend):
    """NumPy's rules would broadcast most of these without a word."""
    other = SGD.init(jax.tree.map(bend, params))
    for call in calls(SGD, params, other):
        with pytest.raises(ValueError, match="Expected a state of this optimizer for these params"):
            call()
    for call in calls(SGD, params, SGD.init(params)):
        call()


@pytest.mark.parametrize(
    "first_epoch", [-1, 2**32, 1.0, True, np.array([1]), jnp.int32(-1)], ids=repr
)
def test_first_epoch(params, first_epoch):
    images, labels = draw(20)
    run = partial(fit, KEY, images, labels, SGD, params=params, epochs=1, batch_size=5)
    with pytest.raises(ValueError, match="first_epoch as a non-negative integer; got "):
        run(first_epoch=first_epoch)


@pytest.mark.parametrize(
    "first_epoch", [3, np.int64(3), np.uint8(3), np.array(3), jnp.int32(3), jnp.uint32(3)], ids=repr
)
def test_first_epoch_as_any_integer(params, first_epoch):
    images, labels = draw(20)
    run = partial(fit, KEY, images, labels, SGD, params=params, batch_size=5)
    expected = run(epochs=1, first_epoch=jax.device_put(np.uint32(3)))
    jax.tree.map(np.testing.assert_array_equal, run(epochs=1, first_epoch=first_epoch), expected)
    traced = jax.jit(lambda n: run(epochs=1, first_epoch=n))(first_epoch)
    jax.tree.map(np.testing.assert_array_equal, traced[0].params, expected[0].params)
    another, _ = run(epochs=1, first_epoch=4)
    assert not np.array_equal(another.params[0].weights, expected[0].params[0].weights)


# Compiled once, and kept.


def test_losses_of_equal_arguments_are_equal():
    def cost(z, y):
        return z[y]

    one, other = (
        MeanCost(cost, squash=squash, augment=affine, weighted=True)
        for squash in ("relu", jax.nn.relu)
    )
    assert one == other
    assert hash(one) == hash(other)
    assert {one: 1}[other] == 1
    different = (
        MeanCost(cost, augment=affine, weighted=True),
        MeanCost(cost, squash="relu", weighted=True),
        MeanCost(cost, squash="relu", augment=affine),
        MeanCost(squash="relu", augment=affine, weighted=True),
        MeanCost(cost, squash="relu", augment=affine, weighted=True, check_range=False),
        MeanCost(cost, squash="relu", augment=affine, weighted=True, network=lambda p: p),
    )
    assert one not in different
    assert len({*different}) == len(different)
    with pytest.raises(AttributeError):
        one.squash = jnp.tanh


def test_equal_losses_compile_once(params):
    """The cost's function counts how often it is traced."""
    images, labels = draw(20)
    traces = []

    def counted(z, y):
        traces.append(1)
        return training.cross_entropy(z, y)

    def loss(squash):
        return MeanCost(counted, squash=squash)

    state = TrainState(params, SGD.init(params))
    batches = {"optimizer": SGD, "batch_size": 5}
    for call in (
        lambda loss: train_step(state, images, labels, optimizer=SGD, loss=loss),
        lambda loss: train_epoch(KEY, state, images, labels, **batches, loss=loss),
        lambda loss: fit(KEY, images, labels, **batches, params=params, epochs=2, loss=loss),
        lambda loss: evaluate(params, images, labels, loss=loss),
    ):
        traces.clear()
        call(loss("relu"))
        once = len(traces)
        call(loss("relu"))
        call(loss(jax.nn.relu))
        assert len(traces) == once > 0
        call(loss("tanh"))
        assert len(traces) > once


def test_arrays_of_equal_shape_compile_once(params):
    """Steps of a loop, at other params, images, labels and keys."""
    traces = []

    def loss(params, images, labels, key):
        traces.append(1)
        return training.loss(params, images, labels)

    images, labels = draw(20)
    state = TrainState(params, SGD.init(params))
    for n in range(5):
        key = jax.random.key(n)
        state, _ = train_step(
            state, images[n : n + 9], labels[n : n + 9], key, optimizer=SGD, loss=loss
        )
        if n == 0:
            once = len(traces)
    assert len(traces) == once


class Scaled:
    """A loss with a number that may change."""

    def __init__(self, by):
        self.by = by

    def __call__(self, params, images, labels, key):
        return self.by * params**2


def test_changed_loss_is_read_once():
    """As `jax.jit` does with what a function closes over; `jax.clear_caches` reads it anew."""
    images, labels = draw(20)
    loss, state = Scaled(1.0), TrainState(jnp.float32(2), SGD.init(jnp.float32(2)))
    still = optax.set_to_zero()
    costs = (
        lambda: evaluate(state.params, images, labels, loss=loss).cost,
        lambda: train_step(state, images, labels, optimizer=SGD, loss=loss)[1].cost,
        lambda: train_epoch(
            KEY, state._replace(opt_state=still.init(state.params)), images, labels,
            optimizer=still, batch_size=5, loss=loss,
        )[1].cost,
        lambda: fit(
            KEY, images, labels, still, params=state.params, epochs=1, batch_size=5, loss=loss
        )[1].cost[0],
    )  # fmt: skip
    assert [cost() for cost in costs] == [4] * 4
    loss.by = 2.0
    assert [cost() for cost in costs] == [4] * 4
    jax.clear_caches()
    assert [cost() for cost in costs] == [8] * 4


def test_cleared_caches_free_optimizers_and_losses():
    images, labels = draw(20)
    held = []
    for _ in range(3):
        optimizer, loss = optax.sgd(0.1), Scaled(1.0)
        params = jnp.float32(2)
        state = TrainState(params, optimizer.init(params))
        options = {"optimizer": optimizer, "loss": loss}
        train_step(state, images, labels, **options)
        train_epoch(KEY, state, images, labels, **options, batch_size=5)
        fit(
            KEY, images, labels, **options, params=params, epochs=1, batch_size=5,
            validation=(images, labels),
        )  # fmt: skip
        evaluate(params, images, labels, loss=loss)
        held += [weakref.ref(optimizer.update), weakref.ref(optimizer.init), weakref.ref(loss)]
    del optimizer, loss, options, state
    jax.clear_caches()
    gc.collect()
    assert [ref() for ref in held] == [None] * 9


# Where it may run.

ON_DEVICE = {
    "fit": lambda p, s, *data: fit(KEY, *data, SGD, params=p, epochs=2, batch_size=5),
    "fit, continued and validated": lambda p, s, *data: fit(
        KEY, *data, SGD, state=s, epochs=2, batch_size=5, first_epoch=7, validation=data
    ),
    "fit, augmented and weighted": lambda p, s, images, labels: fit(
        KEY, images, (labels, labels), SGD, params=p, epochs=2, batch_size=5,
        loss=MeanCost(augment=affine, weighted=True),
    ),
    "fit under jit": lambda p, s, *data: jax.jit(
        lambda *data: fit(KEY, *data, SGD, params=p, epochs=2, batch_size=5)
    )(*data),
    "train_epoch": lambda p, s, *data: train_epoch(KEY, s, *data, optimizer=SGD, batch_size=5),
    "train_step": lambda p, s, *data: train_step(s, *data, optimizer=SGD),
    "train_step, with a key": lambda p, s, *data: train_step(
        s, *data, KEY, optimizer=SGD, loss=MeanCost(augment=affine)
    ),
    "evaluate": lambda p, s, *data: evaluate(p, *data),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_DEVICE)
def test_nothing_is_transferred(params, name):
    """The first call too, which compiles. On CPUs JAX guards the way to the device only."""
    images, labels = draw(20)
    state = jax.block_until_ready(TrainState(params, SGD.init(params)))
    jax.clear_caches()
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(ON_DEVICE[name](params, state, images, labels))
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
            evaluate(params, np.zeros((20, 16), "f"), labels)


def exported(f, *arguments):
    """Serializes and deserializes a function, as if for another process."""
    return jax.export.deserialize(jax.export.export(jax.jit(f))(*arguments).serialize())


@pytest.mark.parametrize("weighted", [False, True])
def test_export_of_evaluate(params, weighted):
    """Of any number of images, which then are one tile."""
    (n,) = jax.export.symbolic_shape("n")
    loss = MeanCost(weighted=weighted)
    shapes = jax.ShapeDtypeStruct((n, 16), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    if weighted:
        shapes = shapes[0], (shapes[1], jax.ShapeDtypeStruct((n,), jnp.float32))
    again = exported(partial(evaluate, loss=loss), params, *shapes)
    for k in (1, 7, 1_024, 2_500):
        images, labels = draw(k)
        weights = jnp.linspace(0.5, 2, k) if weighted else jnp.ones(k)
        got = again.call(params, images, (labels, weights) if weighted else labels)
        a = matrix_form(params, images)[-1]
        z, y = np.log(a / (1 - a)), np.asarray(labels)
        costs = weights * -log_softmax(z, axis=1)[np.arange(k), y]
        np.testing.assert_allclose(got.cost, np.mean(costs), rtol=1e-5)
        accuracy = np.average(z.argmax(1) == y, weights=weights)
        np.testing.assert_allclose(got.accuracy, accuracy, atol=1e-6)
        here = evaluate(params, images, (labels, weights) if weighted else labels, loss=loss)
        assert type(got) is type(here)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), got, here)


def test_evaluate_of_no_images(params):
    score = evaluate(params, np.zeros((0, 16), "f"), np.zeros(0, int))
    assert np.isnan(score.cost)
    assert np.isnan(score.accuracy)


@pytest.mark.parametrize("name", ["fit", "train_epoch"])
def test_export_of_loops_over_any_number(params, name):
    (n,) = jax.export.symbolic_shape("n")
    shapes = jax.ShapeDtypeStruct((n, 16), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)
    run = {
        "fit": lambda *data: fit(KEY, *data, SGD, params=params, epochs=2, batch_size=5),
        "train_epoch": lambda *data: train_epoch(
            KEY, TrainState(params, SGD.init(params)), *data, optimizer=SGD, batch_size=5
        ),
    }[name]
    says = "Expected a known number of images, since it sets the number of steps; got n. Export a"
    with pytest.raises(ValueError, match=says):
        jax.export.export(jax.jit(run))(*shapes)


RELOAD = """
import importlib, jax, optax
import jaxnet, jaxnet.network, jaxnet.training._loops

importlib.reload(jaxnet.network)
importlib.reload(jaxnet.training._loops)
images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 50)
params = jaxnet.network.init(jax.random.key(1))
state, history = jaxnet.fit(
    jax.random.key(2), images, labels, optax.sgd(0.1), params=params, epochs=1, batch_size=10
)
assert jaxnet.evaluate(state.params, images, labels).accuracy <= 1
print(type(state.params[0]).__name__, history.cost.shape)
"""


def test_modules_can_be_reloaded():
    """As a notebook does; the names that they register for export are then taken."""
    process = subprocess.run(
        [sys.executable, "-c", RELOAD], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == "Layer (1,)\n"
