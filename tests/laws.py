"""The laws every pure function obeys under JAX's transformations.

`WRAPS` transform a function into the same function; `MAPS` apply it to each entry of stacked
arguments, with the same results as one by one. Both are combined, and applied to derivatives, for
which the derivative of a map must equal the map of the derivative.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

N = 4  # entries in a stack, also used as 2 × 2


class Case(NamedTuple):
    """A function and random arguments for it.

    Attributes:
        f: the function, of arrays only.
        arguments: draws them from a NumPy generator: floats as float64, keys as their bits.
        oracle: the same function in NumPy; by default, `f` itself in float64.
        smooth: whether its derivatives are meaningful.
        x64: whether it is the same function in float64. It is not if the dtype decides which
            random numbers are drawn, or if the results are always float32.
        slow: whether it is slow to compile; then fewer ways are tried, and no second derivatives.
        roundings: the tolerated number of rounding errors of half an epsilon, relative to the
            largest number of an array: a few for each sum and each layer.
    """

    f: Callable[..., Any]
    arguments: Callable[[np.random.Generator], tuple[Any, ...]]
    oracle: Callable[..., Any] | None = None
    smooth: bool = True
    x64: bool = True
    slow: bool = False
    roundings: int = 12


def is_float(a):
    return jnp.issubdtype(a.dtype, jnp.floating)


def stacked(case, dtype):
    """N sets of arguments, rounded to a dtype: as a list and as a stack."""
    rows = [case.arguments(np.random.default_rng(n)) for n in range(N)]
    rows = jax.tree.map(lambda a: a.astype(dtype) if is_float(a) else a, rows)
    return rows, jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def of_floats(f, arguments):
    """`f` as a function of its floating-point arrays only, and these arrays."""
    leaves, tree = jax.tree.flatten(arguments)
    places = [n for n, leaf in enumerate(leaves) if is_float(leaf)]

    def g(floats):
        changed = dict(zip(places, floats, strict=True))
        return f(*jax.tree.unflatten(tree, [changed.get(n, a) for n, a in enumerate(leaves)]))

    return g, [jnp.asarray(leaves[n]) for n in places]


def weighted(f):
    """The sum of all results, each with a different weight."""

    def number(*arguments):
        floats = [a for a in jax.tree.leaves(f(*arguments)) if is_float(a)]
        return sum((a * ripple(a)).sum() for a in floats)

    return number


def ripple(a):
    return jnp.cos(jnp.arange(a.size)).astype(a.dtype).reshape(a.shape)


def gradient(f):
    """The gradient of the weighted sum of the results of `f`."""

    def reverse(*arguments):
        g, floats = of_floats(weighted(f), arguments)
        return jax.grad(g)(floats)

    return reverse


def directional(f):
    """The derivative of `f` in a fixed direction of all its arguments."""

    def forward(*arguments):
        g, floats = of_floats(f, arguments)
        return jax.jvp(g, (floats,), ([ripple(a) for a in floats],))[1]

    return forward


def scan(f):
    return lambda *stack: jax.lax.scan(lambda _, a: (None, f(*a)), None, stack)[1]


def while_loop(f):
    """Writes one result after another; has no reverse mode."""

    def mapped(*stack):
        one = jax.eval_shape(f, *jax.tree.map(lambda a: a[0], stack))
        empty = jax.tree.map(lambda a: jnp.zeros((N, *a.shape), a.dtype), one)

        def write(carry):
            n, answers = carry
            answer = f(*jax.tree.map(lambda a: jnp.asarray(a)[n], stack))
            return n + 1, jax.tree.map(lambda all_, a: all_.at[n].set(a), answers, answer)

        return jax.lax.while_loop(lambda carry: carry[0] < N, write, (jnp.int32(0), empty))[1]

    return mapped


def from_the_last_axis(f):
    """`jax.vmap` over the last axis of every array."""
    last = jax.vmap(f, in_axes=-1, out_axes=-1)

    def mapped(*stack):
        answers = last(*jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), stack))
        return jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), answers)

    return mapped


def two_by_two(outer, inner):
    def mapped(f):
        def square(*stack):
            stack = jax.tree.map(lambda a: a.reshape(2, 2, *a.shape[1:]), stack)
            return jax.tree.map(lambda a: a.reshape(N, *a.shape[2:]), outer(inner(f))(*stack))

        return square

    return mapped


def sharded(f):
    mesh = jax.make_mesh((2,), ("i",), devices=jax.devices()[:2], axis_types=(AxisType.Auto,))
    return lambda *stack: jax.shard_map(
        jax.vmap(f), mesh=mesh, in_specs=(P("i"),) * len(stack), out_specs=P("i")
    )(*stack)


def cond(f):
    """`f` as the branch taken, zeros as the other; `vmap` computes both."""

    def nothing(*arguments):
        return jax.tree.map(lambda a: 0 * a, f(*arguments))

    def branch(*arguments):
        first = jnp.asarray(jax.tree.leaves(arguments)[0])
        return jax.lax.cond((first == first).all(), f, nothing, *arguments)

    return branch


def linearized(f):
    def value(*arguments):
        g, floats = of_floats(f, arguments)
        return jax.linearize(g, floats)[0]

    return value


MAPS = {
    "vmap": jax.vmap,
    "map": lambda f: lambda *stack: jax.lax.map(lambda a: f(*a), stack, batch_size=3),
    "scan": scan,
    "while_loop": while_loop,
    "vmap∘vmap": two_by_two(jax.vmap, jax.vmap),
    "shard_map∘vmap": sharded,
}
MORE_MAPS = {
    "vmap -1": from_the_last_axis,
    "vmap∘scan": two_by_two(jax.vmap, scan),
    "scan∘vmap": two_by_two(scan, jax.vmap),
}
WRAPS = {
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "cond": cond,
    "linearize": linearized,
}


# Compiling takes most of the time, and the programs need not be fast.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def together(ways, stack):
    """All ways to map over a stack, compiled as one program, and so all under `jit`."""

    @quick
    def program(*stack):
        answers = {}
        for name, way in ways.items():
            try:
                answers[name] = way(*stack)
            except Exception as error:
                error.add_note(f"in {name}")
                raise
        return answers

    with jax.checking_leaks(), jax.debug_nans(True):
        return program(*stack)


def value_ways(f):
    """Every map, each of the next wrap in turn."""
    turns = zip(MAPS.items(), itertools.cycle(WRAPS.items()))
    return {f"{name}∘{inner}": over(wrap(f)) for (name, over), (inner, wrap) in turns}


def few_ways(f):
    return {
        "vmap∘jit": jax.vmap(jax.jit(f)),
        "shard_map∘vmap": MAPS["shard_map∘vmap"](f),
        "scan∘checkpoint": scan(jax.checkpoint(f)),
    }


def pairs(f):
    maps = {**MAPS, **MORE_MAPS}
    ways = {name: over(f) for name, over in maps.items()}
    for name, over in maps.items():
        for wrap_name, wrap in WRAPS.items():
            ways[f"{name}∘{wrap_name}"] = over(wrap(f))
            ways[f"{wrap_name}∘{name}"] = wrap(over(f))
    return ways


def gradient_ways(f):
    """Gradients of maps, and maps of gradients."""

    def gradient_of(over):
        def entry_by_entry(*stack):
            g, floats = of_floats(lambda *stack: over(weighted(f))(*stack).sum(), stack)
            return jax.grad(g)(floats)

        return entry_by_entry

    return {
        "vmap∘grad∘checkpoint": jax.vmap(gradient(jax.checkpoint(f))),
        "grad∘scan": gradient_of(scan),
        "grad∘shard_map∘vmap": gradient_of(MAPS["shard_map∘vmap"]),
    }


def directional_ways(f):
    def jvp_of(over):
        def entry_by_entry(*stack):
            g, floats = of_floats(over(weighted(f)), stack)
            return jax.jvp(g, (floats,), ([jax.vmap(ripple)(a) for a in floats],))[1]

        return entry_by_entry

    return {"jvp∘vmap": jvp_of(jax.vmap), "jvp∘while_loop": jvp_of(while_loop)}


def hessian_ways(f):
    """Forward over reverse mode and reverse over forward, equal because Hessians are symmetric."""
    return {
        "vmap∘jvp∘grad": jax.vmap(directional(gradient(f))),
        "vmap∘grad∘jvp": jax.vmap(gradient(directional(weighted(f)))),
    }


def check_values(case, dtype=np.float32, ways=None):
    ways = ways or (few_ways if case.slow else value_ways)
    rows, stack = stacked(case, dtype)
    plain = case.oracle or (quick(case.f) if case.slow else case.f)
    with jax.enable_x64(case.x64):
        expected = [plain(*(float64(row) if case.x64 else row)) for row in rows]
    # Check key reuse only without `vmap`: for `scan` over mapped keys JAX has no rule for the
    # transpose, and reports a false reuse, as also in
    # jax.vmap(lambda k: jax.lax.map(jax.random.uniform, jax.random.split(k, 4)))(keys).
    with jax.debug_key_reuse(True):
        types = jax.eval_shape(jax.jit(case.f), *rows[0])
    for name, answer in together(ways(case.f), stack).items():
        assert jax.tree.map(lambda a: a.dtype, answer) == jax.tree.map(lambda a: a.dtype, types)
        compare(name, answer, expected, case.roundings)


def check_derivatives(case):
    """Compares every way in float32 with float64, and float64 with finite differences."""
    rows, stack = stacked(case, np.float32)
    derivatives = [directional(weighted(case.f)), gradient(case.f), directional(gradient(case.f))]
    ways = [directional_ways, gradient_ways, hessian_ways]
    if case.slow:
        del derivatives[2:], ways[2:]
    with jax.enable_x64(case.x64):
        plain = quick(lambda *row: [weighted(case.f)(*row), *(d(*row) for d in derivatives)])
        rows = float64(rows) if case.x64 else rows
        answers = [plain(*row) for row in rows]
        agree_with_differences(case, plain, rows[0])
    for n, order in enumerate(ways):
        expected = [answer[n + 1] for answer in answers]
        for name, answer in together(order(case.f), stack).items():
            compare(name, answer, expected, 2 * case.roundings)


def agree_with_differences(case, plain, row):
    step, rtol = (1e-5, 1e-7) if case.x64 else (1e-3, 2e-2)
    at, floats = of_floats(plain, row)
    _, change, slopes, *hessian = at(floats)
    one, other = ([a + h * ripple(a) for a in floats] for h in (step, -step))
    value = (
        of_floats(weighted(case.oracle), row)[0] if case.oracle else lambda floats: at(floats)[0]
    )
    ahead, behind = at(one), at(other)
    for derivative, more, less in (
        (change, value(one), value(other)),
        (sum((s * ripple(s)).sum() for s in slopes), value(one), value(other)),
        *(
            (b, *pair)
            for second in hessian
            for b, *pair in zip(second, ahead[2], behind[2], strict=True)
        ),
    ):
        atol = rtol * max(1, abs(derivative).max())
        np.testing.assert_allclose(derivative, (more - less) / (2 * step), rtol=0, atol=atol)


def float64(tree):
    return jax.tree.map(lambda a: a.astype(np.float64) if is_float(a) else a, tree)


def compare(name, answer, expected, roundings):
    """Compares within a number of roundings of the largest value in each array."""
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *expected)
    for got, right in zip(*map(jax.tree.leaves, (answer, expected)), strict=True):
        eps = float(jnp.finfo(got.dtype).eps) if is_float(got) else 0.0
        atol = roundings * eps / 2 * max(1, abs(right).max(initial=0))
        got = np.asarray(got, np.float64)
        np.testing.assert_allclose(got, right, rtol=0, atol=atol, err_msg=name)
