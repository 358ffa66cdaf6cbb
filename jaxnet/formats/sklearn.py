"""scikit-learn networks: `MLPClassifier`."""

from typing import Any

import numpy as np

from jaxnet._util.optional import package
from jaxnet.formats._parts import with_spec
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


def from_sklearn(model: Any) -> tuple[Params, Spec]:
    """Converts a network from scikit-learn.

    Args:
        model: a fitted `MLPClassifier`. Output `n` stands for `classes_[n]`; with two classes
            there is one output, the probability of the second.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`. Its outputs are those
        of `predict_proba`: softmax, or sigmoid for two classes or for multilabel models.

    Raises:
        TypeError, ValueError: not an `MLPClassifier`, or not fitted.

    Example:
        >>> import jaxnet
        >>> from_sklearn(to_sklearn(jaxnet.pretrained(), last_squash="softmax"))[1].last_squash
        'softmax'
    """
    neural_network = package("sklearn.neural_network", "pip install scikit-learn")
    if not isinstance(model, neural_network.MLPClassifier) or not hasattr(model, "coefs_"):
        raise TypeError(f"Expected a fitted MLPClassifier; got {model!r:.60}.")
    layers = [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]
    return with_spec(layers, _HIDDEN[model.activation], _LAST[model.out_activation_])


def _theirs(names: dict[str, str], ours: str) -> str:
    for theirs, name in names.items():
        if name == ours:
            return theirs
    raise ValueError(
        f"Expected a squash that scikit-learn supports here, {', '.join(names.values())}; got "
        f"{ours!r}."
    )
