"""The classifier under scikit-learn's own checks, and in the places that it is made for."""

import io
import re
from unittest import SkipTest

import jax
import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import jaxnet
from jaxnet.estimator import NetworkClassifier, _learn
from tests.oracles import float64

NOT_APPLICABLE = {
    "check_sample_weight_equivalence_on_dense_data": "two samples may fall into two batches",
}
CHECKS = {
    getattr(check, "func", check).__name__ + str(n): check
    for n, (_, check) in enumerate(estimator_checks_generator(NetworkClassifier()))
}


@pytest.fixture(scope="module", autouse=True)
def standard_promotion():
    """Adam raises a float to an integer, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def iris():
    return train_test_split(*load_iris(return_X_y=True), random_state=0)


@pytest.fixture(scope="module")
def pipeline(iris):
    x, _, y, _ = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    return make_pipeline(MinMaxScaler(), NetworkClassifier(random_state=0)).fit(x, names[y])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learn_checks(name):
    reason = NOT_APPLICABLE.get(name.rstrip("0123456789"))
    try:
        CHECKS[name](NetworkClassifier())
    except SkipTest as what_is_missing:
        assert re.search("pandas|SCIPY_ARRAY_API", str(what_is_missing))
    except AssertionError:
        if not reason:
            raise
    else:
        assert not reason


def test_failed_checks_are_documented():
    for name in NOT_APPLICABLE:
        assert name in NetworkClassifier.__doc__


@pytest.mark.full
def test_label_types(iris, pipeline):
    _, x, _, y = iris
    assert pipeline.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.mean(pipeline.predict(x) == pipeline.classes_[y]) > 0.9
    assert pipeline.score(x, pipeline.classes_[y]) > 0.9


def test_probabilities(iris, pipeline):
    scaled = pipeline[0].transform(iris[1]).astype(np.float32)
    a = scaled.astype(np.float64)
    *hidden, (w_last, b_last) = float64(pipeline[1].params_)
    for w, b in hidden:
        a = 1 / (1 + np.exp(-(a @ w.T + b)))
    e = np.exp(a @ w_last.T + b_last)
    got = pipeline.predict_proba(iris[1])
    np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-12)
    np.testing.assert_array_equal(pipeline.classes_[got.argmax(1)], pipeline.predict(iris[1]))


def test_calibration():
    """Of what was not seen, the surprise is nearly the least that any answer can have."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(4000, 1))
    share = 0.2 + 0.6 * x[:, 0]  # of ones, which no classifier can know better
    y = rng.uniform(size=4000) < share
    got = NetworkClassifier((4,), epochs=20, random_state=0).fit(x[:2000], y[:2000])
    least = log_loss(y[2000:], np.stack([1 - share, share], 1)[2000:])
    assert least < log_loss(y[2000:], got.predict_proba(x[2000:])) < least + 0.01
    assert abs(got.predict_proba(x)[:, 1] - share).mean() < 0.05


@pytest.mark.full
def test_grid_search(iris):
    x, _, y, _ = iris
    pipeline = make_pipeline(MinMaxScaler(), NetworkClassifier(random_state=0))
    grid = {
        "networkclassifier__squash": ["relu", "sigmoid"],
        "networkclassifier__learning_rate": [0.03, 1e-6],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_params_["networkclassifier__learning_rate"] == 0.03
    assert cross_val_score(search.best_estimator_, x, y, cv=2).min() > 0.9


def test_learning_rate_does_not_recompile(iris):
    x, _, y, _ = iris
    NetworkClassifier(random_state=0, learning_rate=0.01).fit(x, y)
    before = _learn._cache_size()
    NetworkClassifier(random_state=1, learning_rate=0.5).fit(x, y)
    assert _learn._cache_size() == before


def test_deterministic(iris):
    x, x_new, y, _ = iris
    one = NetworkClassifier(random_state=1).fit(x, y)
    again = clone(one).fit(x, y)
    np.testing.assert_array_equal(one.predict_proba(x_new), again.predict_proba(x_new))
    other = clone(one).set_params(random_state=2).fit(x, y)
    assert not np.array_equal(one.predict_proba(x_new), other.predict_proba(x_new))
    state = np.random.RandomState(1)
    drawn = [NetworkClassifier(random_state=state).fit(x, y).predict_proba(x_new) for _ in "ab"]
    assert not np.array_equal(*drawn)


def test_joblib_round_trip(iris, pipeline):
    file = io.BytesIO()
    joblib.dump(pipeline, file)
    file.seek(0)
    again = joblib.load(file)
    np.testing.assert_array_equal(again.predict_proba(iris[1]), pipeline.predict_proba(iris[1]))


@pytest.mark.slow
def test_joblib_processes(iris):
    """Each of them imports JAX anew."""
    x, _, y, _ = iris
    classifier = NetworkClassifier(random_state=0, epochs=5)
    here = cross_val_score(classifier, x, y, cv=2)
    np.testing.assert_array_equal(cross_val_score(classifier, x, y, cv=2, n_jobs=2), here)


@pytest.mark.full
def test_params_attribute(tmp_path):
    x, y = load_digits(return_X_y=True)
    classifier = NetworkClassifier((16, 16), epochs=30, random_state=0).fit(x[:900] / 16, y[:900])
    assert classifier.score(x[900:] / 16, y[900:]) > 0.85
    assert classifier.history_.accuracy.shape == (30,)
    assert [layer.weights.shape for layer in classifier.params_] == [(16, 64), (16, 16), (10, 16)]
    jaxnet.save(tmp_path / "digits.safetensors", classifier.params_)
    params, _ = jaxnet.load(tmp_path / "digits.safetensors")
    image = (x[1000] / 16).astype(np.float32)
    assert jaxnet.predict(params, image) == classifier.predict(x[1000:1001] / 16)[0]


@pytest.mark.full
@pytest.mark.parametrize(("n", "batch_size"), [(1, 32), (5, 32), (33, 32), (100, 7), (64, 1)])
def test_number_of_samples(n, batch_size):
    x = np.linspace(0, 1, n)[:, None]
    y = (x[:, 0] > 0.5).astype(int)
    got = NetworkClassifier(epochs=2, batch_size=batch_size, random_state=0).fit(x, y)
    assert got.predict_proba(x).shape == (n, len(np.unique(y)))
    assert np.isfinite(got.history_.cost).all()


@pytest.mark.full
def test_logistic_regression():
    x, y = make_moons(300, noise=0.3, random_state=0)
    settings = {"learning_rate": 0.1, "epochs": 300, "batch_size": 300, "random_state": 0}
    ours = NetworkClassifier((), **settings).fit(x, y)
    theirs = LogisticRegression(C=np.inf).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-3)


@pytest.mark.full
def test_sample_weights():
    """Of two labels for the one sample there is, their weights are the shares."""
    x, y = np.zeros((4, 1)), np.array([0, 1, 1, 1])
    settings = {"epochs": 300, "learning_rate": 0.1, "random_state": 0}
    got = NetworkClassifier((), **settings).fit(x, y, sample_weight=[9, 1, 1, 1])
    np.testing.assert_allclose(got.predict_proba(x[:1]), [[0.75, 0.25]], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"squash": "sigmoyd"}, "squash of sigmoid, relu, .*; got 'sigmoyd'"),
        ({"squash": jax.nn.relu}, "Expected squash of sigmoid"),
        ({"optimizer": "adamm"}, "optimizer of adam, .*; got 'adamm'"),
        ({"hidden_sizes": 16}, r"hidden_sizes as a tuple .*; got 16"),
        ({"hidden_sizes": (16, 0)}, "integers above 0"),
        ({"hidden_sizes": (16.0,)}, "integers above 0"),
        ({"epochs": 0}, "epochs as an integer above 0; got 0"),
        ({"batch_size": 0.5}, "batch_size as an integer above 0; got 0.5"),
        ({"learning_rate": 0.0}, "learning_rate as a number above 0; got 0.0"),
        ({"learning_rate": "fast"}, "learning_rate as a number above 0; got 'fast'"),
        ({"learning_rate": 1e30, "squash": "relu", "optimizer": "sgd"}, "below 1e\\+30"),
    ],
)
def test_bad_arguments(iris, arguments, says):
    x, _, y, _ = iris
    with jax.debug_nans(False), pytest.raises(ValueError, match=says):
        NetworkClassifier(**arguments).fit(x, y)
