"""What the training functions do unseen: compile, keep, check, transfer, export, reload."""

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
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from scipy.special import log_softmax

import jaxnet
from jaxnet import training
from jaxnet.training import (
    MeanCost,
    TrainState,
    cross_entropy,
    evaluate,
    fit,
    train_epoch,
    train_step,
)
from tests.oracles import backpropagation, float64, matrix_form

pytestmark = pytest.mark.compiled

SIZES = (6, 5, 4)
SGD = optax.sgd(0.5)
STILL = optax.set_to_zero()
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return jaxnet.init(jax.random.key(1), SIZES)


def draw(n, seed=1):
    """Images and digits as NumPy arrays."""
    rng = np.random.default_rng(seed)
    return rng.random((n, SIZES[0]), "f"), rng.integers(SIZES[-1], size=n, dtype=np.int32)


def costs(params, images, labels):
    """The cross-entropy of each image, in NumPy and float64."""
    a = matrix_form(params, images)[-1]
    return -log_softmax(np.log(a / (1 - a)), axis=1)[np.arange(len(labels)), labels]


def state_of(params, optimizer=SGD):
    return TrainState(params, optimizer.init(params))


def same(one, other, atol=0.0):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), one, other)


def calls(params, images, labels):
    """Each function that trains or evaluates, as a function of the loss and the optimizer."""

    def epoch(loss, optimizer=SGD):
        state = state_of(params, optimizer)
        run = {"optimizer": optimizer, "batch_size": 10, "loss": loss}
        return train_epoch(KEY, state, images, labels, **run)

    def step(loss, optimizer=SGD):
        state = state_of(params, optimizer)
        return train_step(state, images, labels, KEY, optimizer=optimizer, loss=loss)

    def run(loss, optimizer=SGD):
        run = {"epochs": 2, "batch_size": 10, "params": params, "loss": loss}
        return fit(KEY, images, labels, optimizer, validation=(images, labels), **run)

    def score(loss, optimizer=SGD):
        return evaluate(params, images, labels, loss=loss)

    return {"fit": run, "train_epoch": epoch, "train_step": step, "evaluate": score}


FUNCTIONS = ["fit", "train_epoch", "train_step", "evaluate"]


# Compiled programs and what they keep.


class Counted:
    """A cost that counts how often it is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, z, y):
        self.traces += 1
        return cross_entropy(z, y)


def test_equal_losses():
    def cost(z, y):
        return cross_entropy(z, y)

    def tint(key, x):
        return x

    def network(params):
        return params

    for build in (
        MeanCost,
        lambda: MeanCost(cost),
        lambda: MeanCost(cost=cost, squash="relu", augment=tint, network=network, weighted=True),
    ):
        assert build() == build()
        assert hash(build()) == hash(build())
    assert MeanCost(squash="relu") == MeanCost(squash=jax.nn.relu)
    assert hash(MeanCost(squash="relu")) == hash(MeanCost(squash=jax.nn.relu))
    different = [
        *(MeanCost(), MeanCost(cost), MeanCost(squash="relu"), MeanCost(augment=tint)),
        *(MeanCost(network=network), MeanCost(weighted=True)),
    ]
    assert len(set(different)) == 6


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equal_losses_compile_once(params, name):
    call, cost = calls(params, *draw(30))[name], Counted()
    call(MeanCost(cost))
    once = cost.traces
    for _ in range(3):
        call(MeanCost(cost, squash="sigmoid"))
        call(MeanCost(cost, squash=jax.nn.sigmoid))
    assert 1 <= once == cost.traces
    call(MeanCost(cost, squash="relu"))
    assert cost.traces > once


@pytest.mark.parametrize("name", FUNCTIONS)
def test_own_loss_compiles_once(params, name):
    call, traces = calls(params, *draw(30))[name], []

    def loss(params, images, labels, key):
        traces.append(1)
        return training.loss(params, images, labels)

    call(loss)
    once = len(traces)
    for _ in range(3):
        call(loss)
    assert 1 <= once == len(traces)


class Scaled:
    """A loss that can be changed."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, params, images, labels, key):
        return self.factor * training.loss(params, images, labels)[0]


def last_cost(result):
    cost = result.cost if hasattr(result, "cost") else result[1].cost
    return float(jnp.ravel(cost)[0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_loss_is_read_once(params, name):
    """As the docstring of `train_epoch` says, and as `jax.jit` does."""
    call, loss = calls(params, *draw(30))[name], Scaled(1.0)
    one = last_cost(call(loss, STILL))
    assert one > 0
    loss.factor = 2.0
    assert last_cost(call(loss, STILL)) == one
    assert last_cost(call(Scaled(2.0), STILL)) == pytest.approx(2 * one)
    jax.clear_caches()
    assert last_cost(call(loss, STILL)) == pytest.approx(2 * one)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_freed_by_clear_caches(params, name):
    """The optimizer and the loss, with the data that they hold."""
    call = calls(params, *draw(30))[name]
    loss, optimizer = Scaled(1.0), optax.sgd(0.3)
    call(loss, optimizer)
    held = [weakref.ref(loss), weakref.ref(optimizer.update)]
    del loss, optimizer
    jax.clear_caches()
    gc.collect()
    assert [ref() for ref in held] == [None, None]


# Keys.


@pytest.mark.parametrize("name", ["fit", "train_epoch", "train_step"])
def test_each_image_has_its_own_key(params, name):
    seen = []

    def note(key, x):
        jax.debug.callback(lambda bits: seen.append(tuple(bits.tolist())), jax.random.key_data(key))
        return x

    calls(params, *draw(30))[name](MeanCost(augment=note))
    jax.effects_barrier()
    n = {"fit": 60, "train_epoch": 30, "train_step": 30}[name]
    assert len(seen) == len(set(seen)) == n


def test_each_image_is_augmented_by_its_own_key(params):
    """Against noise that is drawn image by image."""
    images, labels = draw(20)

    def noisy(key, x):
        return x + jax.random.uniform(key, x.shape)

    keys = jax.random.split(KEY, 20)
    noise = np.stack([np.asarray(jax.random.uniform(key, (6,))) for key in keys])
    cost, _ = MeanCost(augment=noisy)(params, images, labels, KEY)
    np.testing.assert_allclose(cost, costs(params, images + noise, labels).mean(), rtol=1e-5)


# Optimizers and states that do not fit.

BAD_OPTIMIZERS = {
    "not called": (optax.adam, "optax.adam.*got the function adam, not called"),
    "None": (None, "got None instead"),
    "a rate": (0.1, "got 0.1 instead"),
    "a name": ("adam", "got 'adam' instead"),
    "a list": ([SGD], r"got \[Gradient"),
    "lookahead": (
        optax.lookahead(optax.sgd(0.1), 5, 0.5),
        r"params=optax.LookaheadParams.init_synced\(params\).* got a plain tuple",
    ),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("what", BAD_OPTIMIZERS)
def test_bad_optimizers(params, what, jit):
    images, labels = draw(20)
    optimizer, says = BAD_OPTIMIZERS[what]
    state = state_of(params)
    wrap = jax.jit if jit else lambda f: f
    for call in (
        lambda: fit(KEY, images, labels, optimizer, params=params, epochs=1, batch_size=5),
        lambda: fit(KEY, images, labels, optimizer, state=state, epochs=1, batch_size=5),
        lambda: train_epoch(KEY, state, images, labels, optimizer=optimizer, batch_size=5),
        lambda: train_step(state, images, labels, optimizer=optimizer),
    ):
        with pytest.raises(TypeError, match=says) as error:
            wrap(call)()
        assert str(error.value).startswith("Expected ")


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8(params, dtype):
    images, labels = draw(20)
    small = jax.tree.map(lambda a: a.astype(dtype), params)
    for optimizer in (SGD, optax.set_to_zero()):
        state = TrainState(small, optimizer.init(params))
        for call in (
            lambda o=optimizer: fit(KEY, images, labels, o, params=small, epochs=1, batch_size=5),
            lambda o=optimizer, s=state: train_epoch(
                KEY, s, images, labels, optimizer=o, batch_size=5
            ),
            lambda o=optimizer, s=state: train_step(s, images, labels, optimizer=o),
            lambda: evaluate(small, images, labels),
        ):
            with pytest.raises(TypeError, match="Expected params of 16 bits or more; got float8"):
                call()

    def own(params, images, labels, key):
        return (params.astype(jnp.float32) ** 2).sum()

    state = state_of(small[0].biases)
    with pytest.raises(TypeError, match="Expected params of 16 bits or more; got float8"):
        train_step(state, images, labels, optimizer=SGD, loss=own)


BENT = {
    "one row": lambda a: a[:1],
    "an ensemble of one": lambda a: a[None],
    "scalars": lambda a: a.sum(),
    "bfloat16": lambda a: a.astype(jnp.bfloat16),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "optimizer", [optax.sgd(0.1, momentum=0.9), optax.adam(0.1)], ids=["momentum", "adam"]
)
@pytest.mark.parametrize("how", BENT)
def test_moments_of_other_params(params, optimizer, how, jit):
    """Nearly all of them would broadcast: one row of moments for all neurons, for example."""
    images, labels = draw(20)
    wrap = jax.jit if jit else lambda f: f
    with jax.numpy_dtype_promotion("standard"):
        state = TrainState(params, optimizer.init(jax.tree.map(BENT[how], params)))
        for call in (
            lambda s: fit(KEY, images, labels, optimizer, state=s, epochs=1, batch_size=5),
            lambda s: train_epoch(KEY, s, images, labels, optimizer=optimizer, batch_size=5),
            lambda s: train_step(s, images, labels, optimizer=optimizer),
        ):
            with pytest.raises(ValueError, match="Expected a state of this optimizer for these"):
                wrap(call)(state)
            wrap(call)(state_of(params, optimizer))


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


# What is known while tracing.


def test_checks_of_constants_while_tracing(params):
    """Images and labels that a jitted function closes over are known, and so they are checked."""
    images, labels = draw(20)
    bright, beyond = 255 * images, np.where(np.arange(20) == 7, 4, labels)
    for put in (np.asarray, jnp.asarray):
        for x, y, says in (
            (put(bright), put(labels), r"from 0 \(black\) to 1 \(white\); got .* to 25\d"),
            (put(images), put(beyond), "labels from 0 to 3, .* got 4 for image 7"),
        ):
            run = partial(fit, KEY, optimizer=SGD, epochs=1, batch_size=5)
            for call in (
                lambda p, x=x, y=y, run=run: run(x, y, params=p),
                lambda p, x=x, y=y, run=run: run(images, labels, params=p, validation=(x, y)),
                lambda p, x=x, y=y: evaluate(p, x, y),
            ):
                with pytest.raises(ValueError, match=says):
                    jax.jit(call)(params)
                with pytest.raises(ValueError, match=says):
                    jax.vmap(call)(jax.tree.map(lambda a: a[None], params))
    anything = {"check_range": False}
    score = jax.jit(lambda p: evaluate(p, jnp.asarray(bright), labels, **anything))(params)
    np.testing.assert_allclose(score.cost, costs(params, bright, labels).mean(), rtol=1e-4)
    # As arguments they are unknown, and nothing is checked.
    assert np.isfinite(jax.jit(evaluate)(params, bright, labels).cost)


# Transfers.


def test_no_implicit_transfers(params):
    """With arrays on the device, nothing moves that plain JAX would not move."""
    images, labels = jax.tree.map(jnp.asarray, draw(1_100))
    in_bytes = (255 * images).astype(jnp.uint8)
    weights, state, key = jnp.ones(1_100), state_of(params), jax.random.key(5)
    weighted = MeanCost(weighted=True)
    run = {"epochs": 2, "batch_size": 100}
    eager = {
        "fit": lambda: fit(key, images, labels, SGD, params=params, **run),
        "fit of bytes, validated": lambda: fit(
            key, in_bytes, labels, SGD, params=params, validation=(in_bytes, labels), **run
        ),
        "fit, weighted": lambda: fit(
            key, images, (labels, weights), SGD, params=params, loss=weighted, **run
        ),
        "fit, continued": lambda: fit(key, images, labels, SGD, state=state, first_epoch=3, **run),
        "train_epoch": lambda: train_epoch(
            key, state, images, labels, optimizer=SGD, batch_size=100
        ),
        "train_step": lambda: train_step(state, images, labels, optimizer=SGD),
        "evaluate": lambda: evaluate(params, images, labels),
        "evaluate, weighted": lambda: evaluate(params, images, (labels, weights), loss=weighted),
    }
    for name, call in eager.items():
        for _ in range(2):
            with jax.transfer_guard("disallow"):
                result = jax.block_until_ready(call())
            assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(result)), name
    for call in (
        lambda p, s, x, y: fit(key, x, y, SGD, params=p, validation=(x, y), **run),
        lambda p, s, x, y: train_epoch(key, s, x, y, optimizer=SGD, batch_size=100),
        lambda p, s, x, y: train_step(s, x, y, optimizer=SGD),
        lambda p, s, x, y: evaluate(p, x, y),
        lambda p, s, x, y: jax.grad(training.loss, has_aux=True)(p, x, y),
    ):
        with jax.transfer_guard("disallow"):
            jax.block_until_ready(jax.jit(call)(params, state, images, labels))


# Export.


def shapes_of(params, **scope):
    """The types of params, images, labels and weights, with a symbolic number of images."""
    (n,) = jax.export.symbolic_shape("n", **scope)
    types = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)
    of = jax.ShapeDtypeStruct
    return types, of((n, 6), jnp.float32), of((n,), jnp.int32), of((n,), jnp.float32)


@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_exports(params, weighted):
    """Through bytes, for any number of images, of which a whole tile is 1,024."""
    loss = MeanCost(weighted=weighted)
    network, x, y, w = shapes_of(params)
    exported = jax.export.export(jax.jit(partial(evaluate, loss=loss)))(
        network, x, (y, w) if weighted else y
    )
    loaded = jax.export.deserialize(exported.serialize())
    for n in (1, 7, 1_024, 2_500):
        images, labels = draw(n)
        weights = np.random.default_rng(2).uniform(0, 2, n).astype("f") if weighted else np.ones(n)
        score = loaded.call(params, images, (labels, weights) if weighted else labels)
        expected = (weights * costs(params, images, labels)).mean()
        right = matrix_form(params, images)[-1].argmax(1) == labels
        np.testing.assert_allclose(score.cost, expected, rtol=1e-5)
        np.testing.assert_allclose(
            score.accuracy, (weights * right).sum() / weights.sum(), rtol=1e-5
        )


def test_evaluate_of_no_images(params):
    score = evaluate(params, np.zeros((0, 6), "f"), np.zeros(0, int))
    assert np.isnan(score.cost)
    assert np.isnan(score.accuracy)


def test_symbolic_number_of_images(params):
    """A run of unknown length cannot be exported; a step of it can."""
    network, x, y, _ = shapes_of(params)
    key = jax.eval_shape(lambda: jax.random.key(0))
    run = jax.jit(lambda k, p, x, y: fit(k, x, y, SGD, params=p, epochs=1, batch_size=5))
    epoch = jax.jit(
        lambda k, p, x, y: train_epoch(k, state_of(p), x, y, optimizer=SGD, batch_size=5)
    )
    for call in (run, epoch):
        with pytest.raises(ValueError, match=r"Expected a known number of images, .* got n\. "):
            jax.export.export(call)(key, network, x, y)
    step = jax.jit(lambda p, x, y: train_step(state_of(p), x, y, optimizer=SGD)[0].params)
    exported = jax.export.export(step)(network, x, y)
    images, labels = draw(30)
    same(exported.call(params, images, labels), step(params, images, labels), atol=1e-6)


# Federated averaging.


@pytest.fixture
def mesh():
    return jax.make_mesh((4,), ("i",), (AxisType.Auto,), devices=jax.devices()[:4])


def on_each(f, mesh, **options):
    specs = {"in_specs": (P(), P("i"), P("i")), "out_specs": P()}
    return jax.jit(jax.shard_map(f, mesh=mesh, **specs, **options))


@pytest.mark.parametrize("own", [False, True], ids=["MeanCost", "own loss"])
def test_federated_averaging(params, mesh, own):
    """Marked as varying, the params are trained alone on each device; then they are averaged."""
    images, labels = draw(80)
    loss = (lambda p, x, y, key: training.loss(p, x, y)) if own else training.loss

    def alone(params, images, labels):
        run = {"epochs": 3, "batch_size": 5, "params": params, "loss": loss}
        return fit(KEY, images, labels, SGD, **run)[0].params

    def federated(params, images, labels):
        mine = jax.lax.pcast(params, "i", to="varying")
        return jax.lax.pmean(alone(mine, images, labels), "i")

    got = on_each(federated, mesh)(params, images, labels)
    parts = [alone(params, images[n : n + 20], labels[n : n + 20]) for n in range(0, 80, 20)]
    expected = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *parts)
    assert abs(parts[0][0].weights - parts[1][0].weights).max() > 1e-2
    same(got, expected, atol=1e-5)


def test_common_steps_without_a_mark(params, mesh):
    """Each device takes the same step, by the gradient of all images, in float64 by hand."""
    images, labels = draw(80)
    loss = MeanCost(training.quadratic_cost)

    def step(params, images, labels):
        return train_step(state_of(params), images, labels, optimizer=SGD, loss=loss)[0].params

    got = on_each(step, mesh)(params, images, labels)
    rights = np.eye(4)[labels]
    gradients = [backpropagation(params, x, y) for x, y in zip(images, rights, strict=True)]
    for n, (w, b) in enumerate(float64(params)):
        w -= 0.5 * np.mean([g[n][0] for g in gradients], axis=0)
        b -= 0.5 * np.mean([g[n][1] for g in gradients], axis=0)
        same(got[n], jaxnet.Layer(w, b), atol=1e-6)

    # An epoch of one batch per device is one step on all images, whatever the shuffle.
    def epoch(params, images, labels):
        run = {"optimizer": SGD, "batch_size": 20, "loss": loss}
        return train_epoch(KEY, state_of(params), images, labels, **run)[0].params

    same(on_each(epoch, mesh)(params, images, labels), got, atol=1e-6)


# Reload.

RELOAD = """
import importlib, sys
import jax, jax.numpy as jnp, optax
import jaxnet, jaxnet.network, jaxnet.training
for name in {names}:
    importlib.reload(sys.modules[name])
images, labels = jax.random.uniform(jax.random.key(0), (20, 6)), jnp.arange(20) % 4
params = jaxnet.network.init(jax.random.key(1), (6, 5, 4))
state, history = jaxnet.training.fit(
    jax.random.key(2), images, labels, optax.sgd(0.1), params=params, epochs=2, batch_size=5
)
score = jaxnet.evaluate(state.params, images, labels)
assert history.cost.shape == history.accuracy.shape == (2,)
print(round(float(score.cost), 3))
"""


@pytest.mark.parametrize(
    "names",
    [
        ["jaxnet.network"],
        ["jaxnet.training._loops"],
        ["jaxnet.network", "jaxnet.training._loss", "jaxnet.training._loops"],
        ["jaxnet", "jaxnet.training"],
    ],
    ids=" ".join,
)
@pytest.mark.process
def test_reload(names):
    """As IPython's %autoreload does: the names for `jax.export` are taken already."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", RELOAD.format(names=names)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert 0 < float(process.stdout) < 3
