"""What cannot be known is NaN, or one sentence; never a plausible number."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import jaxnet
from jaxnet import analysis, inference, training
from jaxnet.batch import Tally, classify_files
from jaxnet.training import MeanCost, Ratio, TrainState, evaluate, fit, train_step

KEY = jax.random.key(0)
SGD = optax.sgd(0.1)
PARAMS = jaxnet.init(KEY, (6, 5, 4))
IMAGES = np.random.default_rng(0).random((20, 6), np.float32)
LABELS = np.arange(20) % 4


def wrapped(params, images, labels, key):
    """A loss of one's own, whose labels nobody checks beforehand."""
    return MeanCost()(params, images, labels, key)


@pytest.mark.compiled
@pytest.mark.parametrize("labels", [LABELS - 1, LABELS + 2**32, LABELS.astype("u8") + 2**40])
def test_labels_without_an_output(labels):
    """Beyond 32 bits, too, where a cast would wrap them to digits."""
    score = evaluate(PARAMS, IMAGES, labels, loss=wrapped)
    assert np.isnan(score.cost)
    assert np.isnan(score.accuracy)
    cost, metrics = training.loss(PARAMS, IMAGES, labels)
    assert np.isnan(cost)
    assert np.isnan(metrics["accuracy"])
    with pytest.raises(ValueError, match="Expected labels from 0 to 3, one per output; got"):
        evaluate(PARAMS, IMAGES, labels)


def test_probabilities_that_are_nan():
    shares = np.full((20, 4), 0.25, np.float32)
    shares[7, 2] = np.nan
    score = evaluate(PARAMS, IMAGES, shares)
    assert np.isnan(score.cost)
    assert np.isnan(score.accuracy)


def test_a_weight_that_is_nan():
    weights = np.ones(20, np.float32)
    weights[3] = np.nan
    score = evaluate(PARAMS, IMAGES, (LABELS, weights), loss=MeanCost(weighted=True))
    assert np.isnan(score.cost)
    assert np.isnan(score.accuracy)


@pytest.mark.parametrize(
    "cost",
    [
        Ratio(jnp.float32(3), jnp.float32(2)),
        1 + 2j,
        (jnp.float32(1), {"note": "fine"}),
        (jnp.float32(1), {"complex": jnp.complex64(1j)}),
        (jnp.float32(1), {"nothing": np.zeros(0)}),
        "low",
        (1.0, 2.0, 3.0),
    ],
)
def test_a_loss_that_returns_something_else(cost):
    state = TrainState(PARAMS, SGD.init(PARAMS))
    says = r"Expected loss to return a scalar, or \(scalar, metrics\)"
    for call in (
        partial(evaluate, PARAMS, IMAGES, LABELS),
        partial(train_step, state, IMAGES, LABELS, KEY, optimizer=SGD),
    ):
        with pytest.raises(ValueError, match=says):
            call(loss=lambda *_: cost)


def test_weights_for_a_loss_without_them():
    with pytest.raises(TypeError, match=r"one array of labels; got a tuple .*weighted=True"):
        fit(
            *(KEY, IMAGES, (LABELS, np.ones(20, np.float32)), SGD),
            epochs=1,
            batch_size=5,
            params=PARAMS,
        )


@pytest.mark.parametrize("labels", [np.array(["one"] * 20), np.array([None] * 20)])
def test_labels_that_are_no_numbers(labels):
    with pytest.raises(TypeError, match=r"array of numbers.* got ndarray of (<U3|object)"):
        evaluate(PARAMS, IMAGES, labels)


def test_the_error_of_a_loss_says_how_it_was_called():
    with pytest.raises(TypeError) as raised:
        evaluate(PARAMS, IMAGES, LABELS, loss=training.cross_entropy)
    assert "loss(params, images, labels, key)" in raised.value.__notes__[0]


@pytest.mark.compiled
def test_the_network_that_fit_makes_has_the_images_size():
    state, _ = fit(KEY, IMAGES, LABELS, SGD, epochs=1, batch_size=5)
    assert [w.shape for w, _ in state.params] == [(16, 6), (16, 16), (10, 16)]


@pytest.mark.compiled
def test_influence_of_what_is_nan():
    influence = partial(analysis.influence, PARAMS, IMAGES, n_iterations=5)
    assert np.isfinite(influence(LABELS, IMAGES[0], 1)).all()
    assert np.isnan(influence(LABELS, IMAGES[0], 13)).all()
    assert np.isnan(influence(LABELS, np.nan * IMAGES[0], 1)).all()
    labels = LABELS.copy()
    labels[7] = -1
    assert np.isnan(influence(labels, IMAGES[0], 1)).all()
    for loss in (wrapped, MeanCost(weighted=True)):
        with pytest.raises(TypeError, match="a MeanCost without image weights"):
            influence(LABELS, IMAGES[0], 1, loss=loss)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["hessian", "influence", "gradients"])
def test_explicit_axes_without_a_mesh(name):
    """As arrays lie that were put there, the mesh being set no longer."""
    call = {
        "hessian": lambda *a: analysis.hessian_vector_product(a[0], *a, loss=wrapped),
        "influence": lambda p, x, y: analysis.influence(p, x, y, IMAGES[0], 1),
        "gradients": partial(analysis.per_example_gradients, keep=optax.tree.norm),
    }[name]
    mesh = jax.make_mesh((1,), ("i",), axis_types=(AxisType.Explicit,))
    there = jax.device_put(
        (PARAMS, IMAGES, LABELS.astype(np.int32)),
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()),
    )
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        call(*there),
        call(PARAMS, IMAGES, LABELS),
    )


@pytest.mark.compiled
def test_probe_of_images_out_of_range():
    images, labels = jaxnet.data.synthetic.sample(KEY, 50)
    with pytest.raises(ValueError, match=r"floats from 0 \(black\) to 1"):
        analysis.probe(KEY, jaxnet.pretrained(), 255 * images, labels)


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_an_output_that_is_nan(dtype):
    """It is the answer, as in `predict`, and its activation is NaN."""
    *layers, (w, b) = PARAMS
    params = (*layers, jaxnet.Layer(w, b.at[2].set(jnp.nan)))
    images = (IMAGES * (255 if dtype == np.uint8 else 1)).astype(dtype)
    for brightest in (False, True):
        digits, a = jaxnet.classify(params, images, brightest=brightest)
        assert (digits == 2).all()
        assert np.isnan(a if brightest else a[:, 2]).all()
    assert (inference.classify_on_device(params, images).digits == 2).all()
    assert int(jaxnet.predict(params, IMAGES[0])) == 2


def test_confidence_of_a_single_output():
    """The further from its threshold, the surer, whatever it is squashed by."""
    for squash in ("identity", "tanh", "relu"):
        sure = inference.confidence([[-0.1], [5.0], [0.0]], last_squash=squash)
        np.testing.assert_allclose(sure, 1 / (1 + np.exp([-0.1, -5, 0])), rtol=1e-5)


@pytest.mark.parametrize("squash", ["step", ["relu"], None])
def test_no_such_squash(squash):
    for call in (
        partial(inference.classifier, PARAMS),
        partial(jaxnet.stream, PARAMS, []),
        partial(jaxnet.forward, PARAMS, IMAGES[0]),
    ):
        with pytest.raises(ValueError, match="Expected a squash as a function or one of sigmoid"):
            call(squash=squash)


@pytest.mark.parametrize(
    "labels", [[np.nan, 2.7, 8], [-200, 0, 0], ["1", "2", "3"], np.zeros((3, 10), int), [300, 1, 1]]
)
def test_labels_of_a_job(tmp_path, labels):
    np.save(tmp_path / "a.npy", np.zeros((3, 784), np.uint8))
    job = partial(classify_files, tmp_path / "a.npy", output=tmp_path / "o.csv")
    with pytest.raises(jaxnet.FileError, match="labels: expected labels"):
        job(labels=np.array(labels))
    assert not (tmp_path / "o.csv").exists()
    for fine in ([1, 2, 3], jnp.arange(3), np.ones((3, 1), "i8")):
        assert isinstance(job(labels=fine, overwrite=True), Tally)


@pytest.mark.compiled
def test_transposing_what_is_no_square():
    with pytest.raises(ValueError, match="expected a square number of pixels"):
        jaxnet.data.transpose(np.zeros((31 * 31, 1_000)))
