"""The compiled parts of training: a step, an epoch, a run, and the score of a data set."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, NamedTuple, cast

import jax
import jax.export
import jax.numpy as jnp
import optax
from jax.core import eval_context
from jax.extend.core import get_opaque_trace_state
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float

from jaxnet._util.pixels import unit
from jaxnet._util.sharding import (
    in_tiles,
    lacks_mesh,
    on_mesh_beside,
    on_mesh_of,
    on_own_mesh,
    sharded_like,
    take,
    vary_like,
    varying,
)
from jaxnet._util.shuffle import shuffled
from jaxnet.network import SIZES, init
from jaxnet.training import _optimizers
from jaxnet.training._checks import check_optimizer
from jaxnet.training._costs import ARRAY, wide
from jaxnet.training._loss import Images, Loss, MeanCost, Ratio

_BLOCK = 1_000  # images per gather if batches are small: one gather serves many steps
_TILE = 1_024  # images evaluated at a time: their float copies fit in the cache


class TrainState(NamedTuple):
    """The state of training, which each step updates.

    Registered for `jax.export`, as are `Score`, `History` and `jaxnet.Layer`. The optimizer's own
    states are optax types: register those that you need in the same way, with
    `jax.export.register_namedtuple_serialization(optax.EmptyState, serialized_name=...)`.

    Attributes:
        params: the current network, or whatever the loss builds it from.
        opt_state: the optimizer's state, from `optimizer.init(params)`.
    """

    params: Any
    opt_state: optax.OptState


class Score(NamedTuple):
    """Cost and metrics of a batch, an epoch or a data set.

    In training, each image is measured before the update that uses it.

    Attributes:
        cost: the mean of the loss, in float32 or wider.
        metrics: the means of the loss's metrics; `{}` if it returns none.
    """

    cost: Float[Array, "..."]
    metrics: Any

    @property
    def accuracy(self) -> Float[Array, "..."]:
        """The metric of this name, from 0 to 1."""
        return _accuracy(self.metrics)


class History(NamedTuple):
    """The scores of a run, epoch by epoch.

    Attributes:
        cost: shape `(epochs,)`, the mean cost on the training images.
        metrics: the loss's metrics on the training images, each of shape `(epochs,)`.
        validation: the score on the validation images after each epoch, of the same shapes; None
            without validation images.
    """

    cost: Float[Array, "..."]
    metrics: Any
    validation: Score | None

    @property
    def accuracy(self) -> Float[Array, "..."]:
        """The accuracy on the training images, as augmented; shape `(epochs,)`."""
        return _accuracy(self.metrics)


def _accuracy(metrics: Any) -> Array:
    if not isinstance(metrics, Mapping) or "accuracy" not in metrics:
        raise AttributeError(
            "The loss returns no accuracy for these labels: return (cost, {'accuracy': …}) from it."
        )
    return cast(Mapping[str, Array], metrics)["accuracy"]


for _type in (TrainState, Score, History, Ratio):
    with suppress(ValueError):  # the name is taken if this module is reloaded
        jax.export.register_namedtuple_serialization(
            _type, serialized_name=f"jaxnet.training.{_type.__name__}"
        )


class Config(NamedTuple):
    """The static arguments of a step, an epoch or a run."""

    loss: Loss
    optimizer: Any = None
    batch_size: int = 0
    epochs: int = 0
    sharding: NamedSharding | None = None
    validation_sharding: NamedSharding | None = None


def _compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles `f` outside all transformations, once per configuration, and sets its mesh."""

    @partial(jax.jit, static_argnums=0)
    def compiled(config: Config, *args: Any) -> Any:
        with on_mesh_of(args):
            return f(config, *args)

    @wraps(f)
    def call(config: Config, *args: Any) -> Any:
        # During tracing, a function in `config` may hold a tracer, which must not be cached. One
        # that holds arrays has no hash.
        if _has_hash(config) and not _is_tracing():
            with _mesh_of(config.sharding):
                return compiled(config, *args)
        if lacks_mesh(config.sharding) and not lacks_mesh(args):
            raise ValueError(
                "Expected the images on the mesh of `sharding`, whose axes are Explicit. Put them "
                "there with jax.device_put, or call under jax.set_mesh(sharding.mesh)."
            )
        return on_own_mesh(partial(f, config))(*args)

    return call


def _mesh_of(sharding: NamedSharding | None) -> Any:
    """Sets the mesh that batches are sharded over if it is Explicit and none is set."""
    mesh = cast(Any, sharding).mesh if lacks_mesh(sharding) else None
    return jax.set_mesh(mesh) if isinstance(mesh, Mesh) else nullcontext()


def _is_tracing() -> bool:
    with eval_context():
        outside = get_opaque_trace_state(convention="jaxnet")
    return get_opaque_trace_state(convention="jaxnet") != outside


def _has_hash(config: Config) -> bool:
    try:
        hash(config)
    except TypeError:
        return False
    return True


@_compiled
def fit(
    config: Config,
    key: Array,
    params: Any,
    state: TrainState | None,
    first_epoch: Any,
    images: Images,
    labels: Any,
    validation: Sequence[Any] | None,
) -> tuple[TrainState, History]:
    """A run: one epoch after another, each followed by validation."""
    images, labels = jax.tree.map(jnp.asarray, (images, labels))
    key_init, key_epochs = jax.random.split(key)

    def one_epoch(state: TrainState, n: Array) -> tuple[TrainState, History]:
        key = jax.random.fold_in(key_epochs, n)
        state, score = epoch(config, key, state, images, labels)
        if validation is None:
            return state, History(score.cost, score.metrics, None)
        best = _optimizers.evaluated(state.params, state.opt_state)
        unseen = config._replace(sharding=config.validation_sharding)
        unseen_score = evaluate(unseen, best, *validation)
        return state, History(score.cost, score.metrics, unseen_score)

    if state is None:
        params = init(key_init, (images.shape[1], *SIZES[1:])) if params is None else params
        check_optimizer(config.optimizer, params)
        state = TrainState(params, config.optimizer.init(params))
    state = on_mesh_beside(vary_like(state, state.params), key, images, labels)
    numbers = jnp.asarray(first_epoch, "uint32") + jnp.arange(config.epochs, dtype="uint32")
    return jax.lax.scan(one_epoch, state, numbers)


@_compiled
def epoch(
    config: Config, key: Array, state: TrainState, images: Images, labels: Any
) -> tuple[TrainState, Score]:
    """One step for each batch of the shuffled images."""
    check_optimizer(config.optimizer, *state)
    _optimizers.check_float16(config.optimizer, state.params)
    images, labels = jax.tree.map(jnp.asarray, (images, labels))
    n, size = images.shape[0], config.batch_size
    n_steps = n // size
    # Fetch many small batches per gather: one gather costs more than a ten-image step.
    per_block = max(d for d in range(1, max(_BLOCK // size, 1) + 1) if n_steps % d == 0)
    n_blocks = n_steps // per_block
    key_order, key_steps = jax.random.split(key)
    order = shuffled(key_order, n)[: n_steps * size]
    augmented = None
    if isinstance(config.loss, MeanCost) and config.loss.augment is not None:
        # Augment many small batches at once, too.
        augmented = jax.vmap(config.loss.augmented)
        config = config._replace(loss=replace(config.loss, augment=None))

    def block(state: TrainState, part: tuple[Array, Array]) -> tuple[TrainState, Score]:
        k, i = part
        x, y = jax.tree.map(lambda a: take(a, i, config.sharding), (images, labels))
        keys = jax.random.split(k, per_block)
        batches = (x if augmented is None else augmented(x, keys)), y, keys
        return jax.lax.scan(lambda state, batch: one_step(config, state, *batch), state, batches)

    blocks = jax.random.split(key_steps, n_blocks), order.reshape(n_blocks, per_block, size)
    state = on_mesh_beside(vary_like(state, state.params), key, images, labels)
    state, scores = jax.lax.scan(block, state, blocks)
    return state, _quotients(jax.tree.map(jnp.mean, scores))


@_compiled
def step(
    config: Config, state: TrainState, images: Images, labels: Any, key: Array | None
) -> tuple[TrainState, Score]:
    """One step on one batch."""
    check_optimizer(config.optimizer, *state)
    state, score = one_step(config, state, images, labels, key)
    return state, _quotients(score)


def one_step(
    config: Config, state: TrainState, images: Images, labels: Any, key: Array | None
) -> tuple[TrainState, Score]:
    """One step on one batch; its score keeps the parts of each `Ratio`."""
    params, opt_state = state
    images = jnp.asarray(images)
    labels = jax.tree.map(lambda y: sharded_like(jnp.asarray(y), images), labels)
    # In a shard_map: the axes over which the images vary but the params do not.
    shared = tuple(sorted(varying((images, labels)) - varying(params)))

    def batch_cost(trained: Any, *batch: Any) -> tuple[Array, Score]:
        cost, score = scored(config.loss, trained, *batch)
        return jax.lax.pmean((cost, score), shared) if shared else (cost, score)

    def cost_of(params: Any) -> Array:
        return batch_cost(_optimizers.trained(params), images, labels, key)[0]

    gradient_of = jax.value_and_grad(batch_cost, has_aux=True)
    if _optimizers.wants_each_gradient(opt_state):
        if shared:
            raise ValueError(
                "Expected all images of a batch on each device, since this optimizer clips the "
                f"gradient of each image; got images that vary over {', '.join(shared)}."
            )
        one_each = jax.tree.map(lambda a: a[:, None], (images, labels))
        keys = None if key is None else jax.random.split(key, images.shape[0])
        each = jax.vmap(gradient_of, in_axes=(None, 0, 0, 0))
        (costs, scores), gradient = each(_optimizers.trained(params), *one_each, keys)
        value, score = jax.tree.map(lambda a: a.mean(0), (costs, scores))
    else:
        (value, score), gradient = gradient_of(_optimizers.trained(params), images, labels, key)
    updates, opt_state = _optimizers.update(
        config.optimizer, gradient, opt_state, params, value=value, cost_of=cost_of
    )
    return TrainState(optax.apply_updates(params, updates), opt_state), score


@_compiled
def evaluate(config: Config, params: Any, images: Images, labels: Any) -> Score:
    """The score of any number of images, without a key."""

    def of_tile(examples: Any) -> Score:
        images, labels = examples
        return scored(config.loss, params, images, labels, None)[1]

    def total(tiles: Any) -> Score:
        size = tiles[0].shape[1]
        return jax.tree.map(lambda a: size * a.sum(0), jax.lax.map(of_tile, tiles))

    examples = jax.tree.map(jnp.asarray, (images, labels))
    n = images.shape[0]
    if jax.export.is_symbolic_dim(n) or not n:
        return _quotients(of_tile(examples))
    totals = [total(tiles) for tiles in in_tiles(examples, _TILE, config.sharding)]
    return _quotients(jax.tree.map(lambda *parts: sum(parts) / n, *totals))


def scored(
    loss: Loss, params: Any, images: Any, labels: Any, key: Array | None
) -> tuple[Array, Score]:
    """The cost as the loss returns it, and the score, in float32 or wider."""
    try:
        result: Any = loss(params, unit(images), labels, key)
    except Exception as error:
        if not isinstance(loss, MeanCost):
            error.add_note(
                "It was called as loss(params, images, labels, key); evaluation has no key."
            )
        raise
    is_pair = type(result) is tuple and len(cast(tuple[Any, ...], result)) == 2
    cost, metrics = cast(tuple[Any, Any], result if is_pair else (result, {}))
    for part in (cost, *jax.tree.leaves(metrics)):
        is_number = isinstance(part, ARRAY) and not jnp.iscomplexobj(part)
        if not is_number or jnp.shape(part):
            got = f"shape {jnp.shape(part)}" if hasattr(part, "shape") else type(part).__name__
            raise ValueError(
                "Expected loss to return a scalar, or (scalar, metrics) with scalars as metrics; "
                f"got {got} instead."
            )
    return cost, jax.tree.map(wide, Score(cost, metrics))


def _quotients(score: Score) -> Score:
    """Divides the parts of each `Ratio`, now that they are means over all batches."""

    def is_ratio(part: Any) -> bool:
        return isinstance(part, Ratio)

    return jax.tree.map(lambda a: a.part / a.whole if is_ratio(a) else a, score, is_leaf=is_ratio)
