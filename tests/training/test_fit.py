"""Learning: costs against NumPy, steps against hand-made ones, runs on real digits."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnet
from jaxnet.data.augment import affine
from jaxnet.training import (
    MeanCost,
    TrainState,
    cross_entropy,
    evaluate,
    evaluation_params,
    fit,
    loss,
    quadratic_cost,
    train_epoch,
    train_step,
)
from tests.oracles import backpropagation, float64, matrix_form

pytestmark = [pytest.mark.core, pytest.mark.compiled]


@pytest.fixture
def adam():
    """Adam, under standard promotion: it raises a float to an integer, which is not strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield optax.adam(0.01)


@pytest.fixture(scope="module")
def digits():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1_000)
    return (255 * images).astype(jnp.uint8), labels


def start(optimizer, key=0, sizes=(784, 16, 16, 10)):
    params = jaxnet.init(jax.random.key(key), sizes)
    return TrainState(params, optimizer.init(params))


def same(one, other, atol=0.0):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), one, other)


def test_quadratic_cost(params, x):
    a = matrix_form(params, x)[-1]
    for y in range(10):
        right = np.arange(10) == y
        np.testing.assert_allclose(
            quadratic_cost(jaxnet.logits(params, x), jnp.int32(y)),
            ((a - right) ** 2).sum(),
            rtol=1e-5,
        )


def test_cross_entropy(params, x):
    a = matrix_form(params, x)[-1]
    odds = a / (1 - a)  # the exponential of the logits
    for y in range(10):
        np.testing.assert_allclose(
            cross_entropy(jaxnet.logits(params, x), jnp.int32(y)),
            -np.log(odds[y] / odds.sum()),
            rtol=1e-4,
        )


def test_cross_entropy_does_not_overflow():
    z = jnp.array([0.0, 1e4])
    assert cross_entropy(z, jnp.int32(0)) == 1e4
    assert cross_entropy(z, jnp.int32(1)) == 0


def test_step_against_backpropagation_by_hand(digits):
    images, labels = (part[:20] for part in digits)
    optimizer = optax.sgd(0.5)
    state = start(optimizer)
    quadratic = MeanCost(quadratic_cost)
    after, score = train_step(state, images, labels, optimizer=optimizer, loss=quadratic)

    pixels = np.asarray(images) / 255
    right = np.eye(10)[np.asarray(labels)]
    gradients = [backpropagation(state.params, x, y) for x, y in zip(pixels, right, strict=True)]
    for n, (w, b) in enumerate(float64(state.params)):
        w -= 0.5 * np.mean([g[n][0] for g in gradients], axis=0)
        b -= 0.5 * np.mean([g[n][1] for g in gradients], axis=0)
        same(after.params[n], jaxnet.Layer(w, b), atol=1e-6)
    expected = ((matrix_form(state.params, pixels)[-1] - right) ** 2).sum(1).mean()
    np.testing.assert_allclose(score.cost, expected, rtol=1e-5)


@pytest.mark.long
def test_bytes_and_floats(digits, adam):
    images, labels = digits
    optimizer = adam
    state = start(optimizer)
    same(
        train_step(state, images, labels, optimizer=optimizer),
        train_step(state, images.astype(jnp.float32) / 255, labels, optimizer=optimizer),
        atol=1e-6,
    )


@pytest.mark.long
def test_epoch_uses_every_image_once(digits):
    """With plain gradient descent at rate 0 but for a counter: the cost is the mean of all."""
    images, labels = digits
    optimizer = optax.set_to_zero()
    state = start(optimizer)
    same_state, score = train_epoch(
        jax.random.key(0), state, images, labels, optimizer=optimizer, batch_size=50
    )
    same(same_state, state)
    x = images.astype(jnp.float32) / 255
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(state.params, x)
    np.testing.assert_allclose(score.cost, jax.vmap(cross_entropy)(z, labels).mean(), rtol=1e-5)
    np.testing.assert_allclose(score.accuracy, (z.argmax(1) == labels).mean(), atol=1e-6)


@pytest.mark.long
def test_ensemble_members_train_as_if_alone(digits, adam):
    images, labels = digits
    optimizer = adam
    states = [start(optimizer, key) for key in range(3)]
    ensemble = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    augmented = MeanCost(augment=affine)
    one = partial(train_epoch, optimizer=optimizer, batch_size=100, loss=augmented)
    together, _ = jax.vmap(one, in_axes=(None, 0, None, None))(
        jax.random.key(5), ensemble, images, labels
    )
    for n, state in enumerate(states):
        alone, _ = one(jax.random.key(5), state, images, labels)
        # Ten steps of Adam, whose first divide rounding errors by gradients near zero.
        same(jax.tree.map(lambda leaf: leaf[n], together.params), alone.params, atol=2e-4)  # noqa: B023


@pytest.mark.long
def test_epoch_compiles_once(digits, adam):
    optimizer, augmented = adam, MeanCost(augment=affine)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(key, state, images, labels):
        return train_epoch(
            key, state, images, labels, optimizer=optimizer, batch_size=100, loss=augmented
        )

    state = start(optimizer)
    costs = []
    for key in jax.random.split(jax.random.key(0), 30):
        state, score = run(key, state, *digits)
        costs.append(float(score.cost))
    assert costs[-1] < costs[0] / 5
    assert evaluate(state.params, *digits).accuracy > 0.95


@pytest.mark.long
def test_relu_with_quadratic_cost(digits, adam):
    relu = MeanCost(quadratic_cost, squash="relu")
    learn = partial(
        fit,
        params=jaxnet.init(jax.random.key(0)),
        optimizer=optax.adam(0.003),
        epochs=40,
        batch_size=20,
        loss=relu,
    )
    state, history = jax.jit(learn)(jax.random.key(0), *digits)
    assert evaluate(state.params, *digits, loss=relu).accuracy > 0.9
    assert history.accuracy[-1] > 0.9


@pytest.mark.long
def test_mnist_accuracy_after_fifteen_epochs(mnist, adam):
    """The figure that is known of this network, trained plainly."""
    n_steps = 15 * 600
    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, n_steps))
    learn = jax.jit(partial(fit, optimizer=optimizer, epochs=15, batch_size=100))
    _, history = learn(jax.random.key(0), *mnist["train"], validation=tuple(mnist["test"]))
    assert history.validation.accuracy[-1] > 0.94


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 3000])
def test_evaluate_counts_every_image(params, n):
    images = jax.random.uniform(jax.random.key(0), (n, 784))
    labels = jax.random.randint(jax.random.key(1), (n,), 0, 10)
    a = matrix_form(params, images)[-1]
    score = evaluate(params, images, labels)
    right = a.argmax(1) == np.asarray(labels)
    np.testing.assert_allclose(score.accuracy, right.mean(), atol=1e-6)
    odds = a / (1 - a)  # the exponential of the logits
    costs = -np.log(odds[np.arange(n), labels] / odds.sum(1))
    np.testing.assert_allclose(score.cost, costs.mean(), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [0, -1, 1001])
def test_bad_batch_size(digits, batch_size):
    optimizer = optax.sgd(1)
    with pytest.raises(ValueError, match="from 1 to the 1000 images"):
        train_epoch(
            jax.random.key(0), start(optimizer), *digits, optimizer=optimizer, batch_size=batch_size
        )


@pytest.mark.slow
def test_augment_gets_one_key_per_image(digits):
    images, labels = digits
    optimizer = optax.set_to_zero()
    seen = []

    def erase(key, x):
        return jnp.zeros_like(x)

    def note(key, x):
        jax.debug.callback(lambda data: seen.append(tuple(data.tolist())), jax.random.key_data(key))
        return x

    run = partial(train_epoch, jax.random.key(0), start(optimizer), optimizer=optimizer)
    run = partial(run, batch_size=100)
    plain, erased = (
        run(images, labels, loss=MeanCost(augment=augment))[1].cost for augment in (None, erase)
    )
    empty = jnp.zeros_like(images)
    _, score = run(empty, labels)
    np.testing.assert_allclose(erased, score.cost, rtol=1e-6)
    assert abs(plain - erased) > 1e-3
    run(images, labels, loss=MeanCost(augment=note))
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 1_000


def test_numpy_arrays(digits):
    images, labels = np.asarray(digits[0]), np.asarray(digits[1]).astype(np.uint8)
    optimizer = optax.sgd(0.1)
    state, _ = train_epoch(
        jax.random.key(0), start(optimizer), images, labels, optimizer=optimizer, batch_size=100
    )
    right = (matrix_form(state.params, images / 255)[-1].argmax(1) == labels).mean()
    assert evaluate(state.params, images, labels).accuracy == pytest.approx(right)
    with jax.enable_x64(True):
        assert evaluate(state.params, images, labels).accuracy == pytest.approx(right)


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_bad_image_type(params, dtype):
    with pytest.raises(TypeError, match="uint8 or floats"):
        evaluate(params, np.zeros((5, 784), dtype), np.zeros(5, int))


SMALL = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))


def few(n, key=0):
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(key), n)
    return np.asarray((255 * images).astype(jnp.uint8)), np.asarray(labels)


@pytest.mark.long
def test_fit_equals_its_epochs(digits, adam):
    """Held against a loop over `train_epoch`; sums in another order make the difference."""
    state, history = fit(
        jax.random.key(3), *digits, adam, epochs=3, batch_size=100, validation=few(200, key=1)
    )
    key_init, key_epochs = jax.random.split(jax.random.key(3))
    params = jaxnet.init(key_init)
    one = TrainState(params, adam.init(params))
    run = jax.jit(partial(train_epoch, optimizer=adam, batch_size=100))
    for n, key in enumerate(jax.random.split(key_epochs, 3)):
        one, score = run(key, one, *digits)
        np.testing.assert_allclose(history.cost[n], score.cost, rtol=1e-4)
        np.testing.assert_allclose(history.accuracy[n], score.accuracy, atol=2e-3)
    same(state.params, one.params, atol=1e-3)
    unseen = evaluate(state.params, *few(200, key=1))
    np.testing.assert_allclose(history.validation.accuracy[-1], unseen.accuracy, atol=6e-3)


@pytest.mark.long
def test_vmapped_fit_equals_single_fits(digits):
    starts = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(1), 3))
    keys, rates = jax.random.split(jax.random.key(2), 3), jnp.array([0.1, 0.5, 1.0])

    def run(key, params, rate):
        return fit(key, *digits, optax.sgd(rate), params=params, epochs=2, batch_size=100)

    states, history = jax.jit(jax.vmap(run))(keys, starts, rates)
    for n in range(3):
        start = jax.tree.map(lambda leaf: leaf[n], starts)  # noqa: B023
        alone, alone_history = jax.jit(run)(keys[n], start, rates[n])
        same(jax.tree.map(lambda leaf: leaf[n], states), alone, atol=1e-5)  # noqa: B023
        np.testing.assert_allclose(history.cost[n], alone_history.cost, rtol=1e-5)
    assert len(set(history.cost[:, -1].tolist())) == 3


@pytest.mark.long
def test_injected_hyperparameters(digits):
    with jax.numpy_dtype_promotion("standard"):
        run = partial(fit, images=digits[0], labels=digits[1], epochs=1, batch_size=500)

        def with_rate(rate):
            optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=rate)
            return run(jax.random.key(0), optimizer=optimizer)[0]

        rates = jnp.array([0.0, 1.0])
        states = jax.jit(jax.vmap(with_rate))(rates)
        np.testing.assert_array_equal(states.opt_state.hyperparams["learning_rate"], rates)
        start = jaxnet.init(jax.random.split(jax.random.key(0))[0])
        same(jax.tree.map(lambda leaf: leaf[0], states.params), start)


@pytest.mark.long
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.lbfgs(),
        optax.contrib.sophia(0.01),
        optax.chain(optax.clip(1.0), optax.contrib.sam(optax.sgd(0.5), SMALL, opaque_mode=True)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.add_noise(0.01, 0.5, 1), optax.sgd(0.5)),
        optax.contrib.schedule_free_sgd(0.5),
        optax.lion(3e-3),
        optax.multi_transform(
            {"learns": optax.sgd(1.0), "stays": optax.set_to_zero()},
            lambda params: [("learns", "stays")] * len(params),
        ),
    ],
    ids=["lbfgs", "sophia", "opaque sam", "noisy", "schedule-free", "lion", "weights-only"],
)
def test_optax_chains(optimizer):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = [tuple(layer) for layer in jaxnet.init(jax.random.key(1))]
        run = partial(fit, epochs=2, batch_size=100, params=params, optimizer=optimizer)
        state, history = jax.jit(run)(jax.random.key(0), *few(500))
    assert history.cost[-1] < history.cost[0]
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


@pytest.mark.long
def test_soft_labels(digits):
    images, labels = digits
    optimizer, state = optax.sgd(0.5), start(optax.sgd(0.5))
    shares = jax.nn.one_hot(labels, 10)
    hard = train_step(state, images, labels, optimizer=optimizer)
    same(train_step(state, images, shares, optimizer=optimizer), hard, atol=1e-6)
    of_shares, of_digits = (evaluate(state.params, images, y) for y in (shares, labels))
    same(of_shares, of_digits, atol=1e-6)
    assert of_shares.accuracy == of_digits.accuracy


def test_optax_losses(digits):
    params = start(optax.sgd(1)).params
    plain, focal = (
        MeanCost(cost)(params, *digits)[0]
        for cost in (
            optax.softmax_cross_entropy_with_integer_labels,
            lambda z, y: optax.sigmoid_focal_loss(z, jax.nn.one_hot(y, 10)).sum(),
        )
    )
    np.testing.assert_allclose(plain, loss(params, *digits)[0], rtol=1e-6)
    # Lin et al., "Focal loss for dense object detection", 2017, equation 4, gamma 2, no alpha.
    p = matrix_form(params, np.asarray(digits[0]) / 255)[-1]
    p = np.where(np.eye(10)[np.asarray(digits[1])], p, 1 - p)
    expected = -((1 - p) ** 2 * np.log(p)).sum(1).mean()
    np.testing.assert_allclose(focal, expected, rtol=1e-5)


@pytest.mark.slow
def test_gradient_of_fit_by_learning_rate(digits):
    """The gradient of the last cost by the learning rate, held against a difference quotient."""
    images, labels = (part[:100] for part in digits)

    def last_cost(rate):
        state, _ = fit(jax.random.key(0), images, labels, optax.sgd(rate), epochs=2, batch_size=20)
        return loss(state.params, images, labels)[0]

    with jax.enable_x64(True):
        slope = jax.grad(last_cost)(0.3)
        step = 1e-3  # float32 images and weights: smaller steps drown in rounding
        quotient = (last_cost(0.3 + step) - last_cost(0.3 - step)) / (2 * step)
    np.testing.assert_allclose(slope, quotient, rtol=0.02)


def compiled_size(digits, *, epochs, members=2, n=None):
    images, labels = digits
    starts = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), members))
    run = partial(
        fit, images=images[:n], labels=labels[:n], optimizer=optax.sgd(1), epochs=epochs,
        batch_size=100,
    )  # fmt: skip
    lowered = jax.jit(jax.vmap(lambda params: run(jax.random.key(0), params=params))).lower(starts)
    return len(lowered.as_text().splitlines())


@pytest.mark.long
def test_program_size_is_constant(digits):
    base = compiled_size(digits, epochs=1)
    assert compiled_size(digits, epochs=1_000) == base
    assert compiled_size(digits, epochs=1, members=64) == base
    # Below a thousand images the order is sorted instead; above, nothing depends on how many.
    big = tuple(np.tile(np.asarray(part), (10, 1) if part.ndim == 2 else 10) for part in digits)
    assert abs(compiled_size(big, epochs=1) - compiled_size(digits, epochs=1)) <= 30


def test_uint8_until_the_step(digits):
    """No array of floats is as large as the images."""
    images, labels = digits
    optimizer = optax.sgd(1)
    run = jax.jit(partial(train_epoch, optimizer=optimizer, batch_size=10))
    text = run.lower(jax.random.key(0), start(optimizer), images, labels).as_text()
    assert "tensor<1000x784xui8>" in text
    assert "tensor<1000x784xf32>" not in text


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        ((10, 28, 28), 10, r"Expected images of shape \(n, 784\) .* got \(10, 28, 28\)"),
        ((10, 784), 9, r"one label per image; got \(10, 784\) and \(9,\)"),
    ],
)
def test_mismatched_arrays(images, labels, said):
    arrays = np.zeros(images, np.uint8), np.zeros(labels, int)
    run = partial(fit, optimizer=optax.sgd(1), epochs=1, batch_size=5)
    with pytest.raises(ValueError, match=said):
        run(jax.random.key(0), *arrays)


def test_zero_epochs(digits):
    with pytest.raises(ValueError, match="at least one epoch; got 0"):
        fit(jax.random.key(0), *digits, optax.sgd(1), epochs=0, batch_size=5)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", [optax.sgd(0.5, momentum=0.9), optax.lion(3e-3)])
def test_continued_fit_is_bit_identical(digits, optimizer):
    """To the last bit: the optimizer's memory, the schedule and the shuffles go on."""
    augmented = MeanCost(augment=affine)
    run = partial(fit, jax.random.key(3), *digits, optimizer, batch_size=50, loss=augmented)
    ten, history = run(epochs=10)
    six, before = run(epochs=6)
    four, after = run(epochs=4, state=six, first_epoch=6)
    jax.tree.map(np.testing.assert_array_equal, four, ten)
    np.testing.assert_array_equal(np.concatenate([before.cost, after.cost]), history.cost)


@pytest.mark.long
def test_continued_schedule(digits):
    rates = optax.piecewise_constant_schedule(1.0, {20: 0.0})  # one epoch, then nothing
    run = partial(fit, jax.random.key(3), *digits, optax.sgd(rates), batch_size=50)
    with jax.numpy_dtype_promotion("standard"):
        one, _ = run(epochs=1)
        two, _ = run(epochs=1, state=one, first_epoch=1)
    same(two.params, one.params)


def test_state_of_another_optimizer(digits):
    images, labels = digits
    state = TrainState(params := jaxnet.init(jax.random.key(0)), optax.sgd(0.1).init(params))
    call = partial(fit, jax.random.key(0), images, labels, optax.adam(0.1), batch_size=10)
    with pytest.raises(ValueError, match="Expected a state of this optimizer"):
        call(epochs=1, state=state)
    with pytest.raises(ValueError, match="Expected a state of this optimizer"):
        train_epoch(
            jax.random.key(0), state, images, labels, optimizer=optax.adam(0.1), batch_size=10
        )


def test_params_and_state_together(digits):
    state = start(optax.sgd(1))
    run = partial(fit, jax.random.key(0), *digits, optax.sgd(1), epochs=1, batch_size=50)
    with pytest.raises(ValueError, match="state to continue from; got both"):
        run(params=state.params, state=state)


def test_network_argument(digits):
    """One number, by which the weights are multiplied: its gradient against the network's."""
    images, labels = digits
    params = jaxnet.init(jax.random.key(1))

    def scaled(factor):
        return jax.tree.map(lambda leaf: factor * leaf, params)

    run = partial(fit, jax.random.key(0), images, labels, optax.sgd(0.1), epochs=1)
    of_one_number = MeanCost(network=scaled)
    state, history = run(batch_size=1_000, params=jnp.float32(1), loss=of_one_number)
    slope, _ = jax.grad(loss, has_aux=True)(params, images, labels)
    by_hand = sum(
        (s * p).sum() for s, p in zip(*map(jax.tree.leaves, (slope, params)), strict=True)
    )
    np.testing.assert_allclose(state.params, 1 - 0.1 * by_hand, rtol=1e-5)
    np.testing.assert_allclose(history.cost[0], loss(params, images, labels)[0], rtol=1e-5)
    score = evaluate(state.params, images, labels, loss=of_one_number)
    same(score, evaluate(scaled(state.params), images, labels), atol=1e-6)


@pytest.mark.long
def test_bfloat16_with_float32_masters(digits):
    """Many more digits of the weights are kept than the network computes with."""

    def halved(params):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)

    images, labels = digits[0].astype(jnp.bfloat16) / jnp.bfloat16(255), digits[1]
    in_half = MeanCost(network=halved)
    run = partial(fit, optimizer=optax.sgd(1.0), epochs=20, batch_size=20, loss=in_half)
    state, history = jax.jit(run)(jax.random.key(0), images, labels)
    assert state.params[0].weights.dtype == jnp.float32
    assert history.cost.dtype == history.accuracy.dtype == jnp.float32
    assert history.accuracy[-1] > 0.9


@pytest.mark.long
def test_accuracy_in_bfloat16():
    """997 of 1,000 right are not 1, the nearest that bfloat16 has."""
    params = (jaxnet.Layer(jnp.eye(2, dtype=jnp.bfloat16), jnp.zeros(2, jnp.bfloat16)),)
    images = jnp.tile(jnp.array([[1, 0]], jnp.bfloat16), (1_000, 1))
    labels = (jnp.arange(1_000) < 3).astype(jnp.int32)
    np.testing.assert_allclose(evaluate(params, images, labels).accuracy, 0.997, atol=1e-6)
    optimizer = optax.set_to_zero()
    state = TrainState(params, optimizer.init(params))
    _, score = train_step(state, images, labels, optimizer=optimizer)
    np.testing.assert_allclose(score.accuracy, 0.997, atol=1e-6)
    assert score.cost.dtype == jnp.float32


@pytest.mark.long
def test_adam_in_float16(digits):
    params = jaxnet.init(jax.random.key(0), dtype=jnp.float16)
    images = digits[0].astype(jnp.float16) / jnp.float16(255)
    run = partial(fit, jax.random.key(0), images, digits[1], epochs=1, batch_size=100)
    with jax.numpy_dtype_promotion("standard"):
        with pytest.raises(ValueError, match=r"its epsilon underflows.* eps=1e-4"):
            run(optax.adam(0.01), params=params)
        state, _ = run(optax.adam(0.01, eps=1e-4), params=params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


@pytest.mark.long
@pytest.mark.parametrize(
    ("optimizer", "start_of"),
    [
        (optax.contrib.schedule_free_sgd(0.5), lambda params: params),
        (optax.lookahead(optax.sgd(0.5), 7, 0.5), optax.LookaheadParams.init_synced),
        (
            optax.chain(optax.clip(1.0), optax.contrib.schedule_free_sgd(0.5)),
            lambda params: params,
        ),
    ],
    ids=["schedule-free", "lookahead", "in a chain"],
)
def test_evaluation_params_are_scored(digits, optimizer, start_of):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = start_of(jaxnet.init(jax.random.key(1)))
        run = partial(fit, optimizer=optimizer, epochs=3, batch_size=20, params=params)
        state, history = jax.jit(run)(jax.random.key(0), *digits, validation=few(200, key=1))
        used = evaluation_params(state)
        trained = getattr(state.params, "fast", state.params)
        assert abs(used[0].weights - trained[0].weights).max() > 1e-4
        np.testing.assert_allclose(
            history.validation.cost[-1], loss(used, *few(200, key=1))[0], rtol=1e-4
        )


@pytest.mark.long
def test_per_image_clipping(digits):
    """Without noise, against each image's gradient clipped and averaged by hand."""
    images, labels = (part[:40] for part in digits)
    private = optax.contrib.differentially_private_aggregate(0.1, 0.0, jax.random.key(0))
    optimizer = optax.chain(private, optax.sgd(1.0))
    params = jaxnet.init(jax.random.key(1))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        state = TrainState(params, optimizer.init(params))
        after, score = train_step(state, images, labels, optimizer=optimizer)
    total = jax.tree.map(jnp.zeros_like, params)
    for n in range(40):
        slope, _ = jax.grad(loss, has_aux=True)(params, images[n : n + 1], labels[n : n + 1])
        shrink = min(1.0, 0.1 / float(optax.tree.norm(slope)))
        total = jax.tree.map(lambda t, s: t + shrink * s / 40, total, slope)  # noqa: B023
    same(after.params, jax.tree.map(jnp.subtract, params, total), atol=1e-6)
    expected, metrics = loss(params, images, labels)
    np.testing.assert_allclose(score.cost, expected, rtol=1e-5)
    np.testing.assert_allclose(score.accuracy, metrics["accuracy"], atol=1e-6)


def test_loops_outside_jit_compile_once(digits):
    optimizer, traces = optax.sgd(0.1), []

    def counted(z, y):
        traces.append(1)
        return cross_entropy(z, y)

    state = start(optimizer)
    run = partial(train_epoch, optimizer=optimizer, batch_size=100)
    for key in jax.random.split(jax.random.key(0), 3):
        state, _ = run(key, state, *digits, loss=MeanCost(counted))
    once = len(traces)
    for n in range(3):
        state, _ = run(jax.random.key(n), state, *digits, loss=MeanCost(counted))
    assert len(traces) == once <= 4  # scan traces its body a few times


def test_functions_that_hold_arrays(digits):
    """They have no hash, and no cache can hold them."""
    cost = jax.tree_util.Partial(lambda by, z, y: by * cross_entropy(z, y), jnp.float32(2))
    state = start(optax.sgd(0.1))
    _, score = train_step(state, *digits, optimizer=optax.sgd(0.1), loss=MeanCost(cost))
    np.testing.assert_allclose(score.cost, 2 * loss(state.params, *digits)[0], rtol=1e-6)


@pytest.mark.long
def test_no_tracer_leaks(digits):
    """An optimizer that holds a tracer must not be cached."""
    rates = jnp.array([0.1, 0.5])

    def run(rate):
        run = partial(fit, jax.random.key(0), *digits, optax.sgd(rate), epochs=1)
        return run(batch_size=100)[1].cost

    with jax.checking_leaks():
        mapped, compiled = jax.vmap(run)(rates), jax.jit(jax.vmap(run))(rates)
    np.testing.assert_allclose(mapped, compiled, rtol=1e-5)


@pytest.mark.long
def test_initializers_get_fan_in():
    """He's variance is 2 / in, LeCun's 1 / in; Glorot's would not tell in from out."""
    make = jax.nn.initializers
    for initializer, factor in ((make.he_normal(), 2), (make.lecun_uniform(), 1)):
        first, second = jaxnet.init(jax.random.key(0), (1_000, 50, 400), initializer=initializer)
        np.testing.assert_allclose(first.weights.var(), factor / 1_000, rtol=0.05)
        np.testing.assert_allclose(second.weights.var(), factor / 50, rtol=0.05)
    glorot = jaxnet.init(jax.random.key(0), initializer=make.glorot_uniform())
    assert abs(glorot[0].weights).max() <= (6 / 800) ** 0.5


WRONG_LABELS = {
    "a column": (lambda y: y[:, None], r"got int32\[1\] instead.* pass labels\[:, 0\]"),
    "floats": (lambda y: y.astype(jnp.float32), r"as an integer, its digit.* got float32\[\]"),
    "too large": (lambda y: y.at[7].set(10), "from 0 to 9, .* got 10 for image 7"),
    "negative": (lambda y: y.at[3].set(-1), "got -1 for image 3"),
    "a list": (
        lambda y: y.tolist(),
        r"a NumPy or JAX array of numbers, or a pytree .* got list .* jax.numpy.asarray\(labels\)",
    ),
    "too few": (lambda y: y[:-1], r"got \(1000, 784\) and \(999,\)"),
}


@pytest.mark.parametrize("what", WRONG_LABELS)
@pytest.mark.parametrize("cost", [cross_entropy, quadratic_cost])
def test_bad_labels(digits, what, cost):
    spoil, says = WRONG_LABELS[what]
    images, labels = digits[0], spoil(digits[1])
    state, optimizer, loss = start(optax.sgd(0.1)), optax.sgd(0.1), MeanCost(cost)
    run = partial(fit, jax.random.key(0), optimizer=optimizer, epochs=1, batch_size=100, loss=loss)
    for call in (
        lambda: run(images, labels),
        lambda: run(*digits, validation=(images, labels)),
        lambda: train_epoch(
            jax.random.key(0), state, images, labels, optimizer=optimizer, batch_size=9, loss=loss
        ),
        lambda: evaluate(state.params, images, labels, loss=loss),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            call()


@pytest.mark.parametrize(
    "wrong", [lambda x, y: x, lambda x, y: (x, y, y), lambda x, y: {1: x, 2: y}]
)
def test_bad_validation(digits, wrong):
    run = partial(fit, jax.random.key(0), *digits, optax.sgd(1), epochs=1, batch_size=9)
    with pytest.raises(TypeError, match=r"validation as a pair, \(images, labels\); got"):
        run(validation=wrong(*digits))
