"""The roofline: how close classification comes to the machine's limits."""

import math
from functools import partial
from itertools import cycle

import numpy as np

from jaxnet.bench import Limits, Rate, Report, Work
from jaxnet.inference import PRECISIONS
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import FAINT, LINE, TEXT, Axes, Figure, Sheet

# As elsewhere, hues that eyes of every kind tell apart.
_COLORS = dict(zip(PRECISIONS, cycle(("#5ab4ff", "#ffd84a", "#ff8a4c", "#7bd88f")), strict=False))
_MARKERS = "ovsD^P*X"
_APART = 1.25  # the ratio between the columns of points of two precisions


def roofline(report: Report, *, figure: Sheet | None = None) -> Figure:
    """Plots operations per second against operations per byte: limits and measured rates."""
    # Where an image asks for few operations a byte, the slanted roof of memory is in the way, else
    # a flat one of arithmetic. All points belong over one place, that of the network; precisions
    # are set apart from each other to be seen.
    # Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
    if not report.limits:
        raise ValueError("Expected a report with the limits of a device; got one without any.")
    figure = _canvas.sheet(figure, 9 * len(report.limits), 6.4)
    panels = figure.subplots(1, len(report.limits), squeeze=False)[0]
    for ax, limits in zip(panels, report.limits, strict=True):
        rates = [rate for rate in report.rates if rate.device == limits.device]
        _draw(_canvas.ruled(ax), report.work, limits, rates)
    n_bytes, operations = report.work
    title = f"one image: {n_bytes:,} bytes, {operations:,} operations"
    below = f"all points belong to {operations / n_bytes:.3g} operations a byte; "
    _canvas.caption(figure, title, below + "the precisions are set beside each other to be seen")
    return _canvas.whole(figure)


def _draw(ax: Axes, work: Work, limits: Limits, rates: list[Rate]) -> None:
    place, top = work.operations / work.bytes, max(limits.arithmetic.values())
    ridge = top / limits.memory
    left, right = min(place, ridge) / 30, max(30 * place, 10 * ridge)
    _roofs(ax, limits, left, right)
    _points(ax, work, limits, rates)
    ax.axvline(place, color=LINE, linewidth=1, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(left, right))
    ax.set(xlabel="operations a byte", ylabel="operations a second")
    to_images = partial(np.multiply, 1 / work.operations)
    to_operations = partial(np.multiply, work.operations)
    images = ax.secondary_yaxis("right", functions=(to_images, to_operations))
    images.set_ylabel("images per second", color=FAINT)
    images.tick_params(which="both", colors=FAINT, labelcolor=FAINT, length=0)
    images.spines[:].set_visible(False)
    low, high = ax.get_ylim()
    ax.set_xticks(*_decades(left, right))
    ax.set_yticks(*_decades(low, high))
    images.set_ticks(*_decades(low / work.operations, high / work.operations))
    for sheet in (ax, images):
        sheet.minorticks_off()
    title = limits.device
    if rates:
        best = max(rates, key=lambda rate: rate.images_per_second)
        title += f": at best {best.images_per_second / 1e6:.3g} million images per second, "
        title += f"{100 * best.share:.3g} % of what {best.limit} allows"
    ax.set_title(title, color=TEXT, fontsize=11)
    ax.grid(color=LINE, linewidth=0.6, alpha=0.6)
    ax.legend(loc="lower right", frameon=False, labelcolor=TEXT, fontsize=9)


def _roofs(ax: Axes, limits: Limits, left: float, right: float) -> None:
    top = max(limits.arithmetic.values())
    for name, bandwidth, dashes in (
        ("memory", limits.memory, "-"),
        ("transfer", limits.transfer, "--"),
    ):
        if bandwidth is not None:
            ax.plot(
                [left, top / bandwidth], [left * bandwidth, top],
                color=TEXT, linestyle=dashes, label=f"{name}: {_in_words(bandwidth)}B/s",
            )  # fmt: skip
    for precision, rate in limits.arithmetic.items():
        ax.plot(
            [rate / limits.memory, right], [rate, rate],
            color=_COLORS[precision], label=f"{precision}: {_in_words(rate)}op/s",
        )  # fmt: skip


def _points(ax: Axes, work: Work, limits: Limits, rates: list[Rate]) -> None:
    middle = (len(limits.arithmetic) - 1) / 2
    places = {
        precision: work.operations / work.bytes * _APART ** (n - middle)
        for n, precision in enumerate(limits.arithmetic)
    }
    sizes = sorted({rate.batch_size for rate in rates})
    markers = dict(zip(sizes, cycle(_MARKERS), strict=False))
    for rate in rates:
        ax.plot(
            places[rate.precision], rate.images_per_second * work.operations, linestyle="",
            color=_COLORS[rate.precision], marker=markers[rate.batch_size], markersize=8,
        )  # fmt: skip
    for size, marker in markers.items():
        label = f"{size:,} image{'s' if size > 1 else ''} per call"
        ax.plot([], [], color=FAINT, marker=marker, linestyle="", label=label)


def _decades(low: float, high: float) -> tuple[list[float], list[str]]:
    """The powers of ten in a range, and their labels."""
    exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks = [10.0**n for n in exponents]
    return ticks, [_in_words(tick).strip() for tick in ticks]


def _in_words(number: float) -> str:
    for size, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.6g} "
