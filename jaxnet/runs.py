"""Training runs on disk: chosen by name, kept after each epoch, picked up where they stopped.

A run is the same to the last bit however often it was interrupted: each epoch's key follows
from the seed and the number of the epoch, and the checkpoint holds all else, exactly.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet import training
from jaxnet.data import strokes
from jaxnet.data.mnist import load_mnist
from jaxnet.data.sources import read_images, read_labels
from jaxnet.data.warp import affine, both, elastic
from jaxnet.ensembles import spread
from jaxnet.files import FileError
from jaxnet.formats import checkpoints
from jaxnet.formats.safetensors import SQUASHES
from jaxnet.network import SIZES, Params, init
from jaxnet.shuffling import shuffled
from jaxnet.training import Augment, Cost, History, Score, TrainState, train_epoch

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
        squash: of the hidden layers, a name in `jaxnet.formats.safetensors.SQUASHES`.
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


class Progress(NamedTuple):
    """A run so far.

    Attributes:
        params: an ensemble, each array with the members' axis in front.
        history: arrays of shape `(epochs so far, members)`; `held_out` is None where no
            images were held out.
        seconds: spent learning, earlier sessions included.
    """

    params: Params
    history: History
    seconds: float

    @property
    def best(self) -> int:
        """The member that reads the images held out best; without those, of the least cost."""
        h = self.history
        last = -h.cost[-1] if h.held_out is None else h.held_out.accuracy[-1]
        alive = np.isfinite(h.cost[-1]) & np.isfinite(last)
        return int(np.where(alive, last, -np.inf).argmax())


class Diverged(RuntimeError):
    """Learning led nowhere: every member's cost or weights left all bounds."""


_WORST = 1e4  # mean cost of an image, from which no run comes back; a guess costs about 2


def read(data: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Images and labels by name.

    Args:
        data: `["mnist"]`, its training half; `["drawn"]`, 20,000 digits by the program itself;
            or the paths of images and of labels.

    Returns:
        Images of shape `(n, 784)`, labels of shape `(n,)`, and what they are, in words.

    Raises:
        ValueError: none of these.
        FileError, OSError: as `load_mnist`, `read_images` and `read_labels`.

    Example:
        >>> import jaxnet
        >>> images, labels, named = jaxnet.runs.read(["drawn"])
        >>> images.shape, images.dtype, named
        ((20000, 784), dtype('uint8'), '20,000 drawn digits')
    """
    if list(data) == ["mnist"]:
        images, labels = load_mnist("train")
        return images, labels, "MNIST's training images"
    if list(data) == ["drawn"]:
        images, labels = strokes.sample(jax.random.key(0), 20_000)
        return (
            np.asarray((255 * images).round().astype(jnp.uint8)),
            np.asarray(labels),
            (f"{len(labels):,} drawn digits"),
        )
    if len(data) != 2:
        raise ValueError(
            "Expected mnist, or drawn, or two files, images and labels; "
            f"got {' '.join(data) or 'nothing'}."
        )
    images, labels = read_images(data[0]).images, read_labels(data[1])
    return images, labels, f"{len(images):,} images of {Path(data[0]).name}"


def identity(options: Options, images: NDArray[Any], labels: NDArray[Any]) -> dict[str, str]:
    """What makes a run this one and no other: its options and its data, the latter by SHA-256.

    Example:
        >>> import numpy, jaxnet
        >>> data = numpy.zeros((2, 784), "uint8"), numpy.zeros(2, int)
        >>> list(jaxnet.runs.identity(jaxnet.runs.Options(), *data))
        ['options', 'images', 'labels']
    """
    return {
        "options": json.dumps(options._asdict()),
        "images": hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
        "labels": hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest(),
    }


def begin(
    options: Options,
    images: NDArray[Any],
    labels: NDArray[Any],
    checkpoint: str | os.PathLike[str],
    *,
    resume: bool = False,
) -> Iterator[Progress]:
    """Trains as told, and keeps the state in a file, at the start and after each epoch.

    Args:
        options: what to do.
        images: shape `(n, pixels)`, uint8 or floats from 0 to 1.
        labels: integers, shape `(n,)`.
        checkpoint: the file; replaced whole, or not at all.
        resume: go on from the checkpoint, if there is one.

    Yields:
        The run so far, after each epoch; at once, where a checkpoint was read.

    Raises:
        ValueError: options that make no sense, or not with these images.
        FileError: a checkpoint of another run, or one that would be overwritten.
        Diverged: no member has a finite cost; the checkpoint is of the epoch before.
        OSError: the checkpoint cannot be written; the one before it is still there.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> images, labels = map(jax.device_get, jaxnet.data.strokes.sample(jax.random.key(0), 500))
        >>> path = pathlib.Path(tempfile.mkdtemp(), "run.checkpoint")
        >>> options = jaxnet.runs.Options(epochs=3, ensemble=2)
        >>> [len(p.history.cost) for p in jaxnet.runs.begin(options, images, labels, path)]
        [1, 2, 3]
    """
    _check(options, images, labels)
    notes = identity(options, images, labels)
    start, epoch = _program(options, images, labels)
    none_yet: Any = np.empty((0, options.ensemble), np.float32)
    history = History(none_yet, none_yet, Score(none_yet, none_yet) if options.held_out else None)
    seconds = 0.0
    if os.path.exists(checkpoint):
        if not resume:
            raise FileError(
                f"{checkpoint}: an unfinished run; go on with --resume, or remove this file."
            )
        like = jax.eval_shape(start), history
        (state, history), said = checkpoints.load(checkpoint, like)
        if other := [name for name in notes if said.get(name) != notes[name]]:
            raise FileError(_another_run(checkpoint, said, options, other))
        seconds = float(said["seconds"])
        if len(history.cost):
            yield Progress(state.params, history, seconds)
        state = _placed(state, options)
    else:
        state = start()
        checkpoints.save(checkpoint, (state, history), {**notes, "seconds": "0"})

    for n in range(len(history.cost), options.epochs):
        began = time.monotonic()
        state, score = epoch(jnp.uint32(n), state)
        kept, now = jax.tree.map(np.array, (state, score))  # copies: the next epoch takes `state`
        seconds += time.monotonic() - began
        if not (now.cost < _WORST).any():
            before = f"; it was {np.nanmin(history.cost[-1]):.3g} in the epoch before" if n else ""
            raise Diverged(
                f"learning went out of all bounds in epoch {n + 1}, with a cost of "
                f"{now.cost.min():.3g}{before}. Try a rate below {options.rate:g}."
            )
        history = jax.tree.map(lambda past, row: np.concatenate([past, row[None]]), history, now)
        checkpoints.save(checkpoint, (kept, history), {**notes, "seconds": repr(seconds)})
        yield Progress(kept.params, history, seconds)


def _n_held_out(options: Options, n: int) -> int:
    return max(1, round(options.held_out * n)) if options.held_out else 0


def _placed(members: Any, options: Options) -> Any:
    """Among all devices, where they can share the members evenly."""
    shared = options.ensemble % jax.device_count() == 0
    return spread(members, jax.devices() if shared else jax.devices()[:1])


def _program(options: Options, images: NDArray[Any], labels: NDArray[Any]) -> tuple[Any, Any]:
    """The state to begin with, and an epoch: functions compiled once for the whole run."""
    key_split, key_starts, key_epochs = jax.random.split(jax.random.key(options.seed), 3)
    n_held_out = _n_held_out(options, len(images))
    order = np.asarray(shuffled(key_split, len(images)))
    data = [jnp.asarray(a[order]) for a in (images, labels.astype(np.int32))]
    unseen = [a[:n_held_out] for a in data]
    seen = [a[n_held_out:] for a in data]

    squash = SQUASHES[options.squash]
    n_steps = options.epochs * (len(seen[0]) // options.batch_size)
    rate = SCHEDULES[options.schedule](options.rate, n_steps)
    optimizer = OPTIMIZERS[options.optimizer](rate)

    def start() -> TrainState:
        keys = jax.random.split(key_starts, options.ensemble)
        params = jax.vmap(partial(init, sizes=options.sizes))(keys)
        return TrainState(params, jax.vmap(optimizer.init)(params))

    def one(key: Array, state: TrainState, seen: Any, unseen: Any) -> tuple[Any, History]:
        state, score = train_epoch(
            key,
            state,
            *seen,
            optimizer=optimizer,
            batch_size=options.batch_size,
            cost=COSTS[options.cost],
            squash=squash,
            augment=AUGMENTS[options.augment],
        )
        held_out = (
            training.score(state.params, *unseen, cost=COSTS[options.cost], squash=squash)
            if n_held_out
            else None
        )
        finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)])
        cost = jnp.where(finite.all(), score.cost, jnp.nan)
        return state, History(cost, score.accuracy, held_out)

    @partial(jax.jit, donate_argnums=1)
    def epoch(n: Array, state: TrainState, seen: Any, unseen: Any) -> Any:
        key = jax.random.fold_in(key_epochs, n)
        return jax.vmap(one, in_axes=(None, 0, None, None))(key, state, seen, unseen)

    return (
        lambda: _placed(jax.jit(start)(), options),
        lambda n, state: epoch(n, state, seen, unseen),
    )


def _check(options: Options, images: NDArray[Any], labels: NDArray[Any]) -> None:
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
    n = len(images) - _n_held_out(options, len(images))
    if not 1 <= options.batch_size <= n:
        raise ValueError(
            f"--batch-size: expected from 1 to the {n:,} images to learn from; "
            f"got {options.batch_size}."
        )


def _another_run(
    checkpoint: Any, said: Mapping[str, str], options: Options, other: list[str]
) -> str:
    """What the checkpoint's run was told otherwise, as a sentence."""
    if "options" not in other:
        return f"{checkpoint}: an unfinished run on other {other[0]}; give it those, or remove it."
    was, now = json.loads(said.get("options", "{}")), json.loads(json.dumps(options._asdict()))
    differ = [
        f"--{name.replace('_', '-')} {_in_words(was.get(name))}"
        for name in now
        if was.get(name) != now[name]
    ]
    told = ", ".join(differ) or "other options"
    return f"{checkpoint}: an unfinished run with {told}; say so too, or remove it."


def _in_words(value: Any) -> str:
    return "-".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)
