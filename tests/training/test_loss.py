"""The loss: costs, weights, metrics and labels of every kind, against NumPy in float64."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from scipy.special import expit, log_softmax

import jaxnet
from jaxnet import training
from jaxnet.training import (
    MeanCost,
    Ratio,
    Score,
    TrainState,
    cross_entropy,
    evaluate,
    fit,
    quadratic_cost,
    train_epoch,
    train_step,
)
from tests.laws import quick
from tests.oracles import backpropagation, float64, matrix_form

pytestmark = pytest.mark.compiled

SIZES = (6, 5, 4)
SGD = optax.sgd(0.5)
STILL = optax.set_to_zero()  # the network stays what it is, so that the order does not matter
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    """A random network of 6, 5 and 4 neurons that answers with each digit now and then."""
    rng, layers = np.random.default_rng(0), []
    for n_in, n_out in pairwise(SIZES):
        w = rng.normal(scale=3, size=(n_out, n_in))
        layers.append(jaxnet.Layer(jnp.float32(w), jnp.float32(-w.sum(1) / 2)))
    images, _ = draw(1_000)
    shares = np.bincount(logits(layers, images).argmax(1), minlength=4) / 1_000
    assert shares.min() > 0.05
    return tuple(layers)


def draw(n, seed=1):
    """Images and digits as NumPy arrays; the network is right about some."""
    rng = np.random.default_rng(seed)
    return rng.random((n, SIZES[0]), "f"), rng.integers(SIZES[-1], size=n, dtype=np.int32)


def logits(params, images):
    a = matrix_form(params, images)[-1]
    return np.log(a / (1 - a))


def costs(params, images, labels):
    """The cross-entropy of each image."""
    return -log_softmax(logits(params, images), axis=1)[np.arange(len(labels)), labels]


def right(params, images, labels):
    return logits(params, images).argmax(1) == labels


def state_of(params, optimizer=SGD):
    return TrainState(params, optimizer.init(params))


def same(one, other, atol=0.0):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol, rtol=0), one, other)


def close(got, expected, atol=1e-5):
    np.testing.assert_allclose(got, expected, atol=atol, rtol=0)


def scores(loss, params, images, labels, batch_size=10, how=quick):
    """The score of one network by each function that returns one, by name.

    All are compiled as one program, or each compiles itself.
    """
    images, labels = jax.tree.map(jnp.asarray, (images, labels))

    def run(params, images, labels):
        options, state = {"optimizer": STILL, "loss": loss}, state_of(params, STILL)
        _, step = train_step(state, images, labels, KEY, **options)
        options["batch_size"] = batch_size
        _, epoch = train_epoch(KEY, state, images, labels, **options)
        _, history = fit(
            KEY, images, labels, **options, params=params, epochs=2, validation=(images, labels)
        )
        first, second = (jax.tree.map(lambda a: a[n], history) for n in range(2))  # noqa: B023
        return {
            "train_step": step,
            "train_epoch": epoch,
            "fit": Score(first.cost, first.metrics),
            "fit, second epoch": Score(second.cost, second.metrics),
            "validation": first.validation,
            "validation, second epoch": second.validation,
            "evaluate": evaluate(params, images, labels, loss=loss),
        }

    return how(run)(params, images, labels).items()


def eagerly(f):
    return f


# Costs and squashes.


@pytest.mark.parametrize("name", ["cross-entropy", "quadratic"])
@pytest.mark.parametrize("squash", ["sigmoid", "relu"])
def test_mean_cost_in_numpy(params, name, squash):
    images, labels = draw(30)
    (w1, b1), (w2, b2) = float64(params)
    z = images @ w1.T + b1
    a = expit(z) if squash == "sigmoid" else np.maximum(z, 0)
    z = a @ w2.T + b2
    expected = {
        "cross-entropy": -log_softmax(z, axis=1)[np.arange(30), labels],
        "quadratic": ((expit(z) - np.eye(4)[labels]) ** 2).sum(1),
    }[name]
    cost = {"cross-entropy": cross_entropy, "quadratic": quadratic_cost}[name]
    for loss in (
        MeanCost(cost, squash=squash),
        MeanCost(cost, squash=jaxnet.network.SQUASHES[squash]),
    ):
        value, metrics = loss(params, images, labels)
        close(value, expected.mean())
        close(metrics["accuracy"], (z.argmax(1) == labels).mean())
        for _, score in scores(loss, params, images, labels):
            close(score.cost, expected.mean())
            close(score.accuracy, (z.argmax(1) == labels).mean())
    assert 0 < metrics["accuracy"] < 1


def test_default_loss_is_cross_entropy(params):
    images, labels = draw(30)
    cost, metrics = training.loss(params, images, labels)
    close(cost, costs(params, images, labels).mean())
    close(metrics["accuracy"], right(params, images, labels).mean())
    assert training.loss == MeanCost()


# Labels without an output.

OUTSIDE = [np.int32(-1), np.int32(4), np.int32(10), np.uint8(255), np.uint8(4), np.int8(-128)]


@pytest.mark.parametrize("label", OUTSIDE, ids=repr)
@pytest.mark.parametrize("cost", [cross_entropy, quadratic_cost])
def test_label_outside_the_outputs_under_jit(params, cost, label):
    """JAX would take -1 for the last output, and 10 for it as well."""
    images, labels = draw(5)
    labels = labels.astype(label.dtype)
    labels[3] = label
    loss = MeanCost(cost)
    slope = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, metrics), gradient = slope(params, images, labels)
    assert np.isnan(value)
    assert np.isnan(metrics["accuracy"])
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(gradient))
    (value, _), gradient = slope(params, images[:3], labels[:3])  # the others are fine
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))

    run = jax.jit(partial(train_step, optimizer=SGD, loss=loss))
    state, score = run(state_of(params), images, labels)
    assert np.isnan(score.cost)
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert np.isnan(jax.jit(partial(evaluate, loss=loss))(params, images, labels).cost)


@pytest.mark.parametrize("label", OUTSIDE, ids=repr)
@pytest.mark.parametrize("cost", [cross_entropy, quadratic_cost])
@pytest.mark.parametrize("put", [np.asarray, jnp.asarray], ids=["NumPy", "JAX"])
def test_label_outside_the_outputs_eagerly(params, cost, label, put):
    images, labels = draw(20)
    bad = labels.astype(label.dtype)
    bad[[13, 17]] = label
    bad, loss, state = put(bad), MeanCost(cost), state_of(params)
    once = {"optimizer": SGD, "batch_size": 5, "loss": loss}
    calls = [
        lambda: fit(KEY, images, bad, **once, epochs=1, params=params),
        lambda: fit(KEY, images, bad, **once, epochs=1, state=state),
        lambda: fit(KEY, images, labels, **once, epochs=1, params=params, validation=(images, bad)),
        lambda: train_epoch(KEY, state, images, bad, **once),
        lambda: evaluate(params, images, bad, loss=loss),
    ]
    if put is np.asarray:
        calls.append(lambda: train_step(state, images, bad, optimizer=SGD, loss=loss))
    for call in calls:
        with pytest.raises(ValueError, match=f"from 0 to 3, .* got {label} for image 13 instead"):
            call()


def test_step_does_not_wait_for_labels_on_a_device(params):
    """A check of their values would; instead, they make the params NaN."""
    images, labels = draw(5)
    state, score = train_step(
        state_of(params), images, jnp.asarray(labels).at[2].set(-1), optimizer=SGD
    )
    assert np.isnan(score.cost)
    assert np.isnan(state.params[0].weights).all()


def test_labels_of_an_own_cost_are_its_own(params):
    """-1 may mean anything to it; nothing is refused, and nothing is NaN but the accuracy."""
    images, labels = draw(20)
    some = np.where(np.arange(20) < 8, -1, labels)
    ignoring = MeanCost(lambda z, y: jnp.where(y < 0, 0.0, cross_entropy(z, jnp.maximum(y, 0))))
    expected = costs(params, images, labels)[8:].sum() / 20
    for name, score in scores(ignoring, params, images, some, how=eagerly):
        close(score.cost, expected)
        assert np.isnan(score.accuracy), name


# Accuracy is right, or there is none.


def sum_of_squares(z, y):
    return ((z[:, None] - y.astype(z.dtype)[None]) ** 2).sum()


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(11, dtype=np.float32)[np.arange(20) % 11],
        np.eye(2, dtype=np.float32)[np.arange(20) % 2],
        np.arange(60).reshape(20, 3) % 2,  # three yes-or-nos
        np.arange(60).reshape(20, 3) % 2 == 0,
        np.arange(40).reshape(20, 2),  # bytes, say, of another picture
        np.linspace(0, 1, 20, dtype=np.float32),
        np.arange(20) % 2 == 0,
        {"digit": np.arange(20) % 4},
    ],
    ids=["11 shares", "2 shares", "3 bits", "3 booleans", "2 integers", "floats", "bits", "dict"],
)
def test_no_accuracy_where_labels_are_no_digits(params, labels):
    """It used to be the share of images whose largest label and output agree by chance."""
    images, _ = draw(20)
    loss = MeanCost(lambda z, y: sum_of_squares(z, jnp.ravel(y["digit"] if type(y) is dict else y)))
    for name, score in scores(loss, params, images, labels):
        assert np.isfinite(score.cost), name
        assert score.metrics == {}
        assert not hasattr(score, "accuracy")
        with pytest.raises(AttributeError, match=r"no accuracy for these labels: return \(cost, "):
            _ = score.accuracy
    _, history = fit(KEY, images, labels, STILL, params=params, epochs=1, batch_size=5, loss=loss)
    with pytest.raises(AttributeError, match="The loss returns no accuracy for these labels"):
        _ = history.accuracy


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int8])
def test_accuracy_of_digits_by_an_own_cost(params, dtype):
    images, labels = draw(30)
    hinge = MeanCost(lambda z, y: optax.losses.multiclass_hinge_loss(z, y.astype(int)))
    expected = right(params, images, labels).mean()
    assert 0 < expected < 1
    for _, score in scores(hinge, params, images, labels.astype(dtype)):
        close(score.accuracy, expected)


def test_accuracy_of_shares(params):
    """The digit of a share is the largest one."""
    images, labels = draw(30)
    shares = 0.1 + 0.6 * np.eye(4, dtype="f")[labels]
    expected = -(log_softmax(logits(params, images), axis=1) * shares).sum(1).mean()
    for _, score in scores(training.loss, params, images, shares):
        close(score.cost, expected)
        close(score.accuracy, right(params, images, labels).mean())


@pytest.mark.parametrize("form", ["digits", "a column of floats"])
def test_single_output(form):
    """Binary cross-entropy; the answer is whether the sigmoid exceeds one half."""
    rng = np.random.default_rng(3)
    params = (jaxnet.Layer(jnp.float32([[1, -1, 1, -1, 1, -1]]), jnp.zeros(1)),)
    images = rng.random((40, 6), "f")
    labels = rng.integers(2, size=40, dtype=np.int32)
    given = labels if form == "digits" else labels[:, None].astype("f")
    p = matrix_form(params, images)[-1][:, 0]
    expected = -np.log(np.where(labels == 1, p, 1 - p)).mean()
    assert 0.2 < (p > 0.5).mean() < 0.8
    for _, score in scores(training.loss, params, images, given):
        close(score.cost, expected)
        close(score.accuracy, ((p > 0.5) == labels).mean())
    for _, score in scores(MeanCost(quadratic_cost), params, images, labels):
        close(score.cost, ((p - labels) ** 2).mean())
        close(score.accuracy, ((p > 0.5) == labels).mean())
    with pytest.raises(ValueError, match=r"from 0 to 1, .* got 2 for image 0"):
        evaluate(params, images, labels + 2)


def test_learning_with_a_single_output():
    images, labels = jaxnet.data.synthetic.sample(KEY, 1_000)
    params = jaxnet.init(KEY, (784, 16, 1))
    run = partial(fit, KEY, images, (labels == 7).astype(int), optax.sgd(2.0), params=params)
    state, history = run(epochs=30, batch_size=20)
    assert history.accuracy[-1] > 0.98
    assert evaluate(state.params, images, (labels == 7).astype(int)).accuracy > 0.98


# Weights.

WEIGHTED = MeanCost(weighted=True)


def test_weighted_step_by_hand(params):
    """The step is that of the sum of weight times gradient, divided by the number of images."""
    images, labels = draw(30)
    weights = np.random.default_rng(2).uniform(0, 3, 30).astype("f")
    loss = MeanCost(quadratic_cost, weighted=True)
    weights[:3] *= -1  # to be unlearned
    state, score = train_step(state_of(params), images, (labels, weights), optimizer=SGD, loss=loss)
    rights = np.eye(4)[labels]
    gradients = [backpropagation(params, x, y) for x, y in zip(images, rights, strict=True)]
    for n, (w, b) in enumerate(float64(params)):
        w -= 0.5 * sum(v * g[n][0] for v, g in zip(weights, gradients, strict=True)) / 30
        b -= 0.5 * sum(v * g[n][1] for v, g in zip(weights, gradients, strict=True)) / 30
        same(state.params[n], jaxnet.Layer(w, b), atol=1e-5)
    squares = ((matrix_form(params, images)[-1] - rights) ** 2).sum(1)
    close(score.cost, (weights * squares).sum() / 30)
    hits = right(params, images, labels)
    close(score.accuracy, (weights * hits).sum() / weights.sum())


@pytest.mark.parametrize(
    ("n", "batch_size"), [(30, 30), (30, 10), (30, 2), (30, 1), (1_100, 1_100), (2_600, 13)]
)
def test_weighted_scores_are_exact(params, n, batch_size):
    """Batches differ in total weight, and some have none; so do the tiles of `evaluate`.

    A mean of the batches' accuracies would weigh all batches alike, and is NaN if one has none.
    """
    images, labels = draw(n)
    weights = np.random.default_rng(2).uniform(0, 3, n).astype("f")
    weights[: 2 * n // 5] = 0  # all of a tile of 1,024 images, where there are more
    weighted, hits = weights * costs(params, images, labels), right(params, images, labels)
    accuracy = (weights * hits).sum() / weights.sum()
    assert abs(accuracy - hits.mean()) > 1e-3
    for _, score in scores(WEIGHTED, params, images, (labels, weights), batch_size):
        close(score.cost, weighted.sum() / n)
        close(score.accuracy, accuracy)


def test_weighted_metrics_of_a_direct_call(params):
    images, labels = draw(30)
    weights = np.linspace(0, 3, 30, dtype="f")
    _, metrics = WEIGHTED(params, images, (labels, weights))
    hits = right(params, images, labels)
    assert isinstance(metrics["accuracy"], Ratio)
    close(metrics["accuracy"].part, (weights * hits).mean())
    close(metrics["accuracy"].whole, weights.mean())


def test_no_weight_at_all(params):
    images, labels = draw(10)
    for _, score in scores(WEIGHTED, params, images, (labels, np.zeros(10, "f")), batch_size=5):
        assert score.cost == 0
        assert np.isnan(score.accuracy)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, bool])
def test_weights_as_repeats(params, dtype):
    """Weight 2 is the image given twice, weight 0 is the image left out."""
    images, labels = draw(60)
    counts = np.repeat([0, 1, 2], 20) if dtype is not bool else np.repeat([0, 1], 30)
    often = np.repeat(np.arange(60), counts)
    step = partial(train_step, state_of(params), optimizer=SGD)
    weighed, score = step(images, (labels, counts.astype(dtype)), loss=WEIGHTED)
    rate = optax.sgd(0.5 * len(often) / 60)  # the cost is divided by 60, either way
    given, again = train_step(state_of(params, rate), images[often], labels[often], optimizer=rate)
    same(weighed.params, given.params, atol=1e-6)
    close(score.cost, again.cost * len(often) / 60)
    close(score.accuracy, again.accuracy)


def test_weights_of_one_change_nothing(params):
    images, labels = draw(40)
    ones = labels, np.ones(40, "f")
    run = partial(fit, KEY, images, optimizer=SGD, params=params, epochs=2, batch_size=10)
    plain, weighed = run(labels), run(ones, loss=WEIGHTED)
    same(weighed, plain, atol=1e-6)


@pytest.mark.parametrize("label", [np.int32(-1), np.uint8(255), np.int32(10)], ids=repr)
@pytest.mark.parametrize("cost", [cross_entropy, quadratic_cost])
def test_ignored_images_may_have_any_label(params, cost, label):
    """The same bits as with any label of an output; neither refused nor NaN."""
    images, labels = draw(40)
    labels = labels.astype(label.dtype)
    weights = (np.arange(40) % 3 > 0).astype("f")
    unlabeled = np.where(weights == 0, label, labels)
    assert unlabeled.dtype == label.dtype
    loss = MeanCost(cost, weighted=True)
    run = partial(fit, KEY, images, optimizer=SGD, params=params, epochs=3, batch_size=8, loss=loss)
    given = labels, weights
    expected, got = (
        run((y, weights), validation=(images, (y, weights))) for y in (labels, unlabeled)
    )
    same(got, expected)
    step = partial(train_step, state_of(params), images, optimizer=SGD, loss=loss)
    same(step((unlabeled, weights)), step(given))
    same(
        evaluate(params, images, (unlabeled, weights), loss=loss),
        evaluate(params, images, given, loss=loss),
    )
    with pytest.raises(ValueError, match=f"got {label} for image 0 .* give it the weight 0"):
        run((unlabeled, np.ones(40, "f")))


def test_ignored_digit_is_not_learned():
    """A network for which no nine has any weight does not learn nines."""
    images, labels = jaxnet.data.synthetic.sample(KEY, 1_000)
    weights = (labels != 9).astype(jnp.float32)
    run = partial(fit, optimizer=optax.sgd(2.0), epochs=30, batch_size=20, loss=WEIGHTED)
    state, _ = jax.jit(run)(KEY, images, (labels, weights))
    nine = np.asarray(labels) == 9
    assert evaluate(state.params, images[nine], labels[nine]).accuracy == 0
    assert evaluate(state.params, images[~nine], labels[~nine]).accuracy > 0.9


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda y, w: (y, w[:, None]), ValueError, r"each of the 30 images; got \(30, 1\)"),
        (lambda y, w: (y, w[0]), TypeError, "labels as a NumPy or JAX array"),
        (lambda y, w: (y, w[:29]), ValueError, r"one label per image; got \(30, 6\) and .*\(29,\)"),
        (lambda y, w: y, TypeError, r"labels as a pair, \(labels, weights\); got"),
        (lambda y, w: (y, w, w), TypeError, r"labels as a pair, \(labels, weights\); got tuple"),
        (lambda y, w: {"y": y, "w": w}, TypeError, r"as a pair, \(labels, weights\); got dict"),
    ],
)
def test_bad_weights(params, wrong, error, says):
    images, labels = draw(30)
    bad = wrong(labels, np.ones(30, "f"))
    for call in (
        lambda: fit(KEY, images, bad, SGD, params=params, epochs=1, batch_size=5, loss=WEIGHTED),
        lambda: train_step(state_of(params), images, bad, optimizer=SGD, loss=WEIGHTED),
        lambda: evaluate(params, images, bad, loss=WEIGHTED),
    ):
        with pytest.raises(error, match=says):
            call()


def test_weighted_with_each_gradient_clipped(params):
    """For differential privacy the loss gets one image at a time, and so do its metrics."""
    images, labels = draw(30)
    weights = np.linspace(0, 3, 30, dtype="f")
    private = optax.contrib.differentially_private_aggregate(1e9, 0.0, jax.random.key(0))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        optimizer = optax.chain(private, SGD)
        state, score = train_step(
            state_of(params, optimizer), images, (labels, weights), optimizer=optimizer,
            loss=WEIGHTED,
        )  # fmt: skip
    expected, of_all = train_step(
        state_of(params), images, (labels, weights), optimizer=SGD, loss=WEIGHTED
    )
    same(state.params, expected.params, atol=1e-6)
    same(score, of_all, atol=1e-6)


# Losses of one's own. They need no network: one number w is enough, whose course is known.


def drawn_to_three(params, images, labels, key):
    """One step of gradient descent takes w closer to 3 by the share of the learning rate."""
    cost = 0.5 * (params - 3) ** 2
    brightest = images.max() + 0 * params
    return cost, {
        "w": params,
        "step": {
            "above one": params > 1,
            "label": labels.sum(),
            "two": 2,
            "three": 3.0,
            "yes": True,
        },
        "brightest": (brightest, [brightest**2]),
    }


def test_metrics_of_each_epoch_by_a_loop_in_numpy():
    """Two images per step, five steps per epoch; bools and integers are averaged as numbers."""
    images = np.repeat(np.linspace(0, 1, 10, dtype="f")[:, None], 6, axis=1)
    labels = np.arange(10, dtype=np.int32)
    _, history = fit(
        KEY, images, labels, SGD, params=jnp.float32(0), epochs=3, batch_size=2,
        loss=drawn_to_three, validation=(images, labels),
    )  # fmt: skip
    w = 0.0
    for epoch in range(3):
        course = []
        for _ in range(5):
            course.append(w)
            w -= 0.5 * (w - 3)
        now = jax.tree.map(lambda a: a[epoch], history)  # noqa: B023
        course = np.array(course)
        close(now.cost, (0.5 * (course - 3) ** 2).mean(), atol=1e-6)
        close(now.metrics["w"], course.mean(), atol=1e-6)
        step = now.metrics["step"]
        close(step["above one"], (course > 1).mean(), atol=1e-6)
        close(step["label"], labels.sum() / 5, atol=1e-6)
        assert (step["two"], step["three"], step["yes"]) == (2, 3, 1)
        assert now.validation.metrics["w"] == pytest.approx(w)
        assert now.validation.metrics["step"]["label"] == 45
        brightest, [squared] = now.validation.metrics["brightest"]
        assert brightest == squared == 1
        kinds = {leaf.dtype for leaf in jax.tree.leaves(now)}
        assert kinds == {np.dtype("float32")}
    assert 0 < history.metrics["step"]["above one"][0] < 1
    assert not hasattr(history, "accuracy")


def test_loss_that_returns_a_scalar():
    images, labels = draw(10)

    def loss(params, images, labels, key):
        return 0.5 * (params - 3) ** 2

    for name, score in scores(loss, jnp.float32(1), images, labels):
        assert score == (2, {}), name
        assert not hasattr(score, "accuracy")
    state, history = fit(
        KEY, images, labels, SGD, params=jnp.float32(1), epochs=2, batch_size=10, loss=loss
    )
    assert state.params == 2.5
    np.testing.assert_array_equal(history.cost, [2, 0.5])
    assert history.metrics == {}


def test_scores_of_evaluate_are_means_of_images():
    """1,500 images are a tile of 1,024 and one of 476, which count by their sizes."""
    images, labels = draw(1_500)

    def loss(params, images, labels, key):
        return (params * images).mean(), {"label": labels.mean(), "n": len(images)}

    score = evaluate(jnp.float32(2), images, labels, loss=loss)
    close(score.cost, 2 * images.mean(dtype=np.float64))
    close(score.metrics["label"], labels.mean())
    close(score.metrics["n"], (1_024**2 + 476**2) / 1_500, atol=1e-3)


def test_half_precision_is_averaged_in_float32():
    """The mean of 1 and the next number that bfloat16 has is no number that it has."""
    images, labels = draw(10)[0], np.tile(np.float32([1, 1 + 2**-7]), 5)

    def loss(params, images, labels, key):
        cost = params * labels.mean().astype(jnp.bfloat16)
        return cost, {"same": cost}

    params = jnp.bfloat16(1)
    _, score = train_epoch(
        KEY, state_of(params, STILL), images, labels, optimizer=STILL, batch_size=1, loss=loss
    )
    for number in (score.cost, score.metrics["same"]):
        assert number.dtype == jnp.float32
        assert number == 1 + 2**-8


@pytest.mark.parametrize(("n", "batch_size"), [(40, 4), (40, 1), (1_500, 15), (3_000, 3_000)])
def test_ratio_is_exact_over_batches(params, n, batch_size):
    """The precision of twos: batches differ in how many they have, and some have none."""
    images, labels = draw(n)

    def loss(params, images, labels, key):
        cost, metrics = training.loss(params, images, labels)
        z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, images)
        says, is_two = z.argmax(1) == 2, labels == 2
        precision = Ratio((says & is_two).mean(), says.mean())
        return cost, {**metrics, "of twos": {"precision": precision}}

    says = logits(params, images).argmax(1) == 2
    assert 0 < says.mean() < 1
    expected = (labels[says] == 2).mean()
    assert 0 < expected < 1
    for _, score in scores(loss, params, images, labels, batch_size):
        close(score.metrics["of twos"]["precision"], expected)
        close(score.accuracy, right(params, images, labels).mean())


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda w: w * jnp.ones(3), r"shape \(3,\)"),
        (lambda w: (w * jnp.ones((2, 1)), {}), r"shape \(2, 1\)"),
        (lambda w: (w, {"each": jnp.ones(7)}), r"shape \(7,\)"),
        (lambda w: (w, {"deep": [{"each": w * jnp.ones((1,))}]}), r"shape \(1,\)"),
        (lambda w: ({"cost": w}, {}), "dict"),
        (lambda w: [w, {}], "list"),
        (lambda w: (w, {}, {}), "tuple"),
        (lambda w: None, "NoneType"),
        (lambda w: (None, {}), "NoneType"),
    ],
    ids=[
        *("vector", "matrix", "metric", "deep metric", "dict", "list", "three", "nothing"),
        "no cost",
    ],
)
def test_loss_must_return_scalars(returned, got):
    images, labels = draw(10)

    def loss(params, images, labels, key):
        return returned(params)

    params = jnp.float32(1)
    says = rf"Expected loss to return a scalar, or \(scalar, metrics\) .*; got {got} instead\."
    for call in (
        lambda: fit(KEY, images, labels, SGD, params=params, epochs=1, batch_size=5, loss=loss),
        lambda: train_epoch(
            KEY, state_of(params), images, labels, optimizer=SGD, batch_size=5, loss=loss
        ),
        lambda: train_step(state_of(params), images, labels, optimizer=SGD, loss=loss),
        lambda: evaluate(params, images, labels, loss=loss),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_cost_of_one_image_must_be_a_scalar(params):
    images, labels = draw(10)
    loss = MeanCost(lambda z, y: z)
    for call in (
        lambda: loss(params, images, labels),
        lambda: evaluate(params, images, labels, loss=loss),
        lambda: train_step(state_of(params), images, labels, optimizer=SGD, loss=loss),
    ):
        with pytest.raises(
            ValueError, match=r"a scalar for each image; got .* shape \(4,\) instead"
        ):
            call()


def roughness(params):
    """The sum of squared differences of neighboring weights, of images of 2×3 pixels."""
    grids = params[0].weights.reshape(-1, 2, 3)
    return sum((jnp.diff(grids, axis=axis) ** 2).sum() for axis in (1, 2))


def with_penalty(strength):
    def loss(params, images, labels, key):
        cost, metrics = training.loss(params, images, labels, key)
        penalty = strength * roughness(params)
        return cost + penalty, {**metrics, "penalty": penalty}

    return loss


def test_penalty_in_an_own_loss(params):
    """With plain gradient descent, a step is the rate times both gradients, here by differences."""
    images, labels = draw(20)
    state, score = train_step(
        state_of(params), images, labels, optimizer=SGD, loss=with_penalty(0.01)
    )
    grids = np.asarray(params[0].weights, np.float64).reshape(-1, 2, 3)
    penalty = 0.01 * sum((np.diff(grids, axis=axis) ** 2).sum() for axis in (1, 2))
    close(score.metrics["penalty"], penalty)
    close(score.cost, costs(params, images, labels).mean() + penalty)
    close(score.accuracy, right(params, images, labels).mean())

    def total(layers):
        rows = layers[0][0].reshape(-1, 2, 3)
        penalty = 0.01 * sum((np.diff(rows, axis=axis) ** 2).sum() for axis in (1, 2))
        return costs(layers, images, labels).mean() + penalty

    layers = float64(params)
    for got, old, leaf in zip(
        jax.tree.leaves(state.params),
        jax.tree.leaves(params),
        (leaf for layer in layers for leaf in layer),
        strict=True,
    ):
        slopes = np.zeros(leaf.shape)
        for place in np.ndindex(leaf.shape):
            middle, values = leaf[place], []
            for side in (1e-5, -1e-5):
                leaf[place] = middle + side
                values.append(total(layers))
            leaf[place] = middle
            slopes[place] = (values[0] - values[1]) / 2e-5
        close(got, np.asarray(old, np.float64) - 0.5 * slopes)


@pytest.mark.parametrize("optimizer", [optax.adam(0.05), optax.lbfgs()], ids=["adam", "lbfgs"])
def test_penalty_smooths_the_weights(optimizer):
    """L-BFGS also searches along a line, on which the cost includes the penalty."""
    images, labels = draw(400)
    run = {"optimizer": optimizer, "epochs": 10, "batch_size": 100}
    start = jaxnet.init(jax.random.key(1), SIZES)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        rough, smooth = (
            fit(KEY, images, labels, **run, params=start, loss=with_penalty(strength))
            for strength in (0.0, 0.1)
        )
    relative = [
        float(roughness(state.params) / (state.params[0].weights ** 2).sum())
        for state, _ in (rough, smooth)
    ]
    assert relative[1] < 0.7 * relative[0]
    assert np.isfinite(smooth[1].cost).all()


def test_sweep_of_penalties_in_one_vmap(params):
    """Each member of a sweep is what it is alone."""
    images, labels = draw(100)

    def run(strength):
        loss = with_penalty(strength)
        return fit(KEY, images, labels, SGD, params=params, epochs=3, batch_size=20, loss=loss)

    strengths = jnp.array([0.0, 0.01, 0.1])
    together = jax.jit(jax.vmap(run))(strengths)
    for n, strength in enumerate(strengths):
        same(jax.tree.map(lambda a: a[n], together), run(strength), atol=1e-5)  # noqa: B023
    rough = jax.vmap(roughness)(together[0].params)
    assert rough[2] < rough[1] < rough[0]


# Keys.


def erase(key, x):
    return jnp.zeros_like(x)


def test_evaluation_leaves_augmentation_out(params):
    images, labels = draw(20)
    loss = MeanCost(augment=erase)
    black = np.zeros_like(images)
    assert costs(params, images, labels).mean() != pytest.approx(
        costs(params, black, labels).mean()
    )
    for name, score in scores(loss, params, images, labels):
        seen = images if name == "evaluate" or "validation" in name else black
        close(score.cost, costs(params, seen, labels).mean())
        close(score.accuracy, right(params, seen, labels).mean())
    close(loss(params, images, labels)[0], costs(params, images, labels).mean())
    close(loss(params, images, labels, KEY)[0], costs(params, black, labels).mean())


def test_step_without_a_key(params):
    images, labels = draw(20)
    with pytest.raises(ValueError, match="a key, since the loss augments the images; got None"):
        train_step(state_of(params), images, labels, optimizer=SGD, loss=MeanCost(augment=erase))
    # An own loss gets None, and decides by itself what this means.
    keys = []

    def noting(params, images, labels, key):
        keys.append(key)
        return training.loss(params, images, labels)

    train_step(state_of(params), images, labels, optimizer=SGD, loss=noting)
    assert keys == [None]


def test_loss_that_needs_a_key(params):
    images, labels = draw(20)

    def dropout(params, images, labels, key):
        kept = jax.random.bernoulli(key, 0.5, images.shape).astype(images.dtype)
        return training.loss(params, 2 * kept * images, labels)

    run = partial(
        fit, KEY, images, labels, SGD, params=params, epochs=1, batch_size=5, loss=dropout
    )
    run()
    for call in (
        lambda: run(validation=(images, labels)),
        lambda: evaluate(params, images, labels, loss=dropout),
        lambda: train_step(state_of(params), images, labels, optimizer=SGD, loss=dropout),
    ):
        with pytest.raises((TypeError, ValueError)) as error:  # JAX's own, of a key that is None
            call()
        assert "evaluation has no key" in error.value.__notes__[0]


def test_every_step_has_its_own_key(params):
    images, labels = draw(20)
    seen = []

    def noting(params, images, labels, key):
        if key is not None:
            jax.debug.callback(
                lambda bits: seen.append(tuple(bits.tolist())), jax.random.key_data(key)
            )
        return training.loss(params, images, labels)

    fit(
        KEY, images, labels, STILL, params=params, epochs=3, batch_size=5, loss=noting,
        validation=(images, labels),
    )  # fmt: skip
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 12


# Labels that are trees.


def linked(params, images, labels, key):
    """The default cost of `digit`; and whether each row of `pixels` is that of its image."""
    cost, metrics = training.loss(params, images, labels["digit"])
    apart = abs(labels["more"][0] - images).max()
    return cost, {**metrics, "apart": apart}


@pytest.mark.parametrize("where", ["here", "Auto", "Explicit"])
def test_labels_as_a_tree(params, where):
    """Their rows follow the shuffle, the tiles and the shards."""
    images, labels = draw(1_200)
    tree = {"digit": labels, "more": (images, {"unused": np.zeros((1_200, 2, 3), np.int8)})}
    place = jnp.asarray
    if where != "here":
        kind = getattr(AxisType, where)
        mesh = jax.make_mesh((4,), ("i",), (kind,), devices=jax.devices()[:4])
        place = partial(jax.device_put, device=NamedSharding(mesh, P("i")))
    there, tree = jax.tree.map(place, (images, tree))
    run = partial(fit, KEY, optimizer=SGD, params=params, epochs=2, batch_size=24)
    state, history = run(there, tree, loss=linked, validation=(there, tree))
    expected, plain = run(images, labels, validation=(images, labels))
    same(state.params, expected.params, atol=1e-5)
    close(history.cost, plain.cost)
    close(history.accuracy, plain.accuracy)
    close(history.validation.cost, plain.validation.cost)
    np.testing.assert_array_equal(history.metrics["apart"], 0)
    np.testing.assert_array_equal(history.validation.metrics["apart"], 0)

    after, score = train_step(state_of(params), there, tree, optimizer=SGD, loss=linked)
    same(after, train_step(state_of(params), images, labels, optimizer=SGD)[0], atol=1e-6)
    close(score.cost, costs(params, images, labels).mean())
    score = evaluate(params, there, tree, loss=linked)
    close(score.cost, costs(params, images, labels).mean())
    assert score.metrics["apart"] == 0


def test_labels_as_a_pair_of_digits(params):
    """A tuple without `weighted` is the cost's own label, row by row."""
    images, labels = draw(30)
    pair = labels, np.roll(labels, 1)
    both = MeanCost(lambda z, y: cross_entropy(z, y[0]) + cross_entropy(z, y[1]))
    expected = sum(costs(params, images, y) for y in pair).mean()
    for _, score in scores(both, params, images, pair):
        close(score.cost, expected)
        assert score.metrics == {}


def test_weighted_labels_as_a_tree(params):
    images, labels = draw(30)
    weights = np.linspace(0, 2, 30, dtype="f")
    tree = {"one": labels, "other": np.roll(labels, 1)}
    loss = MeanCost(
        lambda z, y: cross_entropy(z, y["one"]) + cross_entropy(z, y["other"]), weighted=True
    )
    expected = (weights * sum(costs(params, images, y) for y in tree.values())).sum() / 30
    for _, score in scores(loss, params, images, (tree, weights)):
        close(score.cost, expected)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda y: {"a": y, "b": y[:-1]}, ValueError, r"one label per image; got .*'b': \(29,\)"),
        (
            lambda y: {"a": y, "b": 3},
            TypeError,
            "labels as a NumPy or JAX array of numbers, .* got int",
        ),
        (
            lambda y: {"a": y, "b": y[0]},
            TypeError,
            "labels as a NumPy or JAX array of numbers, .* got int32",
        ),
        (lambda y: None, TypeError, "labels as a NumPy or JAX array of numbers, .* got NoneType"),
        (lambda y: (), TypeError, "labels as a NumPy or JAX array of numbers, .* got tuple"),
        (lambda y: y.astype(">i4"), ValueError, "labels in this machine's byte order; got >i4"),
    ],
)
def test_bad_trees_of_labels(params, wrong, error, says):
    images, labels = draw(30)
    bad = wrong(labels)
    for call in (
        lambda: fit(KEY, images, bad, SGD, params=params, epochs=1, batch_size=5),
        lambda: train_step(state_of(params), images, bad, optimizer=SGD),
        lambda: evaluate(params, images, bad),
    ):
        with pytest.raises(error, match=says):
            call()


# The range of images.

RANGES = {
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "JAX": lambda x: jnp.asarray(x, jnp.float32),
    "JAX, bfloat16": lambda x: jnp.asarray(x, jnp.bfloat16),
    "not contiguous": lambda x: np.asarray(x, np.float32, order="F"),
}


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("low", [False, True])
def test_floats_outside_the_range(kind, low):
    """One pixel of 255 among 3,000 images, or of -1, is enough."""
    params = jaxnet.init(KEY, SIZES)
    images, labels = draw(3_000)
    fine = RANGES[kind](images.copy())  # JAX may share NumPy's memory
    images[2_998, 5] = -1 if low else 255
    images = RANGES[kind](images)
    params = jax.tree.map(lambda a: a.astype(fine.dtype), params) if "float16" in kind else params
    says = r"from 0 \(black\) to 1 .* got {}, in images 0 to 2999.* pass check_range=False"
    says = says.format("-1 to .*" if low else ".* to 255")
    run = partial(fit, KEY, optimizer=STILL, params=params, epochs=1, batch_size=1_000)

    def own(params, images, labels, key):
        return training.loss(params, images, labels)

    with jax.numpy_dtype_promotion("standard"):
        for call in (
            lambda **options: run(images, labels, **options),
            lambda **options: run(fine, labels, validation=(images, labels), **options),
            lambda **options: evaluate(params, images, labels, **options),
        ):
            with pytest.raises(ValueError, match=says):
                call()
            with pytest.raises(ValueError, match=says):
                call(loss=own)
            call(check_range=False)
        run(fine, labels)
        evaluate(params, fine, labels)


def test_bytes_have_every_range(params):
    labels = draw(20)[1]
    images = np.random.default_rng(0).integers(0, 256, (20, 6), np.uint8)
    expected = costs(params, images / 255, labels).mean()
    for _, score in scores(training.loss, params, images, labels):
        close(score.cost, expected)
    close(training.loss(params, images, labels)[0], expected)
    close(
        evaluate(params, images, labels, loss=lambda p, x, y, key: x.mean()).cost,
        images.mean() / 255,
    )


def test_standardized_images(params):
    """What `check_range=False` is for."""
    images, labels = draw(200)
    images = (images - images.mean(0)) / images.std(0)
    expected = costs(params, images, labels).mean()
    close(evaluate(params, images, labels, check_range=False).cost, expected)
    options = {"optimizer": STILL, "params": params, "epochs": 1, "batch_size": 20}
    _, history = fit(KEY, images, labels, **options, check_range=False)
    close(history.cost[0], expected)
