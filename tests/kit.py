"""What every pure function owes to JAX's transformations, as tables that any function is held to.

A function is transformed alone (`WRAPS`: it stays the same function), over a stack of its
arguments (`MAPS`: each entry is answered as if alone), and one by the other. So are its
derivatives, which must be those of the whole stack as well as a stack of each entry's own.
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

N = 4  # entries in a stack, also two by two


class Case(NamedTuple):
    """A function, and how to draw its arguments.

    Attributes:
        f: the function, of arrays only.
        arguments: draws them from a NumPy generator, floats in float64, keys as their bits.
        oracle: the same function in NumPy, if there is one; if not, `f` itself in float64.
        smooth: whether it has derivatives worth the name.
        wide: whether it is the same function in float64; not where the type of its arguments
            decides which random numbers are drawn, or its results are in float32 always.
        long: whether it takes long to compile, so that fewer ways, and none of its second
            derivatives, must do.
        roundings: how many, each by half an epsilon, may pile up in a result, of the
            size of its largest number: a few for each sum and each layer.
    """

    f: Callable[..., Any]
    arguments: Callable[[np.random.Generator], tuple[Any, ...]]
    oracle: Callable[..., Any] | None = None
    smooth: bool = True
    wide: bool = True
    long: bool = False
    roundings: int = 12


def is_float(a):
    return jnp.issubdtype(a.dtype, jnp.floating)


def stacked(case, dtype):
    """N arguments, rounded to a type: one by one and as a stack."""
    rows = [case.arguments(np.random.default_rng(n)) for n in range(N)]
    rows = jax.tree.map(lambda a: a.astype(dtype) if is_float(a) else a, rows)
    return rows, jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def of_floats(f, arguments):
    """`f` as a function of only those arrays that have slopes, and these arrays."""
    leaves, tree = jax.tree.flatten(arguments)
    places = [n for n, leaf in enumerate(leaves) if is_float(leaf)]

    def g(floats):
        changed = dict(zip(places, floats, strict=True))
        return f(*jax.tree.unflatten(tree, [changed.get(n, a) for n, a in enumerate(leaves)]))

    return g, [jnp.asarray(leaves[n]) for n in places]


def weighed(f):
    """All results as one number, no two counting the same."""

    def number(*arguments):
        floats = [a for a in jax.tree.leaves(f(*arguments)) if is_float(a)]
        return sum((a * ripple(a)).sum() for a in floats)

    return number


def ripple(a):
    return jnp.cos(jnp.arange(a.size)).astype(a.dtype).reshape(a.shape)


def slopes(f):
    """The gradient of `f`, weighed."""

    def slope(*arguments):
        g, floats = of_floats(weighed(f), arguments)
        return jax.grad(g)(floats)

    return slope


def along(f):
    """How `f` changes where all its arguments do."""

    def change(*arguments):
        g, floats = of_floats(f, arguments)
        return jax.jvp(g, (floats,), ([ripple(a) for a in floats],))[1]

    return change


def scan(f):
    return lambda *stack: jax.lax.scan(lambda _, a: (None, f(*a)), None, stack)[1]


def while_loop(f):
    """Writes one answer after another; has no reverse mode."""

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
    """`jax.vmap` where the stack is the last axis of every array."""
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
    """The branch taken, where the other gives zeros; under `vmap`, both are computed."""

    def nothing(*arguments):
        return jax.tree.map(lambda a: 0 * a, f(*arguments))

    def branch(*arguments):
        first = jnp.asarray(jax.tree.leaves(arguments)[0])
        return jax.lax.cond((first == first).all(), f, nothing, *arguments)

    return branch


def beside_its_jvp(f):
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
    "linearize": beside_its_jvp,
}


# What is compiled shall be right, not fast: most of the time goes into compiling it.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def together(ways, stack):
    """All ways to answer a stack, compiled as one program: so each is under `jit`, too."""

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


def of_values(f):
    """By every map, each of another wrap in turn."""
    turns = zip(MAPS.items(), itertools.cycle(WRAPS.items()))
    return {f"{name}∘{inner}": over(wrap(f)) for (name, over), (inner, wrap) in turns}


def of_few(f):
    return {
        "vmap∘jit": jax.vmap(jax.jit(f)),
        "shard_map∘vmap": MAPS["shard_map∘vmap"](f),
        "scan∘checkpoint": scan(jax.checkpoint(f)),
    }


def of_every_pair(f):
    maps = {**MAPS, **MORE_MAPS}
    ways = {name: over(f) for name, over in maps.items()}
    for name, over in maps.items():
        for wrap_name, wrap in WRAPS.items():
            ways[f"{name}∘{wrap_name}"] = over(wrap(f))
            ways[f"{wrap_name}∘{name}"] = wrap(over(f))
    return ways


def of_slopes(f):
    """The slopes of the maps, summed; and maps of the slopes."""

    def slopes_of(over):
        def entry_by_entry(*stack):
            g, floats = of_floats(lambda *stack: over(weighed(f))(*stack).sum(), stack)
            return jax.grad(g)(floats)

        return entry_by_entry

    return {
        "vmap∘grad∘checkpoint": jax.vmap(slopes(jax.checkpoint(f))),
        "grad∘scan": slopes_of(scan),
        "grad∘shard_map∘vmap": slopes_of(MAPS["shard_map∘vmap"]),
    }


def of_changes(f):
    def along_the_stack(over):
        def entry_by_entry(*stack):
            g, floats = of_floats(over(weighed(f)), stack)
            return jax.jvp(g, (floats,), ([jax.vmap(ripple)(a) for a in floats],))[1]

        return entry_by_entry

    return {
        "jvp∘vmap": along_the_stack(jax.vmap),
        "jvp∘while_loop": along_the_stack(while_loop),
    }


def of_bends(f):
    """Second derivatives, forward over reverse and the other way round: Hessians are symmetric."""
    return {
        "vmap∘jvp∘grad": jax.vmap(along(slopes(f))),
        "vmap∘grad∘jvp": jax.vmap(slopes(along(weighed(f)))),
    }


def check_values(case, dtype=np.float32, ways=None):
    ways = ways or (of_few if case.long else of_values)
    rows, stack = stacked(case, dtype)
    plain = case.oracle or (quick(case.f) if case.long else case.f)
    with jax.enable_x64(case.wide):
        expected = [plain(*(float64(row) if case.wide else row)) for row in rows]
    # Not of mapped keys: where `scan` takes these, JAX's checker has no rule for the transpose that
    # `vmap` puts before it, and reports a reuse that is none; so it does without jaxnet, for
    # jax.vmap(lambda k: jax.lax.map(jax.random.uniform, jax.random.split(k, 4)))(keys).
    with jax.debug_key_reuse(True):
        types = jax.eval_shape(jax.jit(case.f), *rows[0])
    for name, answer in together(ways(case.f), stack).items():
        assert jax.tree.map(lambda a: a.dtype, answer) == jax.tree.map(lambda a: a.dtype, types)
        compare(name, answer, expected, case.roundings)


def check_derivatives(case):
    """Every way in float32, against the plain one in float64, and that against differences."""
    rows, stack = stacked(case, np.float32)
    derivatives = [along(weighed(case.f)), slopes(case.f), along(slopes(case.f))]
    ways = [of_changes, of_slopes, of_bends]
    if case.long:
        del derivatives[2:], ways[2:]
    with jax.enable_x64(case.wide):
        plain = quick(lambda *row: [weighed(case.f)(*row), *(d(*row) for d in derivatives)])
        rows = float64(rows) if case.wide else rows
        answers = [plain(*row) for row in rows]
        agree_with_differences(case, plain, rows[0])
    for n, order in enumerate(ways):
        expected = [answer[n + 1] for answer in answers]
        for name, answer in together(order(case.f), stack).items():
            compare(name, answer, expected, 2 * case.roundings)


def agree_with_differences(case, plain, row):
    step, rtol = (1e-5, 1e-7) if case.wide else (1e-3, 2e-2)
    at, floats = of_floats(plain, row)
    _, change, own_slopes, *bend = at(floats)
    one, other = ([a + h * ripple(a) for a in floats] for h in (step, -step))
    value = of_floats(weighed(case.oracle), row)[0] if case.oracle else lambda floats: at(floats)[0]
    ahead, behind = at(one), at(other)
    for derivative, more, less in (
        (change, value(one), value(other)),
        (sum((s * ripple(s)).sum() for s in own_slopes), value(one), value(other)),
        *(
            (b, *pair)
            for bends in bend
            for b, *pair in zip(bends, ahead[2], behind[2], strict=True)
        ),
    ):
        atol = rtol * max(1, abs(derivative).max())
        np.testing.assert_allclose(derivative, (more - less) / (2 * step), rtol=0, atol=atol)


def float64(tree):
    return jax.tree.map(lambda a: a.astype(np.float64) if is_float(a) else a, tree)


def compare(name, answer, expected, roundings):
    """Each number, within as many roundings of the largest one of its array."""
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *expected)
    for got, right in zip(*map(jax.tree.leaves, (answer, expected)), strict=True):
        eps = float(jnp.finfo(got.dtype).eps) if is_float(got) else 0.0
        atol = roundings * eps / 2 * max(1, abs(right).max(initial=0))
        got = np.asarray(got, np.float64)
        np.testing.assert_allclose(got, right, rtol=0, atol=atol, err_msg=name)
