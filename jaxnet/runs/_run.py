"""A run: its data, its identity, and the loop over epochs that saves a checkpoint after each."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet._util.shuffle import shuffled
from jaxnet.analysis import shard_members
from jaxnet.data import mnist, synthetic
from jaxnet.data._load import read_labeled
from jaxnet.data.mnist import load_mnist
from jaxnet.network import SIDE, Params, init
from jaxnet.runs import _checkpoint
from jaxnet.runs._memory import check_memory
from jaxnet.runs._options import (
    AUGMENTS,
    COSTS,
    OPTIMIZERS,
    SCHEDULES,
    Options,
    check_options,
    n_validation,
)
from jaxnet.training import History, MeanCost, Score, TrainState, evaluate, train_epoch


class Progress(NamedTuple):
    """The state of a run after an epoch.

    Attributes:
        params: an ensemble: all arrays have a leading member axis.
        history: arrays of shape `(epochs so far, members)`; `validation` is None without validation
            images.
        seconds: training time, including earlier sessions.
    """

    params: Params
    history: History
    seconds: float

    @property
    def best(self) -> int:
        """The member with the best validation accuracy, or else with the lowest cost."""
        h = self.history
        last = -h.cost[-1] if h.validation is None else h.validation.accuracy[-1]
        alive = np.isfinite(h.cost[-1]) & np.isfinite(last)
        return int(np.where(alive, last, -np.inf).argmax())


class Diverged(RuntimeError):
    """Training diverged: no ensemble member has a finite cost."""


class OtherOptions(FileError):
    """The checkpoint is of a run with other options: these, as text."""

    def __init__(self, path: Any, options: Mapping[str, str]) -> None:
        told = ", ".join(f"{name}={value}" for name, value in options.items()) or "other options"
        super().__init__(
            f"{path}: an unfinished run with {told}; pass the same options, or delete it."
        )
        self.path, self.options = path, options


_MAX_COST = 1e4  # a cost from which a run never recovers; chance level is about 2.3


def load_data(
    data: Sequence[str],
    *,
    recursive: bool = False,
    transposed: bool = False,
    side: int = SIDE,
) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Loads training images and labels by name or path.

    Args:
        data: `["mnist"]`, MNIST's training split; `["drawn"]`, 20,000 synthetic digits; one path
            that holds images and labels; or the paths of the images and of the labels. Of a file
            with several splits, it is that for training.
        recursive, transposed, side: as for `jaxnet.data.open_inputs`.

    Returns:
        Images of shape `(n, side²)`, labels of shape `(n,)`, and a description, which calls images
        MNIST's only if they are.

    Raises:
        ValueError: neither a known name nor one or two paths.
        FileError, OSError: as `load_mnist`, `open_inputs` and `read_labels`.

    Example:
        >>> import jaxnet
        >>> images, labels, named = jaxnet.runs.load_data(["drawn"])
        >>> images.shape, images.dtype, named
        ((20000, 784), dtype('uint8'), '20,000 synthetic digits')
    """
    if list(data) == ["mnist"] and side != SIDE:
        raise ValueError(
            f"Expected a network of {SIDE**2} inputs for MNIST's images; got one of {side**2}."
        )
    if list(data) == ["mnist"]:
        images, labels = load_mnist("train")
        return images, labels, "MNIST's training images"
    if list(data) == ["drawn"]:
        images, labels = synthetic.sample(jax.random.key(0), 20_000, side=side)
        return (
            np.asarray((255 * images).round().astype(jnp.uint8)),
            np.asarray(labels),
            (f"{len(labels):,} synthetic digits"),
        )
    if len(data) not in (1, 2):
        raise ValueError(
            "Expected mnist, drawn, one path that holds images and labels, or two, images and "
            f"labels; got {' '.join(data) or 'nothing'}."
        )
    path = data[0]
    options: Any = {"split": "train", "recursive": recursive, "side": side}
    images, labels, notes = read_labeled(path, data[-1], transposed=transposed, **options)
    if split := mnist.split_of(images):
        return images, labels, f"MNIST's {'training' if split == 'train' else split} images"
    named = f"{len(images):,} images of {Path(path).name}"
    named += ", which are not MNIST's" if mnist.is_mnists_name(path) else ""
    notes = [note.removeprefix(f"{path}: ").removesuffix(".") for note in notes]
    return images, labels, named + (f" ({'; '.join(notes)})" if notes else "")


def identity(
    options: Options, images: NDArray[Any], labels: NDArray[Any], params: Params | None = None
) -> dict[str, str]:
    """What identifies a run: its options, and the SHA-256 of its images, labels and network."""
    arrays = {"images": images, "labels": labels}
    if params is not None:
        arrays["network"] = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(a).data).hexdigest() for name, a in arrays.items()
    }
    return {"options": json.dumps(options._asdict()), **digests}


def train(
    options: Options,
    images: NDArray[Any],
    labels: NDArray[Any],
    checkpoint: str | os.PathLike[str],
    *,
    resume: bool = False,
    params: Params | None = None,
) -> Iterator[Progress]:
    """Trains, saving a checkpoint at the start and after every epoch.

    Args:
        options: the configuration of the run.
        images: shape `(n, pixels)`, uint8 or floats from 0 to 1.
        labels: integers, shape `(n,)`.
        checkpoint: the file, replaced atomically.
        resume: continue from the checkpoint if it exists.
        params: the network to begin with, of the sizes and the squash in `options`; by default a
            random one.

    Returns:
        An iterator of the progress after each epoch; if a checkpoint was loaded, first its own.

    Raises:
        ValueError: invalid options, or options that do not fit these images.
        FileError: a checkpoint of another run, or one that would be overwritten.
        Diverged: no member has a finite cost; the checkpoint holds the previous epoch.
        OSError: the checkpoint cannot be written; the previous one is intact.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> digits = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
        >>> images, labels = map(jax.device_get, digits)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "run.checkpoint")
        >>> options = jaxnet.runs.Options(epochs=3, ensemble=2)
        >>> [len(p.history.cost) for p in jaxnet.runs.train(options, images, labels, path)]
        [1, 2, 3]
    """
    check_options(options, images, labels)
    check_memory(options, images)
    if params is not None:
        had = (params[0].weights.shape[1], *(len(layer.biases) for layer in params))
        if had != tuple(options.sizes):
            raise ValueError(f"Expected params of the sizes {options.sizes}; got {had} instead.")
    notes = identity(options, images, labels, params)
    start, epoch = _program(options, images, labels, params)
    none_yet: Any = np.empty((0, options.ensemble), np.float32)
    none = Score(none_yet, {"accuracy": none_yet})
    history = History(*none, none if options.validation else None)
    seconds = 0.0
    if os.path.exists(checkpoint):
        if not resume:
            raise FileError(
                f"{checkpoint}: an unfinished run; resume it with resume=True, or delete this file."
            )
        arrays, said = _checkpoint.load(checkpoint)
        names = {*notes, *said} - {"seconds"}
        if other := sorted(name for name in names if said.get(name) != notes.get(name)):
            raise _other_run(checkpoint, said, options, other)
        like = jax.eval_shape(start), history
        state, history = _checkpoint.as_tree(arrays, like, checkpoint)
        seconds = float(said["seconds"])
        state = _placed(state, options)
    else:
        state = start()
        _checkpoint.save(checkpoint, (state, history), {**notes, "seconds": "0"})
    return _epochs(options, checkpoint, notes, epoch, state, history, seconds)


def _epochs(
    options: Options,
    checkpoint: str | os.PathLike[str],
    notes: Mapping[str, str],
    epoch: Any,
    state: TrainState,
    history: History,
    seconds: float,
) -> Iterator[Progress]:
    """Trains epoch by epoch from a state."""
    if len(history.cost):
        yield Progress(state.params, history, seconds)
    for n in range(len(history.cost), options.epochs):
        began = time.monotonic()
        state, score = epoch(jnp.uint32(n), state)
        kept, now = jax.tree.map(np.array, (state, score))  # copies: the next epoch takes `state`
        seconds += time.monotonic() - began
        if not (now.cost < _MAX_COST).any():
            before = f"; the epoch before, it was {np.nanmin(history.cost[-1]):.3g}" if n else ""
            raise Diverged(
                f"training diverged in epoch {n + 1}, with a cost of "
                f"{now.cost.min():.3g}{before}. Try a rate below {options.rate:g}."
            )
        history = jax.tree.map(lambda past, row: np.concatenate([past, row[None]]), history, now)
        _checkpoint.save(checkpoint, (kept, history), {**notes, "seconds": repr(seconds)})
        yield Progress(kept.params, history, seconds)


def split(
    options: Options, images: NDArray[Any], labels: NDArray[Any]
) -> tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]:
    """The images and labels to train on, and those for validation, shuffled by the seed."""
    key, *_ = jax.random.split(jax.random.key(options.seed), 3)
    order, n = np.asarray(shuffled(key, len(images))), n_validation(options, len(images))
    unseen, seen = order[:n], order[n:]
    return (images[seen], labels[seen]), (images[unseen], labels[unseen])


def _placed(members: Any, options: Options) -> Any:
    """Shards the members across all devices if they can share them equally."""
    shared = options.ensemble % jax.device_count() == 0
    return shard_members(members, jax.devices() if shared else jax.devices()[:1])


def _program(
    options: Options, images: NDArray[Any], labels: NDArray[Any], params: Params | None
) -> tuple[Any, Any]:
    """Functions that return the initial state and run an epoch, compiled once for the whole run."""
    _, key_starts, key_epochs = jax.random.split(jax.random.key(options.seed), 3)
    parts = split(options, images, labels.astype(np.int32))
    seen, unseen = jax.tree.map(jnp.asarray, parts)
    n_unseen = len(unseen[1])

    loss = MeanCost(COSTS[options.cost], squash=options.squash, augment=AUGMENTS[options.augment])
    n_steps = options.epochs * (len(seen[0]) // options.batch_size)
    rate = SCHEDULES[options.schedule](options.rate, n_steps)
    optimizer = OPTIMIZERS[options.optimizer](rate)

    def start() -> TrainState:
        keys = jax.random.split(key_starts, options.ensemble)
        members = jax.vmap(partial(init, sizes=options.sizes))(keys)
        if params is not None:
            members = jax.tree.map(
                lambda a, b: jnp.broadcast_to(jnp.asarray(b).astype(a.dtype), a.shape),
                members,
                params,
            )
        return TrainState(members, jax.vmap(optimizer.init)(members))

    def one(key: Array, state: TrainState, seen: Any, unseen: Any) -> tuple[Any, History]:
        state, score = train_epoch(
            key, state, *seen, optimizer=optimizer, batch_size=options.batch_size, loss=loss
        )
        unseen_score = evaluate(state.params, *unseen, loss=loss) if n_unseen else None
        finite = jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)])
        cost = jnp.where(finite.all(), score.cost, jnp.nan)
        return state, History(cost, score.metrics, unseen_score)

    @partial(jax.jit, donate_argnums=1)
    def epoch(n: Array, state: TrainState, seen: Any, unseen: Any) -> Any:
        key = jax.random.fold_in(key_epochs, n)
        return jax.vmap(one, in_axes=(None, 0, None, None))(key, state, seen, unseen)

    return (
        lambda: _placed(jax.jit(start)(), options),
        lambda n, state: epoch(n, state, seen, unseen),
    )


def _other_run(path: Any, said: Mapping[str, str], options: Options, other: list[str]) -> FileError:
    """The error for a checkpoint of another run: names what differs."""
    if "options" not in other:
        return FileError(
            f"{path}: an unfinished run on other {other[0]}; pass the same, or delete it."
        )
    was, now = json.loads(said.get("options", "{}")), json.loads(json.dumps(options._asdict()))
    return OtherOptions(
        path, {name: _in_words(was.get(name)) for name in now if was.get(name) != now[name]}
    )


def _in_words(value: Any) -> str:
    return "-".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)
