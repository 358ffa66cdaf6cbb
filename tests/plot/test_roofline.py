"""The roofline: roofs where the limits are, points where the rates are."""

import numpy as np
import pytest

from jaxnet.bench import Limits, Rate, Report, Work
from jaxnet.plot._roofline import roofline
from tests.rendering import assert_tidy

WORK = Work(bytes=784, operations=25_920)
ABACUS = Limits("abacus:0", 2e10, None, {"float32": 3e11, "bfloat16": 5e11, "int8": 2e12})
LOOM = Limits("loom:0", 3e12, 2.5e10, {"float32": 4e14, "bfloat16": 8e14, "int8": 1.6e15})


def rates(device):
    return tuple(
        Rate(
            device, precision, size, 500.0 * size**0.75 * k, 2e7, "memory", 2.5e-5 * size**0.75 * k
        )
        for k, precision in enumerate(("float32", "bfloat16", "int8"), 1)
        for size in (1, 100, 10_000, 200_000)
    )


def lines(ax, *, labeled):
    """The drawn lines with a name, by it; or those without, which are points."""
    return [line for line in ax.lines if line.get_label().startswith("_") != labeled]


def test_roofs():
    (ax,) = roofline(Report(WORK, (LOOM,))).axes
    roofs = {line.get_label(): line.get_xydata() for line in lines(ax, labeled=True)}
    assert [*roofs] == [
        "memory: 3 TB/s",
        "transfer: 25 GB/s",
        "float32: 400 Top/s",
        "bfloat16: 800 Top/s",
        "int8: 1.6 Pop/s",
    ]
    for label, bandwidth in (("memory: 3 TB/s", 3e12), ("transfer: 25 GB/s", 2.5e10)):
        x, y = roofs[label].T
        np.testing.assert_allclose(y / x, bandwidth)
        assert y[-1] == pytest.approx(1.6e15)  # up to the highest of the flat ones
    flat = roofs["float32: 400 Top/s"]
    np.testing.assert_allclose(flat[:, 1], 4e14)
    assert flat[0, 0] * 3e12 == pytest.approx(4e14)  # where memory's roof meets it
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_compute_bound_network():
    wide = Work(bytes=784, operations=2 * 784 * 400_000)
    (ax,) = roofline(Report(wide, (ABACUS,))).axes
    (memory,) = [line for line in lines(ax, labeled=True) if "memory" in line.get_label()]
    x, y = memory.get_xydata().T
    assert x[0] < x[1]
    assert y[0] < y[1] == 2e12
    assert ax.get_xlim()[0] <= x[0]


def test_points():
    (ax,) = roofline(Report(WORK, (ABACUS,), rates("abacus:0"))).axes
    points = [line for line in lines(ax, labeled=False) if line.get_marker() != "None"]
    assert len(points) == 12
    got = sorted(float(line.get_ydata()[0]) / 25_920 for line in points)
    assert got == pytest.approx(sorted(rate.images_per_second for rate in rates("abacus:0")))
    for of in (line.get_color for line in points), (line.get_xdata for line in points):
        assert len({str(look()) for look in of}) == 3  # a color and a place for each precision
    assert len({line.get_marker() for line in points}) == 4
    places = sorted({float(line.get_xdata()[0]) for line in points})
    assert places[1] == pytest.approx(25_920 / 784)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[-4:] == [
        "1 image per call",
        "100 images per call",
        "10,000 images per call",
        "200,000 images per call",
    ]
    best = max(rates("abacus:0"), key=lambda rate: rate.images_per_second)
    millions, share = best.images_per_second / 1e6, 100 * best.share
    assert ax.get_title() == (
        f"abacus:0: at best {millions:.3g} million images per second, "
        f"{share:.3g} % of what memory allows"
    )


def test_right_axis():
    figure = roofline(Report(WORK, (ABACUS,), rates("abacus:0")))
    assert_tidy(figure)
    (ax,) = figure.axes
    (images,) = ax.child_axes
    np.testing.assert_allclose(25_920 * np.array(images.get_ylim()), ax.get_ylim())
    assert "1 M" in [text.get_text() for text in images.get_yticklabels()]


@pytest.mark.parametrize("devices", [(ABACUS,), (LOOM, ABACUS)])
def test_several_devices(devices):
    both = rates("abacus:0") + rates("loom:0")
    figure = roofline(Report(WORK, devices, both))
    assert_tidy(figure)
    assert [ax.get_title().split(": ")[0] for ax in figure.axes] == [d.device for d in devices]
    assert figure.get_suptitle() == "one image: 784 bytes, 25,920 operations"


def test_batch_sizes():
    many = tuple(
        Rate("abacus:0", "int8", 2**n, 2.0**n, 1e9, "memory", 2.0**n / 1e9) for n in range(12)
    )
    (ax,) = roofline(Report(WORK, (ABACUS,), many)).axes
    assert len(ax.get_legend().get_texts()) == 4 + 12
    assert roofline(Report(WORK, (ABACUS,))).axes[0].get_title() == "abacus:0"


def test_without_limits():
    with pytest.raises(ValueError, match="limits of a device; got one without any"):
        roofline(Report(WORK))
