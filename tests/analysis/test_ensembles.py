"""Ensembles: voting, sharding, and training as if each member were alone."""

import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnet
from jaxnet.analysis import shard_members, vote
from tests.oracles import matrix_form
from tests.subprocesses import as_hosts
from tests.training import hosts

pytestmark = pytest.mark.core

SIZES = (6, 4, 3)
TWO = jax.devices()[:2]


def draw(n_members, sizes=SIZES, seed=0):
    """A random ensemble whose members differ in weights and biases."""
    rng = np.random.default_rng(seed)
    return tuple(
        jaxnet.Layer(
            rng.normal(size=(n_members, n_out, n_in)).astype("f"),
            rng.normal(size=(n_members, n_out)).astype("f"),
        )
        for n_in, n_out in itertools.pairwise(sizes)
    )


def member(ensemble, n):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[n], ensemble)


def same(one, other, atol=0.0):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), one, other)


@pytest.mark.parametrize("n_members", [1, 2, 7])
def test_vote_by_its_definition(n_members):
    ensemble = draw(n_members)
    images = np.random.default_rng(1).random((20, 6), "f")
    got = jax.jit(jax.vmap(vote, in_axes=(None, 0)))(ensemble, images)
    outputs = np.array([matrix_form(member(ensemble, n), images)[-1] for n in range(n_members)])
    same(got.activations, outputs.mean(0), atol=1e-6)
    np.testing.assert_array_equal(got.digit, outputs.mean(0).argmax(1))
    predicted = outputs.argmax(2)
    same(got.votes, [[(p == d).mean() for d in range(3)] for p in predicted.T], atol=1e-6)
    pairs = [[a != b for a in p for b in p] for p in predicted.T]
    same(got.disagreement, np.mean(pairs, axis=1), atol=1e-6)
    assert (np.mean(pairs) > 0) == (n_members > 1)


@pytest.mark.compiled
def test_digit_is_the_largest_mean_not_the_majority():
    """Two members barely prefer 0; one is certain of 1."""
    biases = np.array([[0.1, 0, -9], [0.1, 0, -9], [-9, 9, -9]], "f")
    ensemble = (jaxnet.Layer(np.zeros((3, 3, 2), "f"), biases),)
    got = vote(ensemble, np.zeros(2, "f"))
    assert (got.digit, got.votes.argmax()) == (1, 0)
    same(got.votes, np.array([2, 1, 0]) / 3, atol=1e-6)
    same(got.disagreement, 4 / 9, atol=1e-6)


def test_votes_with_saturated_sigmoids():
    """All outputs round to 1 in float32; only the logits differ."""
    ensemble = (jaxnet.Layer(np.zeros((2, 3, 2), "f"), np.array([[50, 60, 70]] * 2, "f")),)
    got = vote(ensemble, np.zeros(2, "f"))
    same(got.activations, np.ones(3))
    same(got.votes, np.array([0.0, 0, 1]))


@pytest.mark.compiled
def test_other_squashes():
    ensemble, x = draw(5), np.random.default_rng(1).random(6, "f")
    squashes = {"squash": jax.nn.relu, "last_squash": jax.nn.softmax}
    one = jax.jit(partial(jaxnet.forward, **squashes))
    alone = np.array([one(member(ensemble, n), x) for n in range(5)])
    got = jax.jit(partial(vote, **squashes))(ensemble, x)
    same(got.activations, alone.mean(0), atol=1e-6)
    same(got.votes, np.bincount(alone.argmax(1), minlength=3) / 5, atol=1e-6)


# Training.


@pytest.fixture(scope="module")
def digits():
    images = np.random.default_rng(2).random((120, 6), "f")
    return images, (3 * images.mean(1)).astype(np.int32)


RATES = np.geomspace(0.01, 0.3, 4, dtype="f")


def train(digits, key, params, rate):
    return jaxnet.training.fit(
        key, *digits, optax.sgd(rate, momentum=0.9), params=params, epochs=3, batch_size=20
    )


@pytest.mark.long
@pytest.mark.compiled
def test_shared_key_trains_as_if_alone(digits):
    key, starts = jax.random.key(0), draw(4)
    together = jax.jit(jax.vmap(partial(train, digits, key)))(starts, RATES)
    one = jax.jit(partial(train, digits, key))
    for n in range(4):
        alone = one(member(starts, n), RATES[n])
        same(member(together, n), alone, atol=1e-5)  # wider products round differently
        assert np.abs(alone[0].params[0].weights - member(starts, n)[0].weights).max() > 0.01


@pytest.mark.long
@pytest.mark.compiled
def test_separate_keys_train_as_if_alone(digits):
    keys, start = jax.random.split(jax.random.key(0), 4), member(draw(1), 0)
    together = jax.jit(jax.vmap(partial(train, digits), in_axes=(0, None, None)))(
        keys, start, RATES[2]
    )
    one = jax.jit(partial(train, digits))
    for n in range(4):
        same(member(together, n), one(keys[n], start, RATES[2]), atol=1e-5)  # as above
    weights = np.asarray(together[0].params[0].weights)
    # With one start and one rate, only the order of the images differs.
    assert min(np.abs(weights[a] - weights[b]).max() for a in range(4) for b in range(a)) > 1e-4


def test_sharding_over_two_devices():
    ensemble, rates = shard_members((draw(4), RATES), TWO)
    for leaf, whole in zip(
        jax.tree.leaves((ensemble, rates)), jax.tree.leaves((draw(4), RATES)), strict=True
    ):
        assert {shard.device for shard in leaf.addressable_shards} == set(TWO)
        assert [shard.data.shape for shard in leaf.addressable_shards] == [
            (2, *whole.shape[1:])
        ] * 2
        np.testing.assert_array_equal(leaf, whole)


def test_sharding_over_the_given_devices():
    (rates,) = shard_members((RATES[:3],), jax.devices()[1:2])
    assert rates.devices() == {jax.devices()[1]}
    keys = shard_members(jax.random.split(jax.random.key(0), 4))
    assert len(keys.sharding.device_set) == len(jax.devices())


@pytest.mark.parametrize("n_members", [1, 3])
def test_indivisible_number_of_members(n_members):
    with pytest.raises(ValueError, match=f"a multiple of 2 members, .* got {n_members} instead"):
        shard_members(draw(n_members), TWO)


@pytest.mark.long
@pytest.mark.compiled
def test_sharded_training_without_communication(digits):
    run = jax.jit(jax.vmap(partial(train, digits, jax.random.key(0))))
    starts, rates = draw(4), RATES
    divided = shard_members(starts, TWO), shard_members(rates, TWO)
    program = run.lower(*divided).compile()
    # Check the pattern itself: a sum over the members needs one of these.
    moves = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")
    total = jax.jit(lambda rates: rates.sum()).lower(divided[1]).compile()
    assert moves.search(total.as_text())
    assert not moves.search(program.as_text())
    state, history = program(*divided)
    for leaf in jax.tree.leaves((state, history)):
        assert [len(shard.data) for shard in leaf.addressable_shards] == [2, 2]
    # Products for two members and for four differ in width, and therefore in rounding.
    same((state, history), run(starts, rates), atol=1e-6)


@pytest.mark.compiled
def test_vote_on_two_devices(digits):
    over = jax.jit(jax.vmap(vote, in_axes=(None, 0)))
    same(over(shard_members(draw(4), TWO), digits[0]), over(draw(4), digits[0]), atol=1e-6)


@pytest.mark.long
@pytest.mark.process
def test_two_hosts_train_the_same_as_one(tmp_path):
    """Two processes with one device each, joined by `jax.distributed`."""
    as_hosts(hosts, 2, tmp_path)
    with jax.numpy_dtype_promotion("standard"):  # Adam raises a float to an integer
        ensemble = hosts.train(partial(shard_members, devices=TWO))
    one = hosts.train_one(jax.make_mesh((1,), ("batch",), devices=jax.devices()[:1]))
    # With as many members per device, the program is the same, so nearly bit-identical. A sharded
    # batch is summed in a different order.
    for file, here, atol in (("hosts.npz", ensemble, 1e-6), ("one.npz", one, 1e-5)):
        leaves = jax.tree.leaves(here)
        with np.load(tmp_path / file) as there:
            for name, leaf in zip(there.files, leaves, strict=True):
                np.testing.assert_allclose(there[name], leaf, atol=atol, rtol=0)
        assert jnp.isfinite(leaves[0]).all()
