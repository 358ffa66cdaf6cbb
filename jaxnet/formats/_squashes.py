"""What other frameworks and languages call each squashing function.

To add one, give it a line in `jaxnet.network.SQUASHES` and one in `FOREIGN`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxnet.network import SQUASHES, Squash, as_function

Node = tuple[str, Mapping[str, Any]]


class Foreign(NamedTuple):
    """One squashing function in other frameworks.

    Attributes:
        onnx: operators and their attributes, applied in order; `"Mul"` multiplies by the input.
        torch: the class in `torch.nn` and its arguments.
        keras: the name; None if Keras defines it differently, as `keras_differs` says.
        javascript: a function of an array of sums.
        keras_differs: how Keras's function of that name differs, after "Keras's gelu ...".
        sklearn: the name for hidden layers, if scikit-learn has it.
        sklearn_last: the name for the last layer.
    """

    onnx: tuple[Node, ...]
    torch: Node
    javascript: str
    keras: str | None
    keras_differs: str = ""
    sklearn: str | None = None
    sklearn_last: str | None = None


FOREIGN: Mapping[str, Foreign] = {
    "sigmoid": Foreign(
        (("Sigmoid", {}),),
        ("Sigmoid", {}),
        "each(sigmoid)",
        "sigmoid",
        sklearn="logistic",
        sklearn_last="logistic",
    ),
    "relu": Foreign(
        (("Relu", {}),), ("ReLU", {}), "each((z) => Math.max(z, 0))", "relu", sklearn="relu"
    ),
    "tanh": Foreign((("Tanh", {}),), ("Tanh", {}), "each(Math.tanh)", "tanh", sklearn="tanh"),
    "leaky_relu": Foreign(
        (("LeakyRelu", {"alpha": 0.01}),),
        ("LeakyReLU", {"negative_slope": 0.01}),
        "each((z) => (z >= 0 ? z : 0.01 * z))",
        None,
        "has a slope of 0.2, not 0.01",
    ),
    "elu": Foreign(
        (("Elu", {"alpha": 1.0}),),
        ("ELU", {}),
        "each((z) => (z > 0 ? z : Math.expm1(z)))",
        "elu",
    ),
    "gelu": Foreign(
        (("Gelu", {"approximate": "tanh"}),),
        ("GELU", {"approximate": "tanh"}),
        "each((z) => (z / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3))))",
        None,
        "is exact, not the tanh approximation",
    ),
    "silu": Foreign(
        (("Sigmoid", {}), ("Mul", {})), ("SiLU", {}), "each((z) => z * sigmoid(z))", "silu"
    ),
    "softplus": Foreign(
        (("Softplus", {}),),
        ("Softplus", {}),
        "each((z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))))",
        "softplus",
    ),
    "softmax": Foreign(
        (("Softmax", {"axis": -1}),),
        ("Softmax", {"dim": -1}),
        "softmax",
        "softmax",
        sklearn_last="softmax",
    ),
    "identity": Foreign(
        (("Identity", {}),),
        ("Identity", {}),
        "(z) => z",
        "linear",
        sklearn="identity",
        sklearn_last="identity",
    ),
}


def check_table(table: Mapping[str, Foreign]) -> None:
    """Raises ImportError if the table lacks a squash or an entry is half filled."""
    if table.keys() != SQUASHES.keys():
        raise ImportError(f"only one of two tables has {', '.join(table.keys() ^ SQUASHES.keys())}")
    for name, foreign in table.items():
        # Keras takes a missing name for the identity.
        if (foreign.keras is None) != bool(foreign.keras_differs):
            raise ImportError(f"{name} needs either `keras` or `keras_differs`")
        if not foreign.onnx or not foreign.javascript:
            raise ImportError(f"{name} needs `onnx` and `javascript`")


check_table(FOREIGN)


def as_name(squash: Squash) -> str:
    """The name of a squashing function in `SQUASHES`, given it or its name."""
    function = as_function(squash)
    for name, known in SQUASHES.items():
        if known is function:
            return name
    got = getattr(squash, "__name__", type(squash).__name__)
    raise ValueError(
        f"Expected a squash that files can name, one of {', '.join(SQUASHES)}; got {got} instead."
    )
