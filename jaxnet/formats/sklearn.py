"""scikit-learn networks: `MLPClassifier`."""

from typing import Any

import numpy as np

from jaxnet._util.optional import package
from jaxnet.formats._affine import Step, dense
from jaxnet.formats._affine import squash as squash_step
from jaxnet.formats._order import in_one_line
from jaxnet.formats._parts import from_steps, with_spec
from jaxnet.formats._spec import Spec
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import Params, Squash

_HIDDEN = {f.sklearn: name for name, f in FOREIGN.items() if f.sklearn}
_LAST = {f.sklearn_last: name for name, f in FOREIGN.items() if f.sklearn_last}


def to_sklearn(
    params: Params, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> Any:
    """Converts a network to scikit-learn, for prediction only.

    Args:
        params: the network, with at least three outputs; or with one, under sigmoid, for two
            classes.
        squash: the hidden layers': sigmoid, relu, tanh or identity.
        last_squash: the last layer's: sigmoid, softmax or identity.

    Returns:
        An `MLPClassifier` in float64 whose classes are the output indices. `predict_proba` returns
        the last layer's activations; under sigmoid they do not sum to 1, unlike those of a
        classifier fitted by scikit-learn.

    Raises:
        TypeError, ValueError: not one network of finite floats, an unsupported number of outputs,
            or an unsupported squash.
        ModuleNotFoundError: scikit-learn is not installed.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> to_sklearn(jaxnet.pretrained()).predict(x[None])
        array([7])
    """
    neural_network = package("sklearn.neural_network", "pip install scikit-learn")
    preprocessing = package("sklearn.preprocessing", "pip install scikit-learn")
    params, spec = with_spec(params, squash, last_squash)
    n_out = spec.sizes[-1]
    if n_out == 2 or (n_out == 1 and spec.last_squash != "sigmoid"):
        raise ValueError(f"Expected at least three outputs, or one with sigmoid; got {n_out}.")
    model = neural_network.MLPClassifier(spec.sizes[1:-1], activation=_theirs(_HIDDEN, spec.squash))
    model.out_activation_ = _theirs(_LAST, spec.last_squash)
    model.coefs_ = [np.array(w, np.float64).T for w, _ in params]
    model.intercepts_ = [np.array(b, np.float64) for _, b in params]
    model.n_layers_, model.n_outputs_ = len(spec.sizes), n_out
    model.n_features_in_ = spec.sizes[0]
    model.classes_ = np.arange(max(n_out, 2))
    model._label_binarizer = preprocessing.LabelBinarizer().fit(model.classes_)
    return model


def from_sklearn(model: Any, *, pixels: float | None = None) -> tuple[Params, Spec]:
    """Converts a network from scikit-learn.

    Args:
        model: a fitted `MLPClassifier`, or a `Pipeline` that ends in one and whose other steps are
            affine, such as `StandardScaler` and `PCA`. Output `n` stands for `classes_[n]`; with
            two classes there is one output, the probability of the second.
        pixels: what the model takes for a white pixel, as for `jaxnet.load`: 16 for
            `sklearn.datasets.load_digits`.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`. Its outputs are those
        of `predict_proba`: softmax, or sigmoid for two classes or for multilabel models.

    Raises:
        TypeError, ValueError: another model, one that is not fitted, or a step that is not affine.

    Example:
        >>> import jaxnet
        >>> from_sklearn(to_sklearn(jaxnet.pretrained(), last_squash="softmax"))[1].last_squash
        'softmax'
    """
    neural_network = package("sklearn.neural_network", "pip install scikit-learn")
    pipeline = package("sklearn.pipeline", "pip install scikit-learn")
    *before, last = [m for _, m in model.steps] if isinstance(model, pipeline.Pipeline) else [model]
    if not isinstance(last, neural_network.MLPClassifier) or not hasattr(last, "coefs_"):
        raise TypeError(f"Expected a fitted MLPClassifier; got {last!r:.60}.")
    before = [m for m in before if m not in (None, "passthrough")]
    if pixels is None and any(np.max(getattr(m, "mean_", 0)) > 1 for m in before[:1]):
        raise ValueError(
            f"Expected the scale of the pixels that {before[0]} has seen, since their mean is "
            "above 1; pass pixels=16 or pixels=255, for example."
        )
    steps = [Step(in_one_line([m]), m.transform) for m in before]
    n = len(last.coefs_)
    for at, (w, b) in enumerate(zip(last.coefs_, last.intercepts_, strict=True), 1):
        name = _LAST[last.out_activation_] if at == n else _HIDDEN[last.activation]
        steps += [dense(f"layer {at}", w.T, b), squash_step(name)]
    return from_steps(steps, ([*before, last][0].n_features_in_,), pixels=pixels)


def _theirs(names: dict[str, str], ours: str) -> str:
    for theirs, name in names.items():
        if name == ours:
            return theirs
    raise ValueError(
        f"Expected a squash that scikit-learn supports here, {', '.join(names.values())}; got "
        f"{ours!r}."
    )
