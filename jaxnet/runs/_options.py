"""The options of a training run, each by name, and what the names stand for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optax
from numpy.typing import NDArray

from jaxnet import training
from jaxnet.data.augment import affine, both, elastic
from jaxnet.network import SIZES, SQUASHES
from jaxnet.training import Augment, Cost

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


class Options(NamedTuple):
    """What a run is, but for its images.

    Attributes:
        sizes: neurons in each layer, the input first.
        squash: of the hidden layers, a name in `jaxnet.network.SQUASHES`.
        cost, optimizer, schedule, augment: names in this module's tables.
        rate: the learning rate to begin with.
        epochs: times that the images are gone through.
        batch_size: images a step.
        seed: decides every random number of the run.
        ensemble: networks that learn side by side, from the same batches.
        held_out: share of the images that are only scored, from 0 to below 1.
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
    held_out: float = 0.1


def n_held_out(options: Options, n: int) -> int:
    return max(1, round(options.held_out * n)) if options.held_out else 0


def check_options(options: Options, images: NDArray[Any], labels: NDArray[Any]) -> None:
    tables = {
        "squash": SQUASHES,
        "cost": COSTS,
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "augment": AUGMENTS,
    }
    for name, table in tables.items():
        if (value := getattr(options, name)) not in table:
            raise ValueError(f"--{name}: expected one of {', '.join(table)}; got {value}.")
    for name in ("epochs", "ensemble"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name}: expected at least 1; got {getattr(options, name)}.")
    if not 0 < options.rate < float("inf"):
        raise ValueError(f"--rate: expected a number above 0; got {options.rate}.")
    if not 0 <= options.held_out < 1:
        raise ValueError(f"--held-out: expected a share from 0 to below 1; got {options.held_out}.")
    if not 0 <= options.seed < 2**32:
        raise ValueError(f"--seed: expected a number from 0 to 4294967295; got {options.seed}.")
    sizes = options.sizes
    if len(sizes) < 2 or min(sizes) < 1 or max(sizes) > 10**6 or sizes[0] != images.shape[1]:
        raise ValueError(
            f"--sizes: expected {images.shape[1]} first, as many as the images have pixels, then "
            f"the neurons of each layer, as in 784-16-16-10; got {'-'.join(map(str, sizes))}."
        )
    if len(images) != len(labels):
        raise ValueError(f"{len(labels):,} labels for {len(images):,} images.")
    if labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
        raise ValueError(f"Expected labels, integers from 0; got {labels.dtype}.")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise ValueError("Expected images, numbers from 0 to 1; some of theirs are NaN.")
    if labels.size and labels.max() >= sizes[-1]:
        raise ValueError(
            f"--sizes: expected {labels.max() + 1} neurons or more at the end, one for each "
            f"digit up to {labels.max()}; got {sizes[-1]}."
        )
    n = len(images) - n_held_out(options, len(images))
    if not 1 <= options.batch_size <= n:
        raise ValueError(
            f"--batch-size: expected from 1 to the {n:,} images to learn from; "
            f"got {options.batch_size}."
        )
