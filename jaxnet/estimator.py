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
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from jaxnet.inference import Answers, classify
from jaxnet.network import Layer, Params, Squash, as_function, init
from jaxnet.runs import OPTIMIZERS
from jaxnet.training import History, MeanCost, TrainState, fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import train_test_split
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


_NEW: Any = None  # in place of an optimizer's state that is yet to be made
_LARGE = 10.0  # size of features, from which a sigmoid's slope is lost


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network between any number of features and of classes, trained by `jaxnet.training.fit`.

    Minimizes cross-entropy. `fit` decays the learning rate to zero along a half cosine;
    `partial_fit` keeps it constant. Features are not scaled: scale them first, for example with
    `MinMaxScaler` or `StandardScaler`, and divide pixels from 0 to 255 by 255. The same
    `random_state` gives the same network. Training compiles once per number of samples, features
    and classes, and again when an argument changes other than `learning_rate`, `weight_decay` and
    `random_state`.

    Args:
        hidden_sizes: neurons in each hidden layer; a number for one layer, `()` for none, which is
            logistic regression.
        squash: of the hidden layers, a function or a name in `jaxnet.network.SQUASHES`.
        optimizer: a name in `jaxnet.runs.OPTIMIZERS`.
        learning_rate: of the first step.
        epochs: number of passes over the samples; with `early_stopping`, at most.
        batch_size: the most samples per step. Batches are of equal size; the few samples left
            over differ in each epoch.
        weight_decay: the strength of L2 regularization, as in PyTorch's `SGD`: adds
            `weight_decay / 2` times the sum of the squared weights, without the biases, to the mean
            cost; 0 for none.
        early_stopping: whether to hold some samples out, to stop when the cost on them no longer
            falls, and to keep the network that had the least.
        validation_fraction: the share that is held out, the same of each class.
        n_iter_no_change: epochs without a new least cost after which to stop.
        warm_start: whether `fit` begins with the network of the last fit, not with a new one.
        random_state: a seed; or as `sklearn.utils.check_random_state` takes it.

    Attributes:
        classes_: shape `(classes,)`, the labels in order; of any type that can be sorted.
        n_features_in_: the number of features.
        feature_names_in_: their names, where `fit` was given a table with names.
        params_: the network, for all of jaxnet's functions.
        history_: the cost, without the weight decay, and the accuracy of each epoch of the last
            `fit` and of each `partial_fit` since; with `early_stopping`, of the validation samples
            as well.

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
    batches, so the objective is the same, but the steps toward its minimum differ.

    Source: the protocol is scikit-learn's "Developing scikit-learn estimators".
    """

    def __init__(
        self,
        hidden_sizes: int | Sequence[int] = (16, 16),
        *,
        squash: Squash = "sigmoid",
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        epochs: int = 100,
        batch_size: int = 32,
        weight_decay: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.squash = squash
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the model, discarding any previous fit unless `warm_start` is true.

        Args:
            X: shape `(samples, features)`, finite numbers; computed with in float32.
            y: shape `(samples,)`, their labels.
            sample_weight: how much each counts, shape `(samples,)`, none negative; 1 each, if
                not given.

        Returns:
            Itself.

        Raises:
            TypeError, ValueError: samples, labels or arguments of another kind, or a learning
                rate so high that the network's weights became infinite or NaN.

        Example: see the class.
        """
        self._check_arguments()
        again = bool(self.warm_start) and hasattr(self, "params_")
        x, y, weights = self._checked(X, y, sample_weight, reset=not again)
        classes = self.classes_ if again else np.unique(y)
        seed = check_random_state(self.random_state).randint(2**31)
        key_init, key_fit = jax.random.split(jax.random.key(seed))
        sizes = (x.shape[1], *self._hidden(), len(classes))
        params = self.params_ if again else init(key_init, sizes)
        if again and (had := (*(w.shape[1] for w, _ in params), len(classes))) != sizes:
            raise ValueError(
                f"Expected the hidden_sizes of the last fit, {had[1:-1]}, with warm_start; got "
                f"{sizes[1:-1]} instead."
            )
        samples, validation = (x, (self._labels(y, classes), weights)), None
        if self.early_stopping:
            labels = samples[1][0]
            parts = train_test_split(
                *(x, labels, weights),
                test_size=self.validation_fraction,
                random_state=seed,
                stratify=labels,
            )
            (x, *seen), (unseen_x, *unseen) = parts[::2], parts[1::2]
            samples, validation = (x, tuple(seen)), (unseen_x, tuple(unseen))
        begin = TrainState(params, _NEW), self._n_epochs if again else 0
        self._train(key_fit, *begin, samples, validation, epochs=self.epochs, schedule="cosine")
        self.classes_, self._seed = classes, seed
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Passes once over some samples, and continues from all that came before.

        Args:
            X, y, sample_weight: as for `fit`.
            classes: all labels that will ever come; needed in the first call, unless `fit` came
                before.

        Returns:
            Itself.

        Raises:
            TypeError, ValueError: as `fit`; labels beyond the classes; or `early_stopping`.

        Example:
            >>> from jaxnet.estimator import NetworkClassifier
            >>> X, y = [[0.0], [0.1], [0.9], [1.0]], ["low", "low", "high", "high"]
            >>> classifier = NetworkClassifier(learning_rate=0.1, random_state=0)
            >>> for _ in range(100):
            ...     classifier = classifier.partial_fit(X, y, classes=["high", "low"])
            >>> classifier.predict([[0.2]]).tolist(), classifier.history_.cost.shape
            (['low'], (100,))
        """
        self._check_arguments()
        if self.early_stopping:
            raise ValueError("Expected early_stopping with fit only; partial_fit is one epoch.")
        first = not hasattr(self, "params_")
        if first and classes is None:
            raise ValueError("Expected classes in the first call of partial_fit; got None instead.")
        x, y, weights = self._checked(X, y, sample_weight, reset=first)
        known = np.unique(classes) if first else self.classes_
        if not first and classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(
                f"Expected the classes of the first call; got {classes!r:.100} instead."
            )
        labels = self._labels(y, known)
        seed = check_random_state(self.random_state).randint(2**31) if first else self._seed
        key_init, key_fit = jax.random.split(jax.random.key(seed))
        if first:
            sizes = (x.shape[1], *self._hidden(), len(known))
            begin = TrainState(init(key_init, sizes), _NEW), 0
        else:
            state = self._state
            state = state if self._trained_by == self.optimizer else state._replace(opt_state=_NEW)
            begin = state, self._n_epochs
        before = None if first else self.history_
        self._train(key_fit, *begin, (x, (labels, weights)), None, epochs=1, schedule="constant")
        if before:
            whole = History(*before[:2], validation=None)
            self.history_ = jax.tree.map(lambda *a: jnp.concatenate(a), whole, self.history_)
        self.classes_, self._seed = known, seed
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of the greatest output for each sample, shape `(samples,)`.

        Raises:
            NotFittedError, ValueError: called before `fit`, or other features than there.

        Example: see the class.
        """
        # Not by the digits: a single class has a single output, and no threshold to exceed.
        outputs = self._read(X).activations.argmax(1)  # first, since it asks whether it is fitted
        return self.classes_[outputs]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities: the softmax of the logits.

        Training minimizes the cross-entropy of exactly these probabilities. The sigmoids of
        `jaxnet.forward` are something else and need not sum to 1. An overtrained network is
        overconfident; calibrate it with scikit-learn's `CalibratedClassifierCV`.

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

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithms of `predict_proba`, finite where those round to 0.

        Returns:
            Shape `(samples, classes)`, in the order of `classes_`.

        Raises:
            NotFittedError, ValueError: as `predict`.

        Example:
            >>> from jaxnet.estimator import NetworkClassifier
            >>> classifier = NetworkClassifier(random_state=0).fit([[0.0], [1.0]], [3, 7])
            >>> classifier.predict_log_proba([[0.2]]).shape
            (1, 2)
        """
        return log_softmax(self._read(X).activations.astype(np.float64), axis=1)

    def _hidden(self) -> tuple[int, ...]:
        sizes: Any = self.hidden_sizes
        return (int(sizes),) if _is_count(sizes) else tuple(sizes)

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> tuple[Any, Any, Any]:
        """Samples, labels and weights as arrays, after scikit-learn's validation."""
        x, y = cast(Any, validate_data(self, X, y, dtype=np.float32, reset=reset))
        size = np.sqrt(np.square(x, dtype=np.float64).mean())
        if size > _LARGE:
            warnings.warn(
                f"Expected features of a size of about 1; got {size:.3g} (root mean square), at "
                "which sigmoids saturate. Scale them first, as MinMaxScaler or StandardScaler do; "
                "divide images from 0 to 255 by 255.",
                stacklevel=3,
            )
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, x, dtype=np.float32, ensure_non_negative=True)
        return x, y, weights

    def _labels(self, y: Any, classes: NDArray[Any]) -> NDArray[np.int32]:
        """The index of each label among the classes."""
        if unknown := sorted({*np.unique(y).tolist()} - {*classes.tolist()}):
            raise ValueError(f"Expected labels of {classes!r:.100}; got {unknown!r:.100} as well.")
        return np.searchsorted(classes, y).astype(np.int32)

    def _train(
        self,
        key: Array,
        state: TrainState,
        n_before: int,
        samples: Any,
        validation: Any,
        *,
        epochs: int,
        schedule: str,
    ) -> None:
        n = len(samples[0])
        batch_size = n // math.ceil(n / self.batch_size)
        n_steps = epochs * (n // batch_size)
        learn = partial(
            _learn,
            key,
            *(*samples, validation, self.learning_rate, self.weight_decay),
            loss=MeanCost(squash=self.squash, weighted=True),
            optimizer=self.optimizer,
            n_steps=n_steps if schedule == "cosine" else None,
            batch_size=batch_size,
        )
        if validation is None:
            state, history = learn(*state, n_before, epochs=epochs)
            n_done = epochs
        else:
            n_done, state, history = self._until_no_better(learn, state, n_before, epochs)
        if not all(np.isfinite(a).all() for a in jax.tree.leaves((state.params, history))):
            raise ValueError(
                "Expected learning to stay within bounds; got NaN or infinity instead. "
                f"Try a learning_rate below {self.learning_rate}, or features of a smaller scale."
            )
        self.params_, self.history_, self.squash_ = state.params, history, self.squash
        self._state, self._trained_by = state, self.optimizer
        self._n_epochs = n_before + n_done

    def _until_no_better(
        self, learn: Callable[..., Any], state: TrainState, n_before: int, epochs: int
    ) -> tuple[int, TrainState, History]:
        """Trains epoch by epoch until the validation cost stops falling; the best state."""
        best, costs, histories = None, [math.inf], []
        while len(histories) < epochs and len(costs) - np.argmin(costs) <= self.n_iter_no_change:
            state, history = learn(*state, n_before + len(histories), epochs=1)
            best = state if history.validation.cost[0] < min(costs) or best is None else best
            costs.append(float(history.validation.cost[0]))
            histories.append(history)
        history = jax.tree.map(lambda *a: np.concatenate(a), *histories)
        return len(histories), cast(TrainState, best), history

    def _read(self, X: Any) -> Answers:
        check_is_fitted(self)
        x = cast(Any, validate_data(self, X, reset=False, dtype=np.float32))
        return classify(
            self.params_, x, squash=self.squash_, last_squash="identity", check_range=False
        )

    def _check_arguments(self) -> None:
        as_function(self.squash)
        if (got := self.optimizer) not in (*OPTIMIZERS,):
            raise ValueError(f"Expected optimizer of {', '.join(OPTIMIZERS)}; got {got!r} instead.")
        sizes: Any = self.hidden_sizes
        several = isinstance(sizes, Sequence) and all(map(_is_count, sizes))
        if not several and not _is_count(sizes):
            raise ValueError(
                f"Expected hidden_sizes as a tuple of integers above 0, or one; got {sizes!r} "
                "instead."
            )
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            if not _is_count(got := getattr(self, name)):
                raise ValueError(f"Expected {name} as an integer above 0; got {got!r} instead.")
        for name, fits, expected in (
            ("learning_rate", lambda rate: 0 < rate < math.inf, "as a number above 0"),
            ("weight_decay", lambda decay: 0 <= decay < math.inf, "as a number from 0"),
            ("validation_fraction", lambda share: 0 < share < 1, "from 0 to 1"),
        ):
            got = getattr(self, name)
            if not isinstance(got, (int, float, np.number)) or not fits(got):
                raise ValueError(f"Expected {name} {expected}; got {got!r} instead.")


def _is_count(n: Any) -> bool:
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and bool(n > 0)


@partial(jax.jit, static_argnames=("loss", "optimizer", "n_steps", "batch_size", "epochs"))
def _learn(
    key: Array,
    x: Array,
    y: Any,
    validation: tuple[Array, Any] | None,
    rate: float,
    decay: float,
    params: Params,
    opt_state: Any,
    first_epoch: int,
    *,
    loss: MeanCost,
    optimizer: str,
    n_steps: int | None,
    batch_size: int,
    epochs: int,
) -> tuple[TrainState, History]:
    """Trains with a learning rate that decays to zero in `n_steps` steps, or stays."""
    # Both are functions, so that either continues the other's state.
    schedule = (lambda _: rate) if n_steps is None else optax.cosine_decay_schedule(rate, n_steps)
    made = optax.chain(
        optax.add_decayed_weights(decay, _weights_only), OPTIMIZERS[optimizer](schedule)
    )
    return fit(
        *(key, x, y, made),
        epochs=epochs,
        batch_size=batch_size,
        state=TrainState(params, made.init(params) if opt_state is None else opt_state),
        first_epoch=first_epoch,
        loss=loss,
        validation=validation,
    )


def _weights_only(params: Any) -> Any:
    """A mask of what decays."""
    return tuple(Layer(True, False) for _ in params)  # pyright: ignore[reportArgumentType]
