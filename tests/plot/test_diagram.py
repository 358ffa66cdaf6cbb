"""The drawn network: every disc, every line, and nothing that is not in the network."""

import jax
import numpy as np
import pytest
from jax.nn import sigmoid

import jaxnet
from jaxnet._util import palette
from jaxnet.plot import _canvas as canvas
from jaxnet.plot import _diagram as diagram
from tests.oracles import float64, matrix_form
from tests.rendering import assert_tidy, texts

pytestmark = pytest.mark.compiled


def draw(params, x=None, longest=16, colors="video"):
    return diagram.draw(params, x, sigmoid, sigmoid, longest, colors, None)


def test_circles_and_lines(params):
    parts = draw(params, longest=784)
    assert [len(discs.get_offsets()) for discs in parts.neurons] == [784, 16, 16, 10]
    assert [len(lines.get_segments()) for lines in parts.edges] == [784 * 16, 256, 160]


def test_long_layer(params):
    parts = draw(params)
    assert [len(discs.get_offsets()) for discs in parts.neurons] == [16] * 3 + [10]
    assert [len(lines.get_segments()) for lines in parts.edges] == [256, 256, 160]
    assert texts(parts.figure).count("⋮") == 1
    assert "784 pixels" in texts(parts.figure)


def test_line_endpoints():
    params = jaxnet.init(jax.random.key(0), (4, 3, 2))
    parts = draw(params, colors="safe")
    for n, lines in enumerate(parts.edges):
        (w, _), start, end = float64(params)[n], *parts.neurons[n : n + 2]
        full = palette.scale(w)
        seen = {}
        for (p, q), color, width in zip(
            lines.get_segments(), lines.get_color(), lines.get_linewidth(), strict=True
        ):
            k = np.abs(start.get_offsets() - p).sum(1).argmin()
            m = np.abs(end.get_offsets() - q).sum(1).argmin()
            np.testing.assert_allclose(start.get_offsets()[k], p)
            np.testing.assert_allclose(end.get_offsets()[m], q)
            seen[m, k] = color, width
        assert len(seen) == w.size
        for place, (color, width) in seen.items():
            hue = palette.hues("safe")[int(w[place] < 0)]
            share = min(abs(w[place]) / full, 1)
            np.testing.assert_allclose(color, [*hue, share], atol=1e-6)
            assert width == pytest.approx(0.4 + 1.6 * share)


def test_brightness_and_answer():
    params, x = jaxnet.pretrained(), jaxnet.data.synthetic.draw(jax.random.key(0), 7)
    parts = draw(params, x)
    for discs, a in list(zip(parts.neurons, matrix_form(params, x), strict=True))[1:]:
        np.testing.assert_allclose(discs.get_facecolor()[:, 0], a, atol=1e-4)
    pixels = (2 * np.arange(16) + 1) * 784 // 32
    np.testing.assert_allclose(parts.neurons[0].get_facecolor()[:, 0], x[pixels], atol=1e-6)
    assert {str(k) for k in pixels} <= {*texts(parts.figure)}
    marked = [text.get_text() for text in parts.answers if text.get_color() == canvas.MARK]
    assert marked == [f"7   {matrix_form(params, x)[-1][7]:.2f}"]
    assert (np.array(parts.neurons[-1].get_linewidth()) > 1).nonzero()[0].tolist() == [7]
    assert parts.figure.get_suptitle() == "784 → 16 → 16 → 10: predicted 7"


def test_without_an_image(params):
    parts = draw(params)
    assert all(text.get_color() == canvas.TEXT for text in parts.answers)
    assert [text.get_text() for text in parts.answers] == [*"0123456789"]
    assert parts.figure.get_suptitle() == "784 → 16 → 16 → 10"


def test_line_scale(params):
    figure = diagram.network(params, colors="safe")
    for w, _ in float64(params):
        assert f"± {palette.scale(w):g}" in texts(figure)
    assert "blue positive, orange negative" in figure.get_supxlabel()


@pytest.mark.parametrize("sizes", [(784, 100, 10), (784, 10), (4, 3, 2), (50, 7), (1, 40, 1)])
def test_any_sizes_and_squashes(sizes):
    params = jaxnet.init(jax.random.key(1), sizes)
    x = jax.random.uniform(jax.random.key(2), (sizes[0],))
    none = jax.nn.identity
    figure = diagram.network(params, x, squash=jax.nn.relu, last_squash=none, colors="safe")
    assert_tidy(figure)
    outputs = jaxnet.logits(params, x, squash=jax.nn.relu)
    for k, value in enumerate(outputs):
        assert f"{k}   {value:.2f}".replace("-", "−") in texts(figure)


def test_bad_arguments(params, images):
    with pytest.raises(ValueError, match="longest as 2 or more; got 1"):
        diagram.network(params, longest=1)
    with pytest.raises(ValueError, match=r"vmap\(forward"):
        diagram.network(params, images)
    with pytest.raises(ValueError, match="colors as one of"):
        diagram.network(params, colors="green")
