"""Networks made of any functions, one after another, as layers and squashes.

Between two squashes a network is affine, whatever it is made of: dense layers, batch normalization,
scaled pixels, a convolution. So a layer's biases are its value at zero, its weights are its values
at the unit vectors, and its value at one more point proves them.

Nothing here needs JAX, so that it also runs in a process of its own.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Shape = tuple[int, ...]

MOST_PIXELS = 2**17
MOST_WEIGHTS = 2**24  # of a network; a convolution of eight filters of 3×3 makes 4,239,872
_AT_ONCE = 2**17  # numbers per batch
_BYTE_SCALE = 1 / 16  # pixels times less than this are taken to be 0 to 255, as with 1/255
_UNIT = 2.0**20  # long vectors, so that small weights are not rounded away beside large biases
LOG_SOFTMAX = "log_softmax"  # at the end, the logarithms of the same probabilities
_NOT_FINITE = "Expected finite weights and biases; got NaN or infinity instead."

# Large values separate ReLU from ReLU6, and similar slopes from each other.
# Points near zero find a threshold there.
_NEAR = np.array([1e-4, 1e-3, 0.01, 0.03, 0.07, 0.13, 0.19, 0.26, 0.31, 0.37, 0.43, 0.49, 0.8, 1.3])
_FAR = np.array([30, 300, 1e4])
PROBE = np.concatenate([np.linspace(-8, 8, 33), _NEAR, -_NEAR, _FAR, -_FAR], dtype=np.float32)


class Affine(NamedTuple):
    """A layer before its squash.

    Attributes:
        weights, biases: of shapes `(out, in)` and `(out,)`.
        of_bytes: whether it takes pixels from 0 to 255.
    """

    weights: Any
    biases: Any
    of_bytes: bool = False


class Curve(NamedTuple):
    """A function that is not affine.

    Attributes:
        name: the name in `SQUASHES`, if it is found; else what messages call it.
        is_named: whether `name` is a name in `SQUASHES`.
        values: at `PROBE`, for a function that takes each number by itself.
    """

    name: str
    is_named: bool = False
    values: Floats | None = None


class Step(NamedTuple):
    """One function of a network.

    Attributes:
        name: what messages call it.
        run: takes a batch in float64 and returns one, with the images along the first axis.
        known: the layer or squash that it is, if its framework says so.
        is_scale: whether it scales or shifts all pixels by a constant that was not learned.
    """

    name: str
    run: Callable[[Floats], Floats]
    known: Affine | Curve | None = None
    is_scale: bool = False


def dense(name: str, weights: Any, biases: Any) -> Step:
    """A dense layer with weights of shape `(out, in)`, copied exactly unless merged with others."""
    wide = np.asarray(weights, np.float64).T, np.asarray(biases, np.float64)
    return Step(name, lambda a: a @ wide[0] + wide[1], Affine(weights, biases))


def squash(name: str) -> Step:
    """A squash by its name in `SQUASHES`; shapes pass through it, but no values."""
    return Step(name, lambda a: a, None if name == "identity" else Curve(name, is_named=True))


def image_shape(steps: Iterable[Step], side: int, declared: Iterable[Shape] = ()) -> Shape:
    """The shape of one image: what is declared, or else guesses that every step accepts."""
    # Those are of as many pixels as the first dense layer takes, or `side` × `side`, flat or with
    # one channel. All that are accepted must give the same values.
    steps = [*steps]
    shapes = [shape for shape in declared if math.prod(shape) <= MOST_PIXELS]
    if not shapes:
        sizes = [step.known.weights.shape[1] for step in steps if isinstance(step.known, Affine)]
        for n in (*sizes[:1], side**2):
            root = math.isqrt(n)
            shapes += [(n,), *[(1, root, root), (root, root), (root, root, 1)] * (root**2 == n)]
    found: dict[Shape, Floats] = {}
    for shape in shapes:
        if found and math.prod(shape) != math.prod(next(iter(found))):
            break
        values = np.random.default_rng(0).random((2, math.prod(shape))).reshape(2, *shape)
        try:
            for step in steps:
                values = _ran(step, values)
        except ValueError:
            continue
        found[shape] = values.reshape(2, -1)
    first, *others = [*found] or shapes[:1]
    for shape in others:
        if not np.allclose(found[shape], found[first], equal_nan=True):
            raise ValueError(
                f"Expected a model for images of one shape; it reads those of {first} and of "
                f"{shape} differently. Put a Reshape or an Unflatten first."
            )
    return first


def parts_of(
    steps: Iterable[Step], shape: Shape, most: int = MOST_WEIGHTS
) -> Iterator[Affine | Curve]:
    """Splits functions that follow each other, for images of this shape, at each squash."""
    # Raises ValueError for a function that mixes images or fails, for NaN and infinity, and for
    # more than `most` weights. It ends at a function that is neither affine nor known.
    if math.prod(shape) > MOST_PIXELS:
        raise ValueError(f"Expected images of at most {MOST_PIXELS:,} pixels; got shape {shape}.")
    segment: list[Step] = []
    start = shape  # of what the segment takes
    is_first, has_layer, of_bytes = True, False, False
    scale: float | None = 1.0  # of the pixels, until the first layer

    def layer() -> Affine:
        nonlocal most
        whole = _layer(segment, start, of_bytes, most)
        most -= whole.weights.size
        return whole

    for step in steps:
        part = _curve(step, shape) if step.known is None else step.known
        factor, after = None, shape
        if not isinstance(part, Curve):
            part, factor, after = _proved(step, shape)
        if isinstance(part, Curve):
            if not segment or (is_first and not has_layer):
                raise ValueError(
                    f"Expected layers with one squash after each; got {part.name} alone."
                )
            yield layer()
            yield part
            if not part.is_named and part.values is None:
                return
            segment, start = [], shape
            is_first = has_layer = of_bytes = False
            continue
        if factor is None or step.known:
            if has_layer:
                yield layer()
                segment, start, of_bytes = [], shape, False
            has_layer, scale = True, None
        elif scale is not None:
            scale = scale * factor if step.is_scale or factor == 1 else None
            of_bytes = scale is not None and scale < _BYTE_SCALE
        segment.append(step)
        shape = after
    if len(shape) != 1:
        raise ValueError(
            f"Expected one number for each class at the end; got values of shape {shape}. Is a "
            "Flatten missing before the dense layers?"
        )
    if segment:
        yield layer()


def _ran(step: Step, batch: Floats) -> Floats:
    """The values of a step, one for each image."""
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(step.run(batch), np.float64)
    except MemoryError:
        raise
    except Exception as error:  # of any kind: these are other packages' functions
        raise ValueError(
            f"Expected layers that fit together; {step.name} does not take {batch.shape[1:]}."
        ) from error
    if len(values) != len(batch):
        raise ValueError(
            f"Expected layers that process each image separately; {step.name} mixes them."
        )
    return values


def _curve(step: Step, shape: Shape) -> Curve | None:
    """The step as an elementwise function or softmax; None if it is neither."""
    n = math.prod(shape)
    places = np.add.outer(np.arange(PROBE.size), np.arange(n)) % PROBE.size
    z = PROBE[places].astype(np.float64)
    y = _ran(step, z.reshape(-1, *shape))
    if y.shape != (len(z), *shape):
        return None
    y = y.reshape(z.shape)
    values = y[:, 0]
    if np.allclose(y, values[places], rtol=1e-6, atol=1e-9, equal_nan=True):
        # PROBE is -8, 0 and 8 at 0, 16 and 32.
        line = values[16] + (values[32] - values[0]) / 16 * PROBE
        is_line = np.allclose(values, line, rtol=1e-6, atol=1e-6)
        return None if is_line else Curve(step.name, values=values)
    if len(shape) == 1:
        raised = np.exp(z - z.max(1, keepdims=True))
        softmax = raised / raised.sum(1, keepdims=True)
        with np.errstate(over="ignore"):
            powers = np.exp(y)
        for name, values in (("softmax", y), (LOG_SOFTMAX, powers)):
            if np.allclose(values, softmax, atol=1e-6):
                return Curve(name, is_named=True)
    return None


def _proved(step: Step, shape: Shape) -> tuple[Curve | None, float | None, Shape]:
    """Tests whether a step is affine, and whether it only scales, shifts or reorders."""
    rng = np.random.default_rng(0)
    factor, after = None, shape
    for size in (1e-2, 1e4, 1.0):  # some functions are affine only near zero, or far from it
        p, q = size * rng.normal(size=(2, 8, *shape))
        zero = np.zeros((1, *shape))
        values = _ran(step, np.concatenate([zero, zero + 1, p, q, p + q]))
        if not np.isfinite(values).all():
            raise ValueError(_NOT_FINITE)
        (at_zero, at_one), (of_p, of_q, of_both) = values[:2], values[2:].reshape(3, 8, -1)
        at_zero, change = at_zero.ravel(), of_p - at_zero.ravel()
        # Rounding errors of each output, which one large bias must not hide.
        error = 1e-9 * np.abs(of_both - at_zero).max(0) + 1e-14 * np.abs(at_zero)
        if (np.abs(change + of_q - of_both) > error).any():
            return Curve(step.name), None, shape
        if (np.abs(_ran(step, p[:1]).reshape(1, -1) - of_p[:1]) > error).any():
            raise ValueError(
                f"Expected layers that process each image separately; {step.name} mixes them."
            )
        p, slope = p.reshape(8, -1), at_one.ravel() - at_zero
        factor, after = None, values.shape[1:]
        if change.shape == p.shape:
            if np.array_equal(np.sort(change), np.sort(p)):
                factor = 1.0
            elif (np.abs(change - slope * p) <= error).all():
                factor = float(np.median(np.abs(slope)))
    return None, factor, after


def _layer(segment: list[Step], shape: Shape, of_bytes: bool, most: int) -> Affine:
    """The weights and biases of an affine function: its values at zero and the unit vectors."""
    n = math.prod(shape)
    known = segment[0].known if len(segment) == 1 else None
    if isinstance(known, Affine) and shape == (n,):
        return known

    def run(flat: Floats) -> Floats:
        values = flat.reshape(-1, *shape)
        for step in segment:
            values = _ran(step, values)
        return values.reshape(len(flat), -1)

    biases = run(np.zeros((1, n)))[0]
    if biases.size * n > most:
        raise ValueError(
            f"Expected at most {MOST_WEIGHTS:,} weights in all; {n:,} × {biases.size:,} are in "
            f"{', '.join(step.name for step in segment):.100} alone."
        )
    weights = np.empty((biases.size, n))
    for begin in range(0, n, _AT_ONCE // n + 1):
        some = np.arange(begin, min(begin + _AT_ONCE // n + 1, n))
        units = np.zeros((some.size, n))
        units[np.arange(some.size), some] = _UNIT
        weights[:, some] = ((run(units) - biases) / _UNIT).T
    point = np.random.default_rng(1).normal(size=(1, n))
    expected, sums = run(point)[0], np.abs(weights) @ np.abs(point[0])
    error = 1e-6 * sums + 1e-12 * np.abs(biases)
    if (np.abs(weights @ point[0] + biases - expected) > error).any():
        raise ValueError(f"Expected affine layers; got {', '.join(s.name for s in segment):.100}.")
    return Affine(weights, biases, of_bytes)
