"""Pictures in grids: the colors of known numbers, the numbers in the texts, any sizes."""

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxnet
from jaxnet._util import palette
from jaxnet.cli import _blocks as blocks
from jaxnet.plot import (
    _attributions as attributions,
)
from jaxnet.plot import (
    _canvas as canvas,
)
from jaxnet.plot import (
    _grids as grids,
)
from jaxnet.plot import (
    _neurons as neurons,
)
from jaxnet.plot import (
    _tiles as tiles,
)
from tests.cli.test_terminal import printed
from tests.oracles import float64, matrix_form
from tests.rendering import assert_tidy, pixels, texts

SIZES = [(784, 100, 10), (784, 10), (4, 3, 2), (50, 7), (97, 130), (1, 1)]


def below(figure):
    return figure.get_supxlabel()


@pytest.fixture(scope="module")
def seven():
    return jaxnet.data.synthetic.draw(jax.random.key(0), 7)


def network(*layers):
    return tuple(jaxnet.Layer(np.float32(w), np.float32(b)) for w, b in layers)


def test_signed_colors():
    rgb = palette.around_zero([-2, -1, 0, 1, 2, 9], full=2)
    assert rgb[2].tolist() == [0, 0, 0]
    np.testing.assert_allclose(rgb[3], rgb[4] / 2)
    np.testing.assert_allclose(rgb[1], rgb[0] / 2)
    np.testing.assert_array_equal(rgb[4], rgb[5])
    assert rgb[4].argmax() == 1  # green
    assert rgb[0].argmax() == 0  # red
    safe = palette.around_zero([-1, 1], 1, "safe")
    assert safe[1].argmax() == 2  # blue
    assert safe[0][2] < safe[0][1] < safe[0][0]  # orange
    with pytest.raises(ValueError, match="one of video, safe; got 'red'"):
        palette.around_zero([1], 1, "red")


def test_safe_colors():
    """Blue minus the mean of red and green hardly changes for those who lack either."""
    positive, negative = palette.hues("safe")
    assert (positive - negative)[2] > 0.5
    assert (positive - negative)[0] < -0.5


@pytest.mark.parametrize(
    ("numbers", "percentile", "expected"),
    [
        ([0, 0], 97, 1),
        ([0.0123, -0.5], 100, 0.5),
        ([1.01], 100, 1.1),
        ([1234.0], 100, 1300),
        ([0] * 1000 + [3], 97, 3),
        ([1] * 99 + [1000], 97, 1),
    ],
)
def test_scale(numbers, percentile, expected):
    assert palette.scale(numbers, percentile) == expected


def test_rows_and_columns():
    for n in range(1, 300):
        rows, columns = palette.rows_and_columns(n)
        assert n <= rows * columns < n + columns
        assert rows <= columns <= 16 * rows
        flat = palette.folded(np.arange(n)).ravel()
        np.testing.assert_array_equal(flat[:n], np.arange(n))
        assert np.isnan(flat[n:]).all()


@pytest.mark.compiled
def test_image(seven):
    figure = neurons.image(seven)
    (discs,) = figure.axes[0].collections
    np.testing.assert_allclose(discs.get_facecolor()[:, 0], seven, atol=1e-6)
    assert (discs.get_facecolor()[:, :1] == discs.get_facecolor()[:, :3]).all()
    offsets = discs.get_offsets()
    assert offsets[29].tolist() == [1, 1]  # the second pixel of the second row
    assert texts(figure) == []  # too many for numbers


def test_small_image():
    figure = neurons.image(np.array([0, 0.25, 0.5, 1]))
    assert texts(figure) == ["0.00", "0.25", "0.50", "1.00"]
    assert [t.get_color() for t in figure.axes[0].texts] == [canvas.TEXT] * 2 + [
        canvas.BACKGROUND
    ] * 2


def test_rendered_weights():
    w = np.array([[1.0, -1.0, 0.5], [0.0, -0.5, 0.25], [1.0, 1.0, 0.0]])
    figure = grids.weights(network((w.reshape(1, 9), [0])), 1, 0)
    ax = figure.axes[0]
    for text in ax.texts:
        text.set_visible(False)
    got = pixels(figure, ax, (3, 3))
    np.testing.assert_allclose(got, 255 * palette.around_zero(w, 1), atol=3)


def test_weights_captions():
    params = jaxnet.pretrained()
    w, b = float64(params)[0]
    figure = grids.weights(params, 1, 3, colors="safe")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array().ravel(), w[3])
    assert figure.axes[0].get_title() == f"28 × 28, bias {b[3]:+.2f}".replace("-", "−")
    full = palette.scale(w[3])
    assert figure.axes[0].images[0].get_clim() == (-full, full)
    ends = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert ends == [f"−{full:g}", "0", f"+{full:g}"]
    assert f"the largest: {abs(w[3]).max():.2f}" in figure.axes[1].get_xlabel()


@pytest.mark.compiled
def test_weights_of_a_layer(params):
    w, b = float64(params)[0]
    figure = grids.weights(params)
    whole = figure.axes[0].images[0].get_array()
    _, corners = tiles.tiled(w)
    for n, (top, left) in enumerate(corners):
        got = whole[top : top + 28, left : left + 28]
        np.testing.assert_array_equal(got, w[n].reshape(28, 28))
    assert (~np.isfinite(whole.filled(np.nan))).sum() == whole.size - w.size
    assert texts(figure)[15] == f"15   bias {b[15]:+.2f}".replace("-", "−")
    assert len(texts(figure)) == 16


def test_deeper_weights(params):
    w, b = float64(params)[2]
    grid = grids.weights(params, 3).axes[0].images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(grid[:, :16], w)
    np.testing.assert_array_equal(grid[:, 17], b)


@pytest.mark.compiled
def test_too_many_tiles():
    figure = grids.weights(jaxnet.init(jax.random.key(0), (9, 130, 2)))
    assert len(texts(figure)) == 100
    assert texts(figure)[-1] == "⋮\n31 more"


@pytest.mark.compiled
def test_activations(seven):
    params = jaxnet.pretrained()
    figure = neurons.activations(params, seven)
    layers = matrix_form(params, seven)
    collections = figure.axes[0].collections
    for discs, a in zip(collections, layers, strict=True):
        np.testing.assert_allclose(discs.get_facecolor()[:, 0], a, atol=1e-4)
    shown = [text for text in figure.axes[0].texts if ":" in text.get_text()]
    expected = [f"{k}:  {v:.2f}" for a in layers[1:] for k, v in enumerate(a)]
    assert [text.get_text() for text in shown] == expected
    assert [k for k, text in enumerate(shown[-10:]) if text.get_color() == canvas.MARK] == [7]


def test_activations_out_of_range():
    params = network(([[4.0], [-3.0]], [0, 0]))
    none = {"squash": jax.nn.identity, "last_squash": jax.nn.identity}
    figure = neurons.activations(params, np.float32([1]), **none)
    assert "layer 1: black 0, white 4, red −4" in below(figure)
    colors = figure.axes[0].collections[1].get_facecolor()[:, :3]
    np.testing.assert_allclose(colors[0], [1, 1, 1])
    np.testing.assert_allclose(colors[1], 0.75 * palette.hues("video")[1])


@pytest.mark.compiled
@pytest.mark.parametrize(("layer", "neuron"), [(1, 3), (3, 7)])
def test_contributions(seven, layer, neuron):
    params = jaxnet.pretrained()
    figure = attributions.contributions(params, seven, layer, neuron)
    w, b = float64(params)[layer - 1]
    layers = matrix_form(params, seven)
    parts = w[neuron] * layers[layer - 1]
    got = [ax.images[0].get_array().ravel() for ax in figure.axes[1:3]]
    np.testing.assert_allclose(got[0], w[neuron])
    np.testing.assert_allclose(got[1], parts, rtol=1e-3, atol=1e-4)
    total, bias = (f"{v:+.2f}".replace("-", "−") for v in (parts.sum(), b[neuron]))
    beyond = parts.sum() + b[neuron]
    said = below(figure)
    assert f"add up to {total}. The bias is {bias}," in said
    assert f"{'beats it' if beyond > 0 else 'stays below it'} by {abs(beyond):.2f}" in said
    assert f"activation is {layers[layer][neuron]:.3f}." in said


@pytest.mark.compiled
def test_exciting(params):
    figure = attributions.exciting(params, 1, 3)
    shades = figure.axes[0].images[0].get_array()[:28, :28, 0]
    w, b = (part[3] for part in float64(params)[0])
    np.testing.assert_array_equal(shades, w.reshape(28, 28) > 0)
    assert texts(figure) == [f"3   sum {palette.signed(w[w > 0].sum() + b)}"]


@pytest.mark.compiled
def test_saliency(seven):
    params = jaxnet.pretrained()
    figure = attributions.saliency(params, seven)
    assert figure.get_suptitle() == "What speaks for a 7, and what against it"
    slopes = jax.grad(lambda x: jaxnet.logits(params, x)[7])(seven)
    right = figure.axes[1]
    np.testing.assert_allclose(right.images[0].get_array().ravel(), slopes, rtol=1e-5)
    assert len(right.collections) == 1
    assert attributions.saliency(params, seven, 3).get_suptitle().startswith("What speaks for a 3")


@pytest.mark.compiled
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_tidy_layout(sizes):
    """Every text lies within the sheet, and no two texts of a sheet cover each other."""
    params = jaxnet.init(jax.random.key(1), sizes)
    x = jax.random.uniform(jax.random.key(2), (sizes[0],))
    relu = {"squash": jax.nn.relu, "last_squash": jax.nn.identity}
    for figure in (
        neurons.image(x),
        neurons.activations(params, x, **relu),
        grids.weights(params),
        grids.weights(params, 1, 0),
        grids.weights(params, len(params)),
        attributions.contributions(params, x, len(params), 0, **relu),
        attributions.exciting(params, 1, 0),
        attributions.saliency(params, x, squash=jax.nn.relu),
    ):
        assert_tidy(figure)


def test_subfigure(params, x):
    figure = Figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subfigures(1, 2)
    assert grids.weights(params, 1, 0, figure=left) is figure
    assert neurons.image(x, figure=right) is figure
    assert left.axes[0].images
    assert right.axes[0].collections


def test_bad_arguments(params, x):
    with pytest.raises(ValueError, match=r"one image, shape \(784,\); got \(2, 2\)"):
        neurons.image(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="got NaN or infinity"):
        neurons.image(np.array([np.nan]))
    with pytest.raises(ValueError, match="got NaN or infinity"):
        grids.weights(network(([[np.inf]], [0])), 1)
    with pytest.raises(ValueError, match="neuron from 0 to 15 in layer 1; got 16"):
        grids.weights(params, 1, 16)
    with pytest.raises(ValueError, match="layer from 1 to 3; got 4"):
        attributions.exciting(params, 4)
    with pytest.raises(ValueError, match="colors as one of video, safe"):
        grids.weights(params, colors="loud")
    with pytest.raises(ValueError, match="neuron from 0 to 9 in layer 3; got 11"):
        attributions.saliency(params, x, 11)


def test_terminal_colors():
    numbers = np.array([[1.0, -1.0], [0.0, 0.5], [-0.5, np.nan]])
    colorful = {"force_terminal": True, "color_system": "truecolor", "no_color": False}
    shown = printed(blocks.Blocks(numbers, 1.0, "safe"), **colorful)
    rgb = (255 * palette.around_zero(np.nan_to_num(numbers), 1, "safe")).round().astype(int)
    for upper, lower in ((rgb[0, 0], rgb[1, 0]), (rgb[0, 1], rgb[1, 1])):
        code = ";".join(map(str, [38, 2, *upper, 48, 2, *lower]))
        assert f"\x1b[{code}m▀" in shown
    assert len(shown.splitlines()) == 2


def test_terminal_without_colors():
    numbers = np.array([[1.0, 0.3, 0.1], [-1.0, -0.3, 0.0]])
    assert printed(blocks.Blocks(numbers, 1.0)) == "+++\n---\n"


@pytest.mark.compiled
def test_terminal_contributions(seven):
    params = jaxnet.pretrained()
    shown = printed(blocks.contributions(params, seven, 3, 7))
    w, b = (part[7] for part in float64(params)[2])
    total = w @ matrix_form(params, seven)[2]
    assert f"add up to {total:+.2f}. The bias is {b:+.2f}".replace("-", "−") in shown
