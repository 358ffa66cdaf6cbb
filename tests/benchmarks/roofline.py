"""Where the time of classification goes, and its roofline: this machine's limits and our rates.

Draws build/roofline.png: operations per second against operations per byte. Where an image asks for
few operations per byte, the slanted roof of memory is in the way, else the flat one of arithmetic.
All points belong over one place, that of the network; the precisions stand beside each other.

Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
"""

import tempfile
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

import jaxnet
from jaxnet.bench import (
    arithmetic_rates,
    bandwidth_to_device,
    measure,
    operations_per_image,
    time_calls,
)
from jaxnet.inference import PRECISIONS
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import FAINT, LINE, TEXT
from tests.benchmarks.report import report

N = 200_000
OUTPUT = Path("build/roofline.png")
COLORS = dict(zip(PRECISIONS, ("#5ab4ff", "#ffd84a", "#ff8a4c"), strict=True))
APART = 1.25  # the ratio between the columns of points of two precisions


def copy_bandwidth(*, size=2**28, seconds=0.3):
    """Bytes per second that the device reads from its own memory and writes to it."""
    times = 8  # dispatched together, to hide the launch overhead
    array, copy = jnp.ones(size // 4, jnp.uint32), jax.jit(lambda a: a + 1)

    def several():
        a = array
        for _ in range(times):
            a = copy(a)
        a.block_until_ready()

    return 2 * times * size / min(time_calls(several, seconds))


def stages(params, images, seconds=0.3):
    """Each stage and its seconds per image, measured alone; `classify` overlaps them."""

    def spent(call):
        return median(time_calls(call, seconds)) / len(images)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.npy")
        np.save(path, images)
        yield "read from a file in the page cache", spent(lambda: np.load(path))
    resident = images
    if jax.default_backend() != "cpu":
        yield "transfer", spent(lambda: jax.device_put(images).block_until_ready())
        resident = jax.device_put(images)
    for precision in PRECISIONS:
        run = partial(jaxnet.classify, params, resident, precision=precision)
        yield f"compute, {precision}", spent(run)
    if jax.default_backend() != "cpu":
        answers = jnp.zeros((len(images), params[-1][1].size))
        # Copy first: a JAX array caches its NumPy copy.
        yield "of that, the answers to NumPy", spent(lambda: np.asarray(jnp.copy(answers)))


def roofline(work, bandwidths, arithmetic, rates):
    """Draws the limits and the rates of a network of so many bytes and operations per image."""
    n_bytes, operations = work
    memory, top = max(bandwidths.values()), max(arithmetic.values())
    place, ridge = operations / n_bytes, top / memory
    left, right = min(place, ridge) / 30, max(30 * place, 10 * ridge)
    figure = _canvas.sheet(None, 9, 6.4)
    ax = _canvas.ruled(figure.subplots())
    for (name, bandwidth), dashes in zip(bandwidths.items(), cycle(("-", "--"))):
        label = f"{name}: {bandwidth / 1e9:,.3g} GB/s"
        ends = [left, top / bandwidth], [left * bandwidth, top]
        ax.plot(*ends, color=TEXT, linestyle=dashes, label=label)
    for precision, rate in arithmetic.items():
        label = f"{precision}: {rate / 1e9:,.3g} Gop/s"
        ax.plot([rate / memory, right], [rate, rate], color=COLORS[precision], label=label)
    markers = dict(zip(sorted({rate.batch_size for rate in rates}), "ovsD", strict=False))
    for rate in rates:
        column = place * APART ** ([*PRECISIONS].index(rate.precision) - 1)
        ax.plot(
            column, rate.images_per_second * operations, linestyle="", markersize=8,
            color=COLORS[rate.precision], marker=markers[rate.batch_size],
        )  # fmt: skip
    for size, marker in markers.items():
        ax.plot([], [], color=FAINT, marker=marker, linestyle="", label=f"{size:,} per call")
    ax.axvline(place, color=LINE, linewidth=1, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=(left, right))
    ax.set(xlabel="operations per byte", ylabel="operations per second")
    ax.minorticks_off()
    ax.grid(color=LINE, linewidth=0.6, alpha=0.6)
    ax.legend(loc="lower right", frameon=False, labelcolor=TEXT, fontsize=9)
    best = max(rates, key=lambda rate: rate.images_per_second)
    title = f"at best {best.images_per_second / 1e6:.3g} million images per second"
    _canvas.caption(figure, title, f"one image: {n_bytes:,} bytes, {operations:,} operations")
    return _canvas.whole(figure)


def main():
    params = jaxnet.pretrained()
    images = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
    device = jax.devices()[0]
    bandwidth, name = bandwidth_to_device(device)
    bandwidths = (
        {name: bandwidth} if name == "memory" else {"memory": copy_bandwidth(), name: bandwidth}
    )
    arithmetic = arithmetic_rates(device)
    rates = [*measure(params, n_images=N)]
    for rate in rates:
        most = rate.images_per_second / rate.share / 1e6
        label = f"{rate.precision}, {rate.batch_size:,} per call"
        ours = rate.images_per_second / 1e6
        report(label, ours, most, "million images/s", peer_name=f"the machine's {rate.limit}")
    for name, seconds in stages(params, images):
        whole = 1e6 / max(rate.images_per_second for rate in rates)
        report(name, 1e6 * seconds, whole, "s per million", peer_name="classify")
    OUTPUT.parent.mkdir(exist_ok=True)
    work = (784, operations_per_image(params))
    roofline(work, bandwidths, arithmetic, rates).savefig(OUTPUT, dpi=150)
