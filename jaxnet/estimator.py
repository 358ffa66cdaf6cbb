"""The network as a scikit-learn classifier, for pipelines, grid search and cross-validation.

    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    pipeline = make_pipeline(MinMaxScaler(), NetworkClassifier(random_state=0))
    search = GridSearchCV(pipeline, {"networkclassifier__hidden_sizes": [(16, 16), (64,)]})
    search.fit(X, y).predict_proba(X_new)

The only class here with methods that do work: scikit-learn's protocol needs one.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Self, cast

import jax
import numpy as np
from jax.nn import identity
from jaxtyping import Array, Key
from numpy.typing import NDArray
from scipy.special import softmax

from jaxnet.inference import Answers, classify
from jaxnet.network import SQUASHES, Params, init
from jaxnet.runs import OPTIMIZERS, SCHEDULES
from jaxnet.training import History, fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        _check_sample_weight,  # pyright: ignore[reportPrivateUsage]
        check_is_fitted,
        validate_data,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "The classifier needs scikit-learn: pip install 'jaxnet-digits[sklearn]'", name="sklearn"
    ) from error


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network between any number of features and of classes, trained by `jaxnet.training.fit`.

    The cost is the cross-entropy, the learning rate falls to nothing along half a cosine.
    Features are taken as they are: bring them to about one size first, as by scikit-learn's
    `MinMaxScaler` or `StandardScaler`; bytes of images too. The same `random_state` gives the
    same network. What is learned is compiled once for each number of samples, of features and
    of classes, and for each choice of the arguments but `learning_rate` and `random_state`.

    Args:
        hidden_sizes: neurons in each hidden layer; `()` for none, which is logistic regression.
        squash: of the hidden layers, a name in `jaxnet.network.SQUASHES`.
        optimizer: a name in `jaxnet.runs.OPTIMIZERS`.
        learning_rate: of the first step.
        epochs: number of passes over the samples.
        batch_size: samples a step, at most; they are divided evenly, and the few that no batch
            of an epoch has room for are others in the next one.
        random_state: a seed; or as `sklearn.utils.check_random_state` takes it.

    Attributes:
        classes_: shape `(classes,)`, the labels in order; of any type that can be sorted.
        n_features_in_: the number of features.
        feature_names_in_: their names, where `fit` was given a table with names.
        params_: the network, for all of jaxnet's functions.
        history_: the cost and accuracy of each epoch.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from jaxnet.estimator import NetworkClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> pipeline = make_pipeline(StandardScaler(), NetworkClassifier(random_state=0))
        >>> pipeline.fit(X, y).score(X, y) > 0.95
        True

    It passes scikit-learn's own checks but one, that a sample of weight two be the same as two
    samples (`check_sample_weight_equivalence_on_dense_data`): these may fall into different
    batches, so the objective is the same, but not the path to its minimum.

    Source: the protocol is scikit-learn's "Developing scikit-learn estimators".
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (16, 16),
        *,
        squash: str = "sigmoid",
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        epochs: int = 100,
        batch_size: int = 32,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.squash = squash
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the model, discarding any previous fit.

        Args:
            X: shape `(samples, features)`, finite numbers; computed with in float32.
            y: shape `(samples,)`, their labels.
            sample_weight: how much each counts, shape `(samples,)`, none negative; 1 each, if
                not given.

        Returns:
            Itself.

        Raises:
            TypeError, ValueError: samples, labels or arguments of another kind, or a learning
                rate at which the network's numbers left all bounds.

        Example: see the class.
        """
        self._check_arguments()
        x, y = cast(Any, validate_data(self, X, y, dtype=np.float32))
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, x, dtype=np.float32, ensure_non_negative=True
            )
        self.classes_, labels = np.unique(y, return_inverse=True)
        seed = check_random_state(self.random_state).randint(2**31)
        key_init, key_fit = jax.random.split(jax.random.key(seed))
        params, history = _learn(
            key_fit,
            init(key_init, (x.shape[1], *self.hidden_sizes, len(self.classes_))),
            x,
            labels.astype(np.int32),
            sample_weight,
            self.learning_rate,
            squash=self.squash,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=len(x) // math.ceil(len(x) / self.batch_size),
        )
        if not all(np.isfinite(a).all() for a in jax.tree.leaves((params, history))):
            raise ValueError(
                "Expected learning to stay within bounds; got NaN or infinity instead. "
                f"Try a learning_rate below {self.learning_rate}, or features of a smaller scale."
            )
        self.params_, self.history_, self.squash_ = params, history, self.squash
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of the greatest output for each sample, shape `(samples,)`.

        Raises:
            NotFittedError, ValueError: called before `fit`, or other features than there.

        Example: see the class.
        """
        # Not by the digits: a single class has a single output, whose threshold says nothing.
        return self.classes_[self._read(X).activations.argmax(1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities: the softmax of the logits.

        That is what the cross-entropy takes them for and makes as good as it can; of the sigmoids
        of `jaxnet.forward`, which need not sum to 1, it knows nothing. A network that has seen
        its samples many times is surer than it should be; where that matters, see scikit-learn's
        `CalibratedClassifierCV`.

        Returns:
            Shape `(samples, classes)`, in the order of `classes_`; each row sums to 1.

        Raises:
            NotFittedError, ValueError: as `predict`.

        Example:
            >>> from jaxnet.estimator import NetworkClassifier
            >>> X, y = [[0.0], [0.1], [0.9], [1.0]], ["low", "low", "high", "high"]
            >>> classifier = NetworkClassifier(random_state=0).fit(X, y)
            >>> classifier.classes_.tolist(), classifier.predict_proba([[0.2]]).round().tolist()
            (['high', 'low'], [[0.0, 1.0]])

        Source: Bridle, "Probabilistic interpretation of feedforward classification network
        outputs", 1990; Guo et al., "On calibration of modern neural networks", 2017.
        """
        z = self._read(X).activations
        return softmax(z.astype(np.float64), axis=1)

    def _read(self, X: Any) -> Answers:
        check_is_fitted(self)
        x = cast(Any, validate_data(self, X, reset=False, dtype=np.float32))
        squash = SQUASHES[self.squash_]
        return classify(self.params_, x, squash=squash, last_squash=identity, check_range=False)

    def _check_arguments(self) -> None:
        for name, names in (("squash", SQUASHES), ("optimizer", OPTIMIZERS)):
            if not isinstance(got := getattr(self, name), str) or got not in names:
                raise ValueError(f"Expected {name} of {', '.join(names)}; got {got!r} instead.")
        sizes: Any = self.hidden_sizes
        if not isinstance(sizes, Sequence) or not all(map(_is_count, sizes)):
            raise ValueError(
                f"Expected hidden_sizes as a tuple of integers above 0; got {sizes!r} instead."
            )
        for name in ("epochs", "batch_size"):
            if not _is_count(got := getattr(self, name)):
                raise ValueError(f"Expected {name} as an integer above 0; got {got!r} instead.")
        rate: Any = self.learning_rate
        if not isinstance(rate, (int, float, np.number)) or not 0 < rate < math.inf:
            raise ValueError(f"Expected learning_rate as a number above 0; got {rate!r} instead.")


def _is_count(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and bool(n > 0)


@partial(jax.jit, static_argnames=("squash", "optimizer", "epochs", "batch_size"))
def _learn(
    key: Key[Array, ""],
    params: Params,
    x: Array,
    y: Array,
    sample_weights: Array | None,
    rate: float,
    *,
    squash: str,
    optimizer: str,
    epochs: int,
    batch_size: int,
) -> tuple[Params, History]:
    schedule = SCHEDULES["cosine"](rate, epochs * (len(x) // batch_size))
    state, history = fit(
        key,
        x,
        y,
        OPTIMIZERS[optimizer](schedule),
        epochs=epochs,
        batch_size=batch_size,
        params=params,
        squash=SQUASHES[squash],
        sample_weights=sample_weights,
    )
    return state.params, history
