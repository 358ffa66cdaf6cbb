"""Sharded arrays: query how one is sharded, and shard others like it.

On a mesh with Explicit axes, the default of `jax.make_mesh`, sharding is part of an array's type,
and JAX requires it for every result it cannot infer. Over Auto axes XLA decides, given hints.
Manual axes, those of `jax.shard_map`, show up as axes over which an array's values vary.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Integer

Tree = TypeVar("Tree")


def sharding_of(a: Any) -> NamedSharding | None:
    """An array's sharding, if JAX knows it; under `jit` it does not for Auto axes."""
    concrete = isinstance(a, jax.Array) and not isinstance(a, Tracer)
    sharding: Any = a.sharding if concrete else jax.typeof(a).sharding
    return sharding if isinstance(sharding, NamedSharding) and not sharding.mesh.empty else None


def batch_sharding(sharding: Any, images: Any) -> NamedSharding | None:
    """The sharding a caller asked for, or else that of the images."""
    if sharding is None:
        sharding = sharding_of(images)
    if sharding is None or isinstance(sharding, SingleDeviceSharding):
        return None
    if not isinstance(sharding, NamedSharding):
        got = type(sharding).__name__
        raise TypeError(
            f"Expected sharding as a NamedSharding, such as images.sharding; got {got} instead."
        )
    kinds = dict(zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True))
    if _is_explicit(sharding.mesh) and {kinds[name] for name in _names(sharding)} - {
        AxisType.Explicit
    }:
        raise ValueError(
            "Expected batches sharded over Explicit axes only, as the mesh has some; "
            f"got {sharding.spec} instead."
        )
    return sharding


def lacks_mesh(*trees: Any) -> bool:
    """Whether arrays or a sharding have Explicit axes but no mesh is set."""
    # Some JAX functions and derivatives fail in that case.
    ambient = jax.sharding.get_abstract_mesh()
    return ambient.empty and _explicit_mesh(*trees) is not None


@contextmanager
def on_mesh_of(*trees: Any) -> Generator[None]:
    """While tracing, sets the Explicit mesh of arrays or a sharding, if no mesh is set."""
    if lacks_mesh(*trees):
        with jax.sharding.use_abstract_mesh(_explicit_mesh(*trees)):
            yield
    else:
        yield


def on_own_mesh(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, under `jit` on the Explicit mesh of its arguments if no mesh is set."""

    def inside(*args: Any) -> Any:
        with on_mesh_of(args):
            return f(*args)

    return lambda *args: jax.jit(inside)(*args) if lacks_mesh(args) else f(*args)


def take(a: Array, i: Integer[Array, "..."], sharding: NamedSharding | None) -> Array:
    """The rows `a[i]`, with the last axis of `i` sharded like the first axis of `sharding`."""
    spec = P(*[None] * (i.ndim - 1), _rows(sharding), *[None] * (a.ndim - 1))
    rows = a.at[i]
    if _explicit_mesh(a, i, sharding) is not None:
        return rows.get(mode="promise_in_bounds", out_sharding=cast(Any, spec))
    return _hint(rows.get(mode="promise_in_bounds"), sharding, spec)


def pick(a: Array, i: Integer[Array, ""]) -> Array:
    """The row `a[i]`, replicated."""
    if _explicit_mesh(a, i) is None:
        return a[i]
    # Use an array of one index; with a scalar, `vmap` would lose `out_sharding`.
    return a.at[i[None]].get(out_sharding=cast(Any, P(*[None] * a.ndim)))[0]


def sharded(a: Array, axis: int, sharding: NamedSharding | None) -> Array:
    """Shards one axis of an array like the first axis of `sharding`."""
    spec = P(*[None] * axis, _rows(sharding), *[None] * (a.ndim - axis - 1))
    if _explicit_mesh(a, sharding) is not None:
        return jax.sharding.reshard(a, spec)
    return _hint(a, sharding, spec)


def sharded_like(a: Array, like: Array) -> Array:
    """Shards an array's first axis like another array's, if that has Explicit axes."""
    sharding = sharding_of(like)
    return sharded(a, 0, sharding) if sharding and _is_explicit(sharding.mesh) else a


def on_mesh_beside(tree: Tree, *others: Any) -> Tree:
    """Replicates arrays that have no mesh over the Explicit mesh of others."""
    # The carry of `scan` must be on that mesh from the start.
    if _explicit_mesh(*others) is None:
        return tree

    def replicate(leaf: Any) -> Any:
        there = _is_explicit(jax.typeof(leaf).sharding.mesh)
        return leaf if there else jax.sharding.reshard(leaf, P(*[None] * jnp.ndim(leaf)))

    return jax.tree.map(replicate, tree)


def whole_last_axis(a: Array) -> Array:
    """Unshards an array's last axis over Explicit axes; Auto and Manual axes are unchanged."""
    *others, last = jax.typeof(a).sharding.spec
    return a if last is None else jax.sharding.reshard(a, P(*others, None))


def n_shards(sharding: NamedSharding | None) -> int:
    """The number of shards of an array's first axis."""
    return math.prod(cast(Any, sharding).mesh.shape[name] for name in _names(sharding))


def map_rows(
    f: Callable[..., Any], rows: tuple[Any, ...], *, batch_size: int, sharding: NamedSharding | None
) -> Any:
    """Maps `f` over rows in batches; each device maps over its own shard."""
    k = n_shards(sharding)
    if k == 1:
        return jax.lax.map(lambda row: f(*row), rows, batch_size=batch_size)

    def one_of_each(a: Array) -> Array:
        """Reshapes `(n, …)` to `(n / k, k, …)`: each row has one element from every device."""
        return sharded(a.reshape(k, -1, *a.shape[1:]), 0, sharding).swapaxes(0, 1)

    def in_order(a: Array) -> Array:
        return sharded(a.swapaxes(0, 1).reshape(-1, *a.shape[2:]), 0, sharding)

    each = max(batch_size // k, 1)
    answers = jax.lax.map(
        lambda row: jax.vmap(f)(*row), jax.tree.map(one_of_each, rows), batch_size=each
    )
    return jax.tree.map(in_order, answers)


def in_tiles(tree: Tree, size: int, sharding: NamedSharding | None) -> list[Tree]:
    """Cuts arrays into tiles along a new leading axis; what is left is a tile of its own."""
    # Each device has an equal part of each tile.
    k = n_shards(sharding)
    each = max(size // k, 1)

    def cut(a: Array, start: int, stop: int, n_tiles: int) -> Array:
        rows = sharded(a.reshape(k, -1, *a.shape[1:]), 0, sharding)[:, start:stop]
        tiles = rows.reshape(k, n_tiles, -1, *a.shape[1:]).swapaxes(0, 1)
        return sharded(tiles.reshape(n_tiles, -1, *a.shape[1:]), 1, sharding)

    n = len(jax.tree.leaves(tree)[0]) // k
    whole = n - n % each
    spans = [(0, whole, whole // each), (whole, n, 1)]
    return [jax.tree.map(lambda a: cut(a, *span), tree) for span in spans if span[0] < span[1]]  # noqa: B023


def varying(tree: Any) -> frozenset[str]:
    """The Manual axes (of a `jax.shard_map`) over which any array in a pytree varies."""
    types: Sequence[Any] = [jax.typeof(leaf) for leaf in jax.tree.leaves(tree)]
    return frozenset().union(*(t.manual_axis_type.varying for t in types))


def vary_like(tree: Tree, like: Any) -> Tree:
    """Marks arrays as varying over the Manual axes that others vary over, as `scan` requires."""
    axes = varying(like)

    def cast_leaf(leaf: Any) -> Any:
        missing = tuple(sorted(axes - varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast_leaf, tree)


def _rows(sharding: NamedSharding | None) -> Any:
    """The mesh axes that shard an array's first axis."""
    return sharding.spec[0] if sharding and len(sharding.spec) else None


def _names(sharding: NamedSharding | None) -> tuple[str, ...]:
    axes = _rows(sharding)
    return axes if isinstance(axes, tuple) else () if axes is None else (axes,)


def _hint(a: Array, sharding: NamedSharding | None, spec: P) -> Array:
    """Tells XLA how to shard an array over Auto axes."""
    if _rows(sharding) is None:
        return a
    return jax.lax.with_sharding_constraint(a, NamedSharding(cast(Any, sharding).mesh, spec))


def _explicit_mesh(*trees: Any) -> Any:
    """The first mesh with an Explicit axis among arrays and shardings, or None."""
    for leaf in jax.tree.leaves(trees):
        given = isinstance(leaf, NamedSharding)
        mesh = leaf.mesh.abstract_mesh if given else jax.typeof(leaf).sharding.mesh
        if _is_explicit(mesh):
            return mesh
    return None


def _is_explicit(mesh: Mesh | Any) -> bool:
    return AxisType.Explicit in mesh.axis_types
