"""The options of a training run, and the tables of what their names stand for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optax
from numpy.typing import NDArray

from jaxnet import training
from jaxnet._util.arguments import ArgumentError, check_choice
from jaxnet.data.augment import affine, both, elastic
from jaxnet.network import SIZES, SQUASHES
from jaxnet.training._costs import Cost
from jaxnet.training._loss import Augment

OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "lion": optax.lion,
    "momentum": partial(optax.sgd, momentum=0.9),
    "muon": optax.contrib.muon,
    "nadam": optax.nadam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}
SCHEDULES: Mapping[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, n_steps: rate,
    "cosine": optax.cosine_decay_schedule,
    "linear": lambda rate, n_steps: optax.linear_schedule(rate, 0.0, n_steps),
}
COSTS: Mapping[str, Cost] = {
    "cross-entropy": training.cross_entropy,
    "quadratic": training.quadratic_cost,
}
AUGMENTS: Mapping[str, Augment | None] = {
    "none": None,
    "affine": affine,
    "elastic": elastic,
    "both": both,
}
TABLES: Mapping[str, Mapping[str, Any]] = {
    "squash": SQUASHES,
    "cost": COSTS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": AUGMENTS,
}


class Options(NamedTuple):
    """The configuration of a run. To add an optimizer, say, give it a line in `OPTIMIZERS`.

    Attributes:
        sizes: layer sizes, input first.
        squash: the hidden layers' activation function, a name in `jaxnet.network.SQUASHES`.
        cost, optimizer, schedule, augment: names in this room's tables.
        rate: the initial learning rate.
        epochs: number of passes over the images.
        batch_size: images per step.
        seed: determines every random number of the run.
        ensemble: number of networks trained side by side, on the same batches.
        validation: fraction of the images used only for validation, from 0 to below 1.
    """

    sizes: tuple[int, ...] = SIZES
    squash: str = "sigmoid"
    cost: str = "cross-entropy"
    optimizer: str = "adam"
    schedule: str = "cosine"
    rate: float = 0.01
    epochs: int = 15
    batch_size: int = 100
    augment: str = "none"
    seed: int = 0
    ensemble: int = 1
    validation: float = 0.1


def n_validation(options: Options, n: int) -> int:
    """The number of validation images out of `n`."""
    return max(1, round(options.validation * n)) if options.validation else 0


def check_values(options: Options) -> None:
    """Raises unless the options are valid, whatever the images."""
    for name, table in TABLES.items():
        check_choice(table, getattr(options, name), name)
    for name, valid, expected in (
        ("epochs", options.epochs >= 1, "at least 1"),
        ("ensemble", options.ensemble >= 1, "at least 1"),
        ("rate", 0 < options.rate < float("inf"), "a positive number"),
        ("validation", 0 <= options.validation < 1, "a fraction from 0 to below 1"),
        ("seed", 0 <= options.seed < 2**32, "a number from 0 to 4294967295"),
    ):
        if not valid:
            raise ArgumentError(name, f"expected {expected}; got {getattr(options, name)}.")


def check_options(options: Options, images: NDArray[Any], labels: NDArray[Any]) -> None:
    """Raises unless the options are valid, and fit the images and labels."""
    check_values(options)
    sizes = options.sizes
    if len(sizes) < 2 or min(sizes) < 1 or max(sizes) > 10**6 or sizes[0] != images.shape[1]:
        raise ArgumentError(
            "sizes",
            f"expected {images.shape[1]} first, the number of pixels, then the neurons of each "
            f"layer, as in 784-16-16-10; got {'-'.join(map(str, sizes))}.",
        )
    if len(images) != len(labels):
        raise ValueError(f"{len(labels):,} labels for {len(images):,} images.")
    if labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
        raise ValueError(f"Expected labels as non-negative integers; got {labels.dtype}.")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ValueError("Expected images with values from 0 to 1; some are NaN or infinite.")
    if labels.size and labels.max() >= sizes[-1]:
        raise ArgumentError(
            "sizes",
            f"expected at least {labels.max() + 1} neurons in the last layer, for digits up to "
            f"{labels.max()}; got {sizes[-1]}.",
        )
    n = len(images) - n_validation(options, len(images))
    if not 1 <= options.batch_size <= n:
        raise ArgumentError(
            "batch_size",
            f"expected 1 to {n:,}, the number of training images; got {options.batch_size}.",
        )
