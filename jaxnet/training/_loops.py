"""The compiled parts of training: a step, an epoch, a run, and the score of a data set."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

import jax
import jax.export
import jax.numpy as jnp
import optax
from jax.core import eval_context
from jax.extend.core import get_opaque_trace_state
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float, Key, Num

from jaxnet._util.sharding import (
    lacks_mesh,
    map_rows,
    on_mesh_beside,
    on_mesh_of,
    sharded,
    sharded_like,
    take,
    vary_like,
    varying,
    whole_last_axis,
)
from jaxnet._util.shuffle import shuffled
from jaxnet.network import Image, Params, Squash, batch_logits, init, logits, predicted
from jaxnet.training import _optimizers
from jaxnet.training._costs import Cost, Images, Labels, Weights, unit
from jaxnet.training._penalties import Penalty

Augment = Callable[[Key[Array, ""], Image], Image]
Network = Callable[[Any], Params]

_BLOCK = 1_000  # images per gather if batches are small: one gather serves many steps
_TILE = 1_024  # images scored at a time: their float copies fit in the cache


class TrainState(NamedTuple):
    """The state of training, which each step updates.

    Registered for `jax.export`, as are `Score`, `History` and `jaxnet.Layer`. The optimizer's own
    states are optax types: register those that you need in the same way, with
    `jax.export.register_namedtuple_serialization(optax.EmptyState, serialized_name=...)`.

    Attributes:
        params: the current network, or what `network` builds it from.
        opt_state: the optimizer's state, from `optimizer.init(params)`.
    """

    params: Any
    opt_state: optax.OptState


class Score(NamedTuple):
    """Cost and accuracy. In training, each image is measured before the update that uses it.

    Attributes:
        cost: the mean cost per image, in float32 or wider.
        accuracy: from 0 to 1, in the same type.
    """

    cost: Float[Array, "..."]
    accuracy: Float[Array, "..."]


class History(NamedTuple):
    """The scores of a run, epoch by epoch.

    Attributes:
        cost: shape `(epochs,)`, the mean cost on the training images.
        accuracy: shape `(epochs,)`, the accuracy on the training images, as augmented, each
            measured before the update that uses it.
        held_out: cost and accuracy on the validation images after each epoch, each of shape
            `(epochs,)`; None without validation images.
    """

    cost: Float[Array, "..."]
    accuracy: Float[Array, "..."]
    held_out: Score | None


for _type in (TrainState, Score, History):
    jax.export.register_namedtuple_serialization(
        _type, serialized_name=f"jaxnet.training.{_type.__name__}"
    )


class Config(NamedTuple):
    """The static arguments of a step, an epoch or a run."""

    cost: Cost
    squash: Squash
    network: Network
    optimizer: Any = None
    augment: Augment | None = None
    batch_size: int = 0
    epochs: int = 0
    sharding: NamedSharding | None = None
    held_out_sharding: NamedSharding | None = None
    penalty: Penalty | None = None


def identity_network(params: Any) -> Params:
    """The default for `network`: what is trained is the network itself."""
    return params


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _on_own_mesh(
    f: Callable[Concatenate[Config, Arguments], Result],
) -> Callable[Concatenate[Config, Arguments], Result]:
    """Runs `f` on its arguments' mesh if that has Explicit axes and no mesh is set."""

    @wraps(f)
    def call(config: Config, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        def on_mesh(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with on_mesh_of(args, kwargs):
                return f(config, *args, **kwargs)

        if lacks_mesh(args, kwargs):
            return jax.jit(on_mesh)(*args, **kwargs)
        if lacks_mesh(config.sharding):
            raise ValueError(
                "Expected the images on the mesh of `sharding`, whose axes are Explicit. Put them "
                "there with jax.device_put, or call under jax.set_mesh(sharding.mesh)."
            )
        return f(config, *args, **kwargs)

    return call


def _compiled_once(
    f: Callable[Concatenate[Config, Arguments], Result],
) -> Callable[Concatenate[Config, Arguments], Result]:
    """Compiles `f` when called outside all transformations, once per configuration."""
    compiled = jax.jit(f, static_argnums=0)

    @wraps(f)
    def call(config: Config, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        # During tracing, a function in `config` may hold a tracer, which must not be cached.
        if not _is_hashable(config) or _is_tracing():
            return f(config, *args, **kwargs)
        with _mesh_of(config.sharding):
            return compiled(config, *args, **kwargs)

    return call


def _mesh_of(sharding: NamedSharding | None) -> Any:
    """Sets the mesh that batches are sharded over if it is Explicit and none is set."""
    mesh = cast(Any, sharding).mesh if lacks_mesh(sharding) else None
    return jax.set_mesh(mesh) if isinstance(mesh, Mesh) else nullcontext()


def _is_tracing() -> bool:
    with eval_context():
        outside = get_opaque_trace_state(convention="jaxnet")
    return get_opaque_trace_state(convention="jaxnet") != outside


def _is_hashable(config: Config) -> bool:
    try:
        hash(config)
    except TypeError:  # such as a callable that holds arrays
        return False
    return True


@_compiled_once
@_on_own_mesh
def fit(
    config: Config,
    key: Array,
    params: Any,
    state: TrainState | None,
    first_epoch: Array,
    images: Images,
    labels: Labels,
    sample_weights: Weights | None,
    held_out: tuple[Images, Labels] | None,
) -> tuple[TrainState, History]:
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    key_init, key_epochs = jax.random.split(key)

    def one_epoch(state: TrainState, n: Array) -> tuple[TrainState, History]:
        key = jax.random.fold_in(key_epochs, n)
        state, score = epoch(config, key, state, images, labels, sample_weights)
        if held_out is None:
            return state, History(*score, None)
        best = _optimizers.evaluated(state.params, state.opt_state)
        unseen = config._replace(sharding=config.held_out_sharding)
        return state, History(*score, score_all(unseen, best, *held_out))

    if state is None:
        params = init(key_init) if params is None else params
        state = TrainState(params, config.optimizer.init(params))
    state = on_mesh_beside(vary_like(state, state.params), key, images, labels)
    return jax.lax.scan(one_epoch, state, first_epoch + jnp.arange(config.epochs, dtype="uint32"))


@_compiled_once
@_on_own_mesh
def epoch(
    config: Config,
    key: Array,
    state: TrainState,
    images: Images,
    labels: Labels,
    sample_weights: Weights | None,
) -> tuple[TrainState, Score]:
    _optimizers.check_float16(config.optimizer, state.params)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    n, size = images.shape[0], config.batch_size
    n_steps = n // size
    # Fetch many small batches per gather: one gather costs more than a ten-image step.
    per_block = max(d for d in range(1, max(_BLOCK // size, 1) + 1) if n_steps % d == 0)
    n_blocks = n_steps // per_block
    key_order, key_augment = jax.random.split(key)
    order = shuffled(key_order, n)[: n_steps * size]

    def block(state: TrainState, part: tuple[Array, Array]) -> tuple[TrainState, Score]:
        k, i = part
        x, y = take(images, i, config.sharding), take(labels, i, config.sharding)
        if config.augment is not None:
            keys = sharded(jax.random.split(k, i.shape), 1, config.sharding)
            x = jax.vmap(jax.vmap(config.augment))(keys, unit(x))
        w = sample_weights
        w = None if w is None else take(jnp.asarray(w), i, config.sharding)
        return jax.lax.scan(lambda state, batch: step(config, state, *batch), state, (x, y, w))

    blocks = jax.random.split(key_augment, n_blocks), order.reshape(n_blocks, per_block, size)
    state = on_mesh_beside(vary_like(state, state.params), key, images, labels)
    state, scores = jax.lax.scan(block, state, blocks)
    return state, jax.tree.map(jnp.mean, scores)


@_on_own_mesh
def step(
    config: Config, state: TrainState, images: Images, labels: Labels, weights: Weights | None
) -> tuple[TrainState, Score]:
    params, opt_state = state
    # In a shard_map: the axes over which the images vary but the params do not.
    shared = tuple(sorted(varying((images, labels, weights)) - varying(params)))

    def batch_cost(trained: Any, x: Any, y: Any, w: Any) -> tuple[Array, Score]:
        mean = score(config, trained, x, y, w)
        if shared:
            mean = Score(*jax.lax.pmean(tuple(mean), shared))
        if config.penalty is None:
            return mean.cost, mean
        penalty = config.penalty(config.network(trained))
        if jnp.shape(penalty):
            raise ValueError(
                f"Expected penalty to return a scalar; got an array of shape {jnp.shape(penalty)} "
                "instead."
            )
        return mean.cost + penalty.astype(mean.cost.dtype), mean

    def cost_of(params: Any) -> Array:
        return batch_cost(_optimizers.trained(params), images, labels, weights)[0]

    gradient_of = jax.value_and_grad(batch_cost, has_aux=True)
    batch = images, labels, weights
    if _optimizers.wants_each_gradient(opt_state):
        if shared:
            raise ValueError(
                "Expected all images of a batch on each device, since this optimizer clips the "
                f"gradient of each image; got images that vary over {', '.join(shared)}."
            )
        one_each = jax.tree.map(lambda a: jnp.asarray(a)[:, None], batch)
        each = jax.vmap(gradient_of, in_axes=(None, 0, 0, 0))
        (costs, scores), gradient = each(_optimizers.trained(params), *one_each)
        value, mean = jax.tree.map(jnp.mean, (costs, scores))
    else:
        (value, mean), gradient = gradient_of(_optimizers.trained(params), *batch)
    updates, opt_state = _optimizers.update(
        config.optimizer, gradient, opt_state, params, value=value, cost_of=cost_of
    )
    return TrainState(optax.apply_updates(params, updates), opt_state), mean


@_compiled_once
@_on_own_mesh
def score_all(config: Config, params: Any, images: Images, labels: Labels) -> Score:
    """The score of any number of images, computed in tiles."""

    def score_one(x: Array, y: Array) -> tuple[Array, Array]:
        z = whole_last_axis(logits(network, unit(x), squash=config.squash))
        return _wide(config.cost(z, y)), _is_correct(z, y)

    network = config.network(params)
    examples = jnp.asarray(images), jnp.asarray(labels)
    costs, right = map_rows(score_one, examples, batch_size=_TILE, sharding=config.sharding)
    _check_costs(costs)
    return Score(costs.mean(), right.mean(dtype=costs.dtype))


@_on_own_mesh
def score(
    config: Config, params: Any, images: Images, labels: Labels, weights: Weights | None
) -> Score:
    """The score of a batch."""
    z = batch_logits(config.network(params), unit(images), squash=config.squash)
    z = whole_last_axis(z)
    labels = sharded_like(jnp.asarray(labels), z)
    costs = _wide(jax.vmap(config.cost)(z, labels))
    _check_costs(costs)
    if weights is not None:
        costs *= sharded_like(jnp.asarray(weights), z).astype(costs.dtype)
    return Score(costs.mean(), jax.vmap(_is_correct)(z, labels).mean(dtype=costs.dtype))


def _check_costs(costs: Array) -> None:
    if costs.ndim != 1:
        raise ValueError(
            "Expected cost to return a scalar for each image; got an array of shape "
            f"{costs.shape[1:]} instead. Sum it, as in "
            "lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).sum()."
        )


def _wide(a: Array) -> Array:
    """At least float32, in which a sum over many images stays accurate."""
    return a.astype(jnp.float32) if jnp.finfo(a.dtype).bits < 32 else a


def no_cost(z: Array, y: Array) -> Array:
    return jnp.zeros_like(z, shape=())


def _is_correct(z: Float[Array, " out"], y: Num[Array, "..."]) -> Array:
    """Whether the logits predict the label, or its most probable digit."""
    if not y.ndim:
        return predicted(z) == y.astype(int)
    if y.size == 1 and z.size > 1:
        raise ValueError(
            "Expected each image's label as an integer, its digit, or a probability for each "
            f"output, shape {z.shape}; got {y.shape} instead. For shape (n, 1), pass labels[:, 0]."
        )
    return predicted(z) == (predicted(y - 0.5) if z.size == 1 else y.argmax())
