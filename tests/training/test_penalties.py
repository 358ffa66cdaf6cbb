"""Penalties: against NumPy, in each part of training, and what they do to the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnet
from jaxnet.training import (
    TrainState,
    fit,
    locality,
    mean_cost,
    smoothness,
    sparsity,
    train_epoch,
    train_step,
)


@pytest.fixture(scope="module")
def digits():
    return jaxnet.data.synthetic.sample(jax.random.key(0), 1_000)


@pytest.fixture
def as_users_have():
    """Adam needs promotion, which the other tests forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def params():
    return jaxnet.init(jax.random.key(1))


def by_loops(w):
    """The three penalties of one neuron, pixel by pixel."""
    grid = np.asarray(w, np.float64).reshape(28, 28)
    smooth = sum(
        (grid[y, x] - grid[y + dy, x + dx]) ** 2
        for y in range(28)
        for x in range(28)
        for dy, dx in ((0, 1), (1, 0))
        if y + dy < 28 and x + dx < 28
    )
    place = np.stack(np.mgrid[:28, :28], -1) / 28
    power = grid**2
    center = (power[..., None] * place).sum((0, 1)) / power.sum()
    local = (power * ((place - center) ** 2).sum(-1)).sum()
    return smooth, abs(grid).sum(), local


def test_values(params):
    expected = np.sum([by_loops(w) for w in params[0].weights], axis=0)
    ours = [penalty(params) for penalty in (smoothness, sparsity, locality)]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_zero_weights():
    zero = jaxnet.init(jax.random.key(0), initializer=jax.nn.initializers.zeros)
    for penalty in (smoothness, sparsity, locality):
        value, slope = jax.value_and_grad(penalty)(zero)
        assert value == 0
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_one_step_follows_both_gradients(digits, params):
    """With plain gradient descent the step is the gradient of cost plus penalty, times the rate."""
    sgd = optax.sgd(0.1)
    state = TrainState(params, sgd.init(params))
    state, score = train_step(state, *digits, optimizer=sgd, penalty=lambda p: 0.01 * smoothness(p))
    slope = jax.grad(lambda p: mean_cost(p, *digits) + 0.01 * smoothness(p))(params)
    for new, old, g in zip(*map(jax.tree.leaves, (state.params, params, slope)), strict=True):
        np.testing.assert_allclose(new, old - 0.1 * g, atol=1e-6)
    assert score.cost == mean_cost(params, *digits)  # without the penalty


def test_of_the_network_and_not_of_what_is_learned(digits):
    """With `network=`, the penalty is of the network that it builds."""
    sgd = optax.sgd(0.1)
    params = jaxnet.init(jax.random.key(1))
    seen = []

    def penalty(network):
        seen.append(jax.tree.map(jnp.shape, network))
        return sparsity(network)

    half = jax.tree.map(lambda a: a / 2, params)
    state = TrainState({"half": half}, sgd.init({"half": half}))
    train_step(
        state,
        *digits,
        optimizer=sgd,
        network=lambda p: jax.tree.map(lambda a: 2 * a, p["half"]),
        penalty=penalty,
    )
    assert seen[0] == jax.tree.map(jnp.shape, params)


@pytest.mark.full
@pytest.mark.parametrize("optimizer", [optax.adam(0.01), optax.lbfgs()], ids=["adam", "lbfgs"])
def test_smoother_weights(digits, optimizer, as_users_have):
    """L-BFGS also searches along a line, for which the cost includes the penalty."""
    key = jax.random.key(2)
    run = {"optimizer": optimizer, "epochs": 4, "batch_size": 100}
    plain, _ = fit(key, *digits, **run)
    smooth, history = fit(key, *digits, **run, penalty=lambda p: 0.01 * smoothness(p))
    roughness = [
        smoothness(state.params) / (state.params[0].weights ** 2).sum() for state in (plain, smooth)
    ]
    assert roughness[1] < 0.7 * roughness[0]
    assert jnp.isfinite(history.cost).all()


@pytest.mark.full
def test_a_sweep_in_one_vmap(digits, params, as_users_have):
    """Each member of a sweep is what it is alone."""

    def run(strength):
        return (
            train_epoch(
                jax.random.key(3),
                TrainState(params, adam.init(params)),
                *digits,
                optimizer=adam,
                batch_size=100,
                penalty=lambda p: strength * sparsity(p),
            )[0]
            .params[0]
            .weights
        )

    adam = optax.adam(0.01)
    strengths = jnp.array([0.0, 0.001, 0.01])
    together = jax.jit(jax.vmap(run))(strengths)
    for weights, strength in zip(together, strengths, strict=True):
        np.testing.assert_allclose(weights, run(strength), atol=1e-4)
    assert sparsity(((together[2], 0),)) < 0.7 * sparsity(((together[0], 0),))


def test_errors(digits, params):
    sgd = optax.sgd(0.1)
    state = TrainState(params, sgd.init(params))
    with pytest.raises(ValueError, match=r"penalty to return a scalar; got .* shape \(16,\)"):
        train_step(state, *digits, optimizer=sgd, penalty=lambda p: p[0].biases)
    oblong = jaxnet.init(jax.random.key(0), (10, 3))
    for penalty in (smoothness, locality):
        with pytest.raises(ValueError, match="square images, such as 784 inputs; got 10"):
            penalty(oblong)
    assert sparsity(oblong) > 0
