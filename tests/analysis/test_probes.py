"""What neurons detect: areas against scikit-learn's, silenced neurons, and what a probe says."""

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet.analysis import auc, component_fit, probe, selectivity, silence_cost
from jaxnet.data.synthetic import COMPONENTS
from tests.oracles import digits_of, matrix_form

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def digits():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1_000)
    return images, np.asarray(labels)


@pytest.mark.parametrize("levels", [3, 1_000])
def test_auc_as_scikit_learns(levels):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(levels)
    for share in (0.01, 0.3, 0.9):
        scores = rng.integers(levels, size=2_000).astype(np.float32)  # with ties
        truth = rng.random(2_000) < share
        assert auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-5)


def test_auc_without_any():
    assert np.isnan(auc(np.arange(3.0), np.zeros(3, bool)))
    assert np.isnan(auc(np.arange(3.0), np.ones(3, bool)))


def test_selectivity_as_scikit_learns(digits):
    from sklearn.metrics import roc_auc_score

    images, labels = digits
    truth = labels[:, None] == np.arange(10)
    params = jaxnet.pretrained()
    _, *layers = matrix_form(params, images)
    for ours, a in zip(selectivity(params, images, truth), layers, strict=True):
        assert ours.shape == (a.shape[1], 10)
        for neuron in range(a.shape[1]):
            for digit in (0, 7):
                expected = roc_auc_score(truth[:, digit], a[:, neuron])
                assert ours[neuron, digit] == pytest.approx(expected, abs=2e-4)


def test_selectivity_of_uint8(digits):
    images, labels = digits
    truth = labels[:, None] == np.arange(10)
    pixels = np.rint(255 * np.asarray(images)).astype(np.uint8)
    floats = selectivity(jaxnet.pretrained(), pixels / np.float32(255), truth)
    for one, other in zip(floats, selectivity(jaxnet.pretrained(), pixels, truth), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", ["free", "components"])
def test_silence_by_zeroed_activations(digits, name):
    """In NumPy: the neuron's activation is set to 0, and the layers after it run on."""
    images, labels = digits
    params = jaxnet.pretrained(name)
    costs = silence_cost(params, images, labels)
    layers = matrix_form(params, images)
    whole = (digits_of(layers[-1]) == labels).mean()
    for n in range(len(params)):
        for neuron in range(len(params[n].biases)):
            silent = layers[n + 1].copy()
            silent[:, neuron] = 0
            answers = digits_of(matrix_form(params[n + 1 :], silent)[-1])
            expected = whole - (answers == labels).mean()
            assert costs[n][neuron] == pytest.approx(expected, abs=0.0021)


def test_component_fit_of_a_planted_detector():
    """A neuron of an edge on top detects a bar on top, and one of noise detects nothing well."""
    from jaxnet.design import edge

    noise = jax.random.normal(jax.random.key(0), (784,)) / 28
    weights = np.stack([edge(14, 6.5, 0.0, length=10), noise])
    params = (jaxnet.Layer(weights, np.zeros(2, np.float32)),)
    fit = component_fit(jax.random.key(1), params, n=2_000)
    on_top = COMPONENTS.index("bar on top")
    assert fit.alone[0][0, on_top] > 0.9
    assert fit.alone[0][0].argmax() == on_top
    assert fit.alone[0][1].max() < 0.9


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (lambda: jaxnet.init(jax.random.key(0)), r"^0 of 16 .* detects 0 of 16 components"),
        (lambda: jaxnet.pretrained("edges"), r"^16 of 16 .* mean is 1\.00\)"),
        (lambda: jaxnet.pretrained("components"), r"^16 of 16 .* detects 16 of 16 components"),
    ],
)
def test_summary(digits, params, says):
    import re

    params = params()
    report = probe(jax.random.key(2), params, *digits)
    assert re.search(says, report.summary())
    assert report.accuracy == jaxnet.evaluate(params, *digits).accuracy
    assert [layer.shape for layer in report.silence] == [(16,), (16,), (10,)]


@pytest.mark.slow
def test_other_networks(digits):
    report = probe(jax.random.key(2), jaxnet.init(jax.random.key(0), (784, 10)), *digits)
    assert report.summary().startswith("0 of 10 neurons of layer 1")
    relu = jaxnet.init(jax.random.key(0), (784, 8, 8, 8, 10))
    report = probe(jax.random.key(2), relu, *digits, squash=jax.nn.relu)
    assert "layer 3 detects" in report.summary()
