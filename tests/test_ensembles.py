"""Networks side by side: what they say together, and that they learn as if alone."""

import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnet
from jaxnet.ensembles import consult, spread
from tests import training_hosts
from tests.helpers import matrix_form
from tests.processes import as_hosts

SIZES = (6, 4, 3)
TWO = jax.devices()[:2]


def draw(n_members, sizes=SIZES, seed=0):
    """An ensemble whose members differ in weights and biases."""
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
def test_a_verdict_is_the_mean_the_votes_and_the_pairs_that_differ(n_members):
    ensemble = draw(n_members)
    images = np.random.default_rng(1).random((20, 6), "f")
    verdicts = jax.jit(jax.vmap(consult, in_axes=(None, 0)))(ensemble, images)
    outputs = np.array([matrix_form(member(ensemble, n), images)[-1] for n in range(n_members)])
    same(verdicts.activations, outputs.mean(0), atol=1e-6)
    np.testing.assert_array_equal(verdicts.digit, outputs.mean(0).argmax(1))
    read = outputs.argmax(2)
    same(verdicts.votes, [[(r == d).mean() for d in range(3)] for r in read.T], atol=1e-6)
    pairs = [[a != b for a in r for b in r] for r in read.T]
    same(verdicts.disagreement, np.mean(pairs, axis=1), atol=1e-6)
    assert (np.mean(pairs) > 0) == (n_members > 1)


def test_the_digit_is_the_brightest_mean_and_not_the_most_voted():
    """Two members that are barely for 0, and one that is sure of 1."""
    biases = np.array([[0.1, 0, -9], [0.1, 0, -9], [-9, 9, -9]], "f")
    ensemble = (jaxnet.Layer(np.zeros((3, 3, 2), "f"), biases),)
    verdict = consult(ensemble, np.zeros(2, "f"))
    assert (verdict.digit, verdict.votes.argmax()) == (1, 0)
    same(verdict.votes, np.array([2, 1, 0]) / 3, atol=1e-6)
    same(verdict.disagreement, 4 / 9, atol=1e-6)


def test_votes_are_counted_where_sigmoids_are_saturated():
    """In float32 all outputs here are 1: the logits tell them apart."""
    ensemble = (jaxnet.Layer(np.zeros((2, 3, 2), "f"), np.array([[50, 60, 70]] * 2, "f")),)
    verdict = consult(ensemble, np.zeros(2, "f"))
    same(verdict.activations, np.ones(3))
    same(verdict.votes, np.array([0.0, 0, 1]))


def test_other_squashes_inside_and_at_the_end():
    ensemble, x = draw(5), np.random.default_rng(1).random(6, "f")
    squashes = {"squash": jax.nn.relu, "last_squash": jax.nn.softmax}
    one = jax.jit(partial(jaxnet.forward, **squashes))
    alone = np.array([one(member(ensemble, n), x) for n in range(5)])
    verdict = jax.jit(partial(consult, **squashes))(ensemble, x)
    same(verdict.activations, alone.mean(0), atol=1e-6)
    same(verdict.votes, np.bincount(alone.argmax(1), minlength=3) / 5, atol=1e-6)


# Learning.


@pytest.fixture(scope="module")
def lessons():
    images = np.random.default_rng(2).random((120, 6), "f")
    return images, (3 * images.mean(1)).astype(np.int32)


RATES = np.geomspace(0.01, 0.3, 4, dtype="f")


def learn(lessons, key, params, rate):
    return jaxnet.training.fit(
        key, *lessons, optax.sgd(rate, momentum=0.9), params=params, epochs=3, batch_size=20
    )


def test_members_with_one_key_learn_as_if_alone(lessons):
    key, starts = jax.random.key(0), draw(4)
    together = jax.jit(jax.vmap(partial(learn, lessons, key)))(starts, RATES)
    one = jax.jit(partial(learn, lessons, key))
    for n in range(4):
        alone = one(member(starts, n), RATES[n])
        same(member(together, n), alone, atol=1e-5)  # products of other widths round differently
        assert np.abs(alone[0].params[0].weights - member(starts, n)[0].weights).max() > 0.01


def test_members_with_keys_of_their_own_learn_as_alone_with_theirs(lessons):
    keys, start = jax.random.split(jax.random.key(0), 4), member(draw(1), 0)
    together = jax.jit(jax.vmap(partial(learn, lessons), in_axes=(0, None, None)))(
        keys, start, RATES[2]
    )
    one = jax.jit(partial(learn, lessons))
    for n in range(4):
        same(member(together, n), one(keys[n], start, RATES[2]), atol=1e-5)  # as above
    weights = np.asarray(together[0].params[0].weights)
    # From one start at one rate, they differ by the order of their images alone.
    assert min(np.abs(weights[a] - weights[b]).max() for a in range(4) for b in range(a)) > 1e-4


def test_members_are_spread_over_two_devices():
    ensemble, rates = spread((draw(4), RATES), TWO)
    for leaf, whole in zip(
        jax.tree.leaves((ensemble, rates)), jax.tree.leaves((draw(4), RATES)), strict=True
    ):
        assert {shard.device for shard in leaf.addressable_shards} == set(TWO)
        assert [shard.data.shape for shard in leaf.addressable_shards] == [
            (2, *whole.shape[1:])
        ] * 2
        np.testing.assert_array_equal(leaf, whole)


def test_members_are_spread_over_the_devices_chosen():
    (rates,) = spread((RATES[:3],), jax.devices()[1:2])
    assert rates.devices() == {jax.devices()[1]}
    keys = spread(jax.random.split(jax.random.key(0), 4))
    assert len(keys.sharding.device_set) == len(jax.devices())


@pytest.mark.parametrize("n_members", [1, 3])
def test_members_that_cannot_be_divided_are_refused(n_members):
    with pytest.raises(ValueError, match=f"2 devices can share evenly; got {n_members} instead"):
        spread(draw(n_members), TWO)


def test_what_is_spread_learns_the_same_and_nothing_passes_between_devices(lessons):
    run = jax.jit(jax.vmap(partial(learn, lessons, jax.random.key(0))))
    starts, rates = draw(4), RATES
    divided = spread(starts, TWO), spread(rates, TWO)
    program = run.lower(*divided).compile()
    # The pattern has to know what it looks for: a sum over the members is made by one of these.
    moves = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")
    total = jax.jit(lambda rates: rates.sum()).lower(divided[1]).compile()
    assert moves.search(total.as_text())
    assert not moves.search(program.as_text())
    state, history = program(*divided)
    for leaf in jax.tree.leaves((state, history)):
        assert [len(shard.data) for shard in leaf.addressable_shards] == [2, 2]
    # Two members' products are not those of four in width, and so in rounding.
    same((state, history), run(starts, rates), atol=1e-6)


def test_consulting_members_on_two_devices(lessons):
    over = jax.jit(jax.vmap(consult, in_axes=(None, 0)))
    same(over(spread(draw(4), TWO), lessons[0]), over(draw(4), lessons[0]), atol=1e-6)


def test_two_hosts_train_what_one_does(tmp_path):
    """Two processes with a device each, which `jax.distributed` makes one machine of."""
    as_hosts(training_hosts, 2, tmp_path)
    with jax.numpy_dtype_promotion("standard"):  # Adam raises a float to an integer
        ensemble = training_hosts.train(partial(spread, devices=TWO))
    one = training_hosts.train_one(jax.make_mesh((1,), ("batch",), devices=jax.devices()[:1]))
    # As many members on each device, and so the same program: nearly to the bit. Where a batch is
    # divided, its sum is taken in another order.
    for file, here, atol in (("hosts.npz", ensemble, 1e-6), ("one.npz", one, 1e-5)):
        leaves = jax.tree.leaves(here)
        with np.load(tmp_path / file) as there:
            for name, leaf in zip(there.files, leaves, strict=True):
                np.testing.assert_allclose(there[name], leaf, atol=atol, rtol=0)
        assert jnp.isfinite(leaves[0]).all()
