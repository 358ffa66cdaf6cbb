"""Training and the rest on meshes: each device its share, and the numbers of one device.

Data, members or weights are divided; axes are Auto, Explicit or Manual; calls are compiled or not,
under `jax.set_mesh` or not.
"""

import contextlib
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet import analysis
from jaxnet.analysis import shard_members, vote
from jaxnet.data.augment import affine
from jaxnet.data.synthetic import draw
from jaxnet.training import MeanCost, TrainState, evaluate, fit, loss, train_epoch, train_step
from tests.laws import quick

pytestmark = pytest.mark.compiled

N = 4  # devices
AXES = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
SGD = optax.sgd(0.5, momentum=0.9)
SIZES = (784, 8, 4)


@pytest.fixture(scope="module")
def digits():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 2 * 1024)
    return np.asarray((255 * images).astype(jnp.uint8)), np.asarray(labels) % SIZES[-1]


@pytest.fixture(scope="module")
def params():
    return jaxnet.init(jax.random.key(1), SIZES)


@pytest.fixture(params=AXES)
def mesh(request):
    return jax.make_mesh((N,), ("i",), (AXES[request.param],), devices=jax.devices()[:N])


@pytest.fixture(params=["compiled", "compiled, mesh set", "plain", "plain, mesh set"])
def run(request, mesh):
    """Calls a function in one of four ways."""

    def call(f, *arguments):
        with jax.set_mesh(mesh) if "set" in request.param else contextlib.nullcontext():
            return (quick(f) if "compiled" in request.param else f)(*arguments)

    return call


def place(mesh, tree, *spec):
    return jax.tree.map(lambda a: jax.device_put(a, NamedSharding(mesh, P(*spec))), tree)


def by_rows(mesh, tree):
    return place(mesh, tree, "i")


def alike(got, expected, atol=1e-4):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), atol=atol, rtol=0)


def one_epoch(params, images, labels):
    state = TrainState(params, SGD.init(params))
    return train_epoch(jax.random.key(0), state, images, labels, optimizer=SGD, batch_size=64)


def two_epochs(params, images, labels, **options):
    weighted = labels, jnp.linspace(0.5, 1.5, len(labels))
    return fit(
        jax.random.key(0), images, weighted, SGD, params=params, epochs=2, batch_size=64,
        loss=MeanCost(augment=affine, weighted=True), validation=(images, weighted), **options,
    )  # fmt: skip


OF_DATA = {
    "train_step": lambda params, *data: train_step(
        TrainState(params, SGD.init(params)), *data, optimizer=SGD
    ),
    "train_epoch": one_epoch,
    "loss": loss,
    "evaluate": evaluate,
    "per_example": partial(analysis.per_example_gradients, batch_size=8, keep=optax.tree.norm),
}


@pytest.mark.parametrize("name", OF_DATA)
def test_sharded_images(name, run, mesh, params, digits):
    f = OF_DATA[name]
    expected = f(params, *digits)
    alike(run(f, params, *by_rows(mesh, digits)), expected)
    alike(run(f, place(mesh, params), *by_rows(mesh, digits)), expected)


def test_fit_on_sharded_images(run, mesh, params, digits):
    """With augmentation, weights and validation images."""
    expected = two_epochs(params, *digits)
    images, labels = by_rows(mesh, digits)
    alike(run(partial(two_epochs, sharding=images.sharding), params, images, labels), expected)


def test_replicated_images_sharded_batches(run, mesh, params, digits):
    expected = two_epochs(params, *digits)
    divide = partial(two_epochs, sharding=NamedSharding(mesh, P("i")))
    alike(run(divide, place(mesh, params), *place(mesh, digits)), expected)


@pytest.mark.parametrize("whole", [False, True])
def test_products_see_a_shard_of_the_batch(mesh, params, digits, whole):
    """64 images a batch; a product of all of them would be a device doing the others' work."""
    images, labels = (place if whole else by_rows)(mesh, digits)
    sharding = NamedSharding(mesh, P("i"))
    with jax.set_mesh(mesh):
        step = jax.jit(partial(two_epochs, sharding=sharding))
        text = step.lower(place(mesh, params), images, labels).compile().as_text()
    products = re.findall(r"\[([\d,]+)\]\S* dot\(", text)
    assert "8,16" in products  # the gradients' products are summed over 16 images
    assert not [shape for shape in products if "64" in shape.split(",")]


def test_batch_size_not_divisible(mesh, params, digits):
    images, labels = by_rows(mesh, digits)
    with pytest.raises(ValueError, match="that 4 devices can share equally; got 30"):
        fit(jax.random.key(0), images, labels, SGD, epochs=1, batch_size=30, params=params)


def member(key, params, images, labels):
    augmented = MeanCost(augment=affine)
    return fit(key, images, labels, SGD, params=params, epochs=2, batch_size=64, loss=augmented)


@pytest.mark.parametrize("divided", ["keys", "members", "both"])
def test_sharded_members(divided, run, mesh, digits):
    keys = jax.random.split(jax.random.key(2), 8)
    members = jax.vmap(partial(jaxnet.init, sizes=SIZES))(jax.random.split(jax.random.key(1), 8))
    one_key, one_member = jax.tree.map(lambda a: a[0], (keys, members))
    arguments, axes = {
        "keys": ((keys, one_member), (0, None)),
        "members": ((one_key, members), (None, 0)),
        "both": ((keys, members), (0, 0)),
    }[divided]
    images, labels = (a[:256] for a in digits)
    together = jax.vmap(partial(member, images=images, labels=labels), in_axes=axes)
    there = [by_rows(mesh, a) if axis == 0 else a for a, axis in zip(arguments, axes, strict=True)]
    alike(run(together, *there), together(*arguments), atol=1e-3)


def test_sharded_weights(run, mesh, params, digits):
    """Each device has some of the neurons of each layer."""
    f = partial(one_epoch, images=digits[0][:256], labels=digits[1][:256])
    alike(run(f, by_rows(mesh, params)), f(params))
    f = partial(evaluate, images=digits[0], labels=digits[1])
    alike(run(f, by_rows(mesh, params)), f(params))


def test_sharded_synthetic_digits(run, mesh):
    keys, digits = jax.random.split(jax.random.key(0), 8), jnp.arange(8)
    got = run(jax.vmap(draw), by_rows(mesh, keys), by_rows(mesh, digits))
    alike(got, jax.vmap(draw)(keys, digits))


def test_sharded_ensemble_votes(run, mesh, digits):
    ensemble = jax.vmap(partial(jaxnet.init, sizes=SIZES))(jax.random.split(jax.random.key(1), 8))
    x = jnp.asarray(digits[0][0], jnp.float32) / 255
    expected = vote(ensemble, x)
    for devices in (mesh, jax.devices()[:N], np.array(jax.devices()[:N])):
        there = shard_members(ensemble, devices)
        assert there[0].weights.addressable_shards[0].data.shape == (2, 8, 784)
        if isinstance(devices, jax.sharding.Mesh):
            alike(run(vote, there, x), expected)
    with jax.set_mesh(mesh):
        assert shard_members(ensemble)[0].weights.sharding.mesh == mesh


MANUAL = jax.make_mesh((N,), ("i",), (AxisType.Auto,), devices=jax.devices()[:N])


@pytest.mark.parametrize("optimizer", [SGD, optax.adam(0.01), optax.lbfgs()])
def test_manual_axes_sharded_images(optimizer, params, digits):
    """One network on all devices: the step of each quarter of a batch is that of the whole."""
    data = [a[:256] for a in digits]

    def step(params, images, labels):
        state = TrainState(params, optimizer.init(params))
        return train_step(state, images, labels, optimizer=optimizer)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected, score = step(params, *data)
        specs = (P(), P("i"), P("i"))
        divided = jax.shard_map(step, mesh=MANUAL, in_specs=specs, out_specs=P())
        got, score_there = quick(divided)(params, *data)
    alike((got.params, score_there), (expected.params, score))


def test_manual_axes_fit_on_sharded_images(params, digits):
    """The order of images is each device's own, so only what is learned can be compared."""

    def run(params, images, labels):
        return fit(jax.random.key(0), images, labels, SGD, params=params, epochs=4, batch_size=16)

    specs = (P(), P("i"), P("i"))
    divided = jax.shard_map(run, mesh=MANUAL, in_specs=specs, out_specs=P())
    state, history = quick(divided)(params, *digits)
    assert evaluate(state.params, *digits).accuracy > 0.8
    assert history.cost[-1] < history.cost[0]


def test_manual_axes_sharded_members(digits):
    data = [a[:256] for a in digits]
    members = jax.vmap(partial(jaxnet.init, sizes=SIZES))(jax.random.split(jax.random.key(1), 8))
    optimizer = optax.adam(0.01)

    def run(members):
        one = partial(fit, jax.random.key(0), *data, optimizer, epochs=2, batch_size=64)
        return jax.vmap(lambda params: one(params=params, validation=data))(members)

    with jax.numpy_dtype_promotion("standard"):
        got = quick(jax.shard_map(run, mesh=MANUAL, in_specs=P("i"), out_specs=P("i")))(members)
        alike(got, quick(run)(members), atol=1e-3)


@pytest.mark.slow
def test_manual_axes_per_example_gradients(params, digits):
    f = partial(analysis.per_example_gradients, keep=optax.tree.norm)
    data = [a[:64] for a in digits]
    divided = jax.shard_map(f, mesh=MANUAL, in_specs=(P(), P("i"), P("i")), out_specs=P("i"))
    alike(quick(divided)(params, *data), f(params, *data))
