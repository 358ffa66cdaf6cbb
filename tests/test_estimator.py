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

pytestmark = pytest.mark.compiled

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
@pytest.mark.filterwarnings("ignore:Expected features of a size")  # some checks draw around 100
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


@pytest.mark.parametrize(("n", "batch_size"), [(1, 32), (5, 32), (33, 32), (100, 7), (64, 1)])
def test_number_of_samples(n, batch_size):
    x = np.linspace(0, 1, n)[:, None]
    y = (x[:, 0] > 0.5).astype(int)
    got = NetworkClassifier(epochs=2, batch_size=batch_size, random_state=0).fit(x, y)
    assert got.predict_proba(x).shape == (n, len(np.unique(y)))
    assert np.isfinite(got.history_.cost).all()


def test_logistic_regression():
    x, y = make_moons(300, noise=0.3, random_state=0)
    settings = {"learning_rate": 0.1, "epochs": 300, "batch_size": 300, "random_state": 0}
    ours = NetworkClassifier((), **settings).fit(x, y)
    theirs = LogisticRegression(C=np.inf).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-3)


def test_sample_weights():
    """Of two labels for the one sample there is, their weights are the shares."""
    x, y = np.zeros((4, 1)), np.array([0, 1, 1, 1])
    settings = {"epochs": 300, "learning_rate": 0.1, "random_state": 0}
    got = NetworkClassifier((), **settings).fit(x, y, sample_weight=[9, 1, 1, 1])
    np.testing.assert_allclose(got.predict_proba(x[:1]), [[0.75, 0.25]], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"squash": "sigmoyd"}, "a squash .* sigmoid, relu, .*; got 'sigmoyd'"),
        ({"optimizer": "adamm"}, "optimizer of adam, .*; got 'adamm'"),
        ({"hidden_sizes": "16"}, r"hidden_sizes as a tuple .*, or one; got '16'"),
        ({"hidden_sizes": 0}, r"hidden_sizes as a tuple .*, or one; got 0"),
        ({"hidden_sizes": True}, r"hidden_sizes as a tuple .*, or one; got True"),
        ({"weight_decay": -1.0}, "weight_decay as a number from 0; got -1.0"),
        ({"weight_decay": np.inf}, "weight_decay as a number from 0; got inf"),
        ({"n_iter_no_change": 0}, "n_iter_no_change as an integer above 0; got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction from 0 to 1; got 1.0"),
        ({"validation_fraction": 20}, "validation_fraction from 0 to 1; got 20"),
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


def log_softmax64(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def descended(params, x, y, rate, decay=0.0):
    """One step of gradient descent on softmax regression, by hand in float64."""
    ((w, b),) = float64(params)
    delta = (np.exp(log_softmax64(x @ w.T + b)) - np.eye(len(b))[y]) / len(x)
    return w - rate * (delta.T @ x + decay * w), b - rate * delta.sum(0)


STEPS = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 1, "batch_size": 1000}


@pytest.mark.parametrize("how", ["partial_fit", "warm_start", "both"])
def test_continued_by_one_step(iris, how):
    """Each call is a step of gradient descent from where the last one ended."""
    x, _, y, _ = iris
    classifier = NetworkClassifier((), warm_start=True, weight_decay=0.3, random_state=0, **STEPS)
    calls = {
        "partial_fit": [lambda: classifier.partial_fit(x, y, classes=[0, 1, 2])],
        "warm_start": [lambda: classifier.fit(x, y)],
        "both": [lambda: classifier.fit(x, y), lambda: classifier.partial_fit(x, y)],
    }[how]
    calls[0]()
    for n in range(4):
        before = classifier.params_
        calls[n % len(calls)]()
        w, b = descended(before, x.astype(np.float64), y, 0.1, 0.3)
        np.testing.assert_allclose(classifier.params_[0].weights, w, atol=1e-5)
        np.testing.assert_allclose(classifier.params_[0].biases, b, atol=1e-5)


def test_without_warm_start(iris):
    x, _, y, _ = iris
    classifier = NetworkClassifier((), random_state=0, **STEPS)
    first = classifier.fit(x, y).params_
    np.testing.assert_array_equal(classifier.fit(x, y).params_[0].weights, first[0].weights)


def test_partial_fit_in_parts(iris):
    """A stream of batches of several sizes, some without all classes; the moments are kept."""
    x, x_new, y, y_new = iris
    scaler = MinMaxScaler().fit(x)
    x, x_new = scaler.transform(x), scaler.transform(x_new)
    classifier = NetworkClassifier(16, learning_rate=0.02, random_state=0)
    order = np.argsort(y, kind="stable")
    classifier.partial_fit(x[order[:5]], y[order[:5]], classes=[0, 1, 2])
    assert classifier.predict_proba(x_new).shape == (len(x_new), 3)
    rng = np.random.default_rng(0)
    for _ in range(150):
        rows = rng.choice(len(x), 50)
        classifier.partial_fit(x[rows], y[rows])
    assert classifier.history_.cost.shape == classifier.history_.accuracy.shape == (151,)
    assert classifier.score(x_new, y_new) > 0.9
    file = io.BytesIO()
    joblib.dump(classifier, file)
    file.seek(0)
    again = joblib.load(file).partial_fit(x, y)
    np.testing.assert_array_equal(
        again.predict_proba(x_new), classifier.partial_fit(x, y).predict_proba(x_new)
    )
    classifier.set_params(optimizer="momentum").partial_fit(x, y)  # which has another state
    assert np.isfinite(classifier.predict_log_proba(x_new)).all()


def test_partial_fit_does_not_recompile(iris):
    x, _, y, _ = iris
    classifier = NetworkClassifier(random_state=0).partial_fit(x, y, classes=[0, 1, 2])
    classifier.partial_fit(x, y)
    before = _learn._cache_size()
    for _ in range(3):
        classifier.partial_fit(x, y)
    assert _learn._cache_size() == before


def test_partial_fit_shuffles_anew(iris):
    """As epochs of one call do: no two calls have the same batches."""
    x, _, y, _ = iris
    options = {"optimizer": "sgd", "learning_rate": 1e-30, "batch_size": 50, "random_state": 0}
    classifier = NetworkClassifier((), **options).partial_fit(x, y, classes=[0, 1, 2])
    for _ in range(3):
        classifier.partial_fit(x, y)
    costs = np.asarray(classifier.history_.cost)  # of 100 among 112 samples, others each time
    assert len({*costs.tolist()}) == 4


def test_weight_decay(iris):
    """The cost is scikit-learn's own for logistic regression, divided by C and the samples."""
    x, _, y, _ = iris
    x = MinMaxScaler().fit_transform(x)
    options = {"learning_rate": 0.1, "epochs": 1000, "batch_size": 1000, "random_state": 0}
    for decay in (0.01, 0.1):
        ours = NetworkClassifier((), weight_decay=decay, **options).fit(x, y)
        theirs = LogisticRegression(C=1 / (decay * len(x)), tol=1e-8, max_iter=5000).fit(x, y)
        np.testing.assert_allclose(ours.params_[0].weights, theirs.coef_, atol=5e-3)
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=2e-3)


def test_early_stopping():
    """It stops after the least cost on samples that it did not learn from, and keeps that one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 30)).astype(np.float32)
    y = np.array(["no", "yes"])[(x[:, 0] + rng.normal(size=400) > 0).astype(int)]
    options = {"epochs": 200, "learning_rate": 0.03, "random_state": 3}
    early = {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 7}
    classifier = NetworkClassifier((32,), **options, **early).fit(x, y)
    costs = np.asarray(classifier.history_.validation.cost)
    assert len(costs) == len(classifier.history_.cost) == costs.argmin() + 8 < 200
    seed = np.random.RandomState(3).randint(2**31)
    x_in, x_out, y_in, y_out = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    got = log_loss(y_out, classifier.predict_proba(x_out))
    assert got == pytest.approx(costs.min(), abs=1e-5)
    accuracies = classifier.history_.validation.accuracy
    assert classifier.score(x_out, y_out) == pytest.approx(float(accuracies[costs.argmin()]))
    overfit = NetworkClassifier((32,), **options).fit(x_in, y_in)
    assert log_loss(y_out, overfit.predict_proba(x_out)) > 1.2 * got
    again = clone(classifier).fit(x, y, sample_weight=np.ones(400))
    np.testing.assert_allclose(again.predict_proba(x), classifier.predict_proba(x), atol=1e-4)


def test_early_stopping_that_never_stops(iris):
    x, _, y, _ = iris
    options = {"epochs": 20, "random_state": 0, "early_stopping": True}
    classifier = NetworkClassifier(n_iter_no_change=20, **options).fit(x, y)
    assert classifier.history_.validation.cost.shape == (20,)


def test_log_probabilities(iris):
    x, x_new, y, _ = iris
    classifier = NetworkClassifier((), random_state=0).fit(x, y)
    got = classifier.predict_log_proba(x_new)
    np.testing.assert_allclose(np.exp(got), classifier.predict_proba(x_new), rtol=1e-12)
    ((w, b),) = float64(classifier.params_)
    np.testing.assert_allclose(got, log_softmax64(x_new @ w.T + b), atol=1e-4)
    far = 1e5 * x_new
    assert classifier.predict_proba(far).min() == 0
    assert np.isfinite(classifier.predict_log_proba(far)).all()


def test_one_hidden_layer(iris):
    x, _, y, _ = iris
    one = NetworkClassifier(100, epochs=2, random_state=0).fit(x, y)
    assert [layer.weights.shape for layer in one.params_] == [(100, 4), (3, 100)]
    same = NetworkClassifier((100,), epochs=2, random_state=0).fit(x, y)
    np.testing.assert_array_equal(one.predict_proba(x), same.predict_proba(x))


def test_calls_out_of_place(iris):
    x, _, y, _ = iris
    with pytest.raises(ValueError, match=r"classes in the first call of partial_fit; got None"):
        NetworkClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match=r"labels of array\(\[0, 1\]\); got \[2\] as well"):
        NetworkClassifier().partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match="early_stopping with fit only"):
        NetworkClassifier(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2])
    classifier = NetworkClassifier(warm_start=True, epochs=2).fit(x, y)
    with pytest.raises(ValueError, match=r"got \[5\] as well"):
        classifier.fit(x, np.where(y == 2, 5, y))
    with pytest.raises(ValueError, match="the classes of the first call"):
        classifier.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match="4 features"):
        classifier.partial_fit(x[:, :3], y)
    with pytest.raises(ValueError, match=r"last fit, \(16, 16\), with warm_start; got \(8,\)"):
        classifier.set_params(hidden_sizes=8).fit(x, y)
    classifier.set_params(warm_start=False).fit(x[:, :3], y)
    assert classifier.n_features_in_ == 3
