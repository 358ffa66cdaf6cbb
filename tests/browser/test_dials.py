"""Turning the dials: painting, sliding, typing, resetting, and what it does."""

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet._page import page
from tests.browser.hands import answer, colors, draw, frame, params_of, pen, random, text_of

pytestmark = pytest.mark.process


def test_turn_and_undo(opened):
    trained = jaxnet.pretrained()
    with opened(text_of()) as tab:
        draw(tab, 7)
        tab.click('[data-at="1-2"]')
        tab.check("[name=tool][value=more]")
        pen(tab, [(4, 20), (12, 20)], "[data-is=weights]")
        change = np.asarray(params_of(tab)[0].weights - trained[0].weights)
        grid = change[2].reshape(28, 28)
        np.testing.assert_allclose(grid[20, 5:12], 1, atol=1e-6)  # the strength it is set to
        assert grid.min() >= 0
        assert grid[:17].max() == 0
        assert not np.delete(change, 2, axis=0).any()

        tab.check("[name=tool][value=less]")
        pen(tab, [(20, 4), (20, 10)], "[data-is=weights]")
        tab.check("[name=tool][value=zero]")
        pen(tab, [(8, 20), (9, 20)], "[data-is=weights]")
        grid = np.asarray(params_of(tab)[0].weights)[2].reshape(28, 28)
        assert grid[20, 8] == 0
        before = np.asarray(trained[0].weights)[2].reshape(28, 28)
        np.testing.assert_allclose((grid - before)[5:9, 20], -1, atol=1e-6)

        tab.fill("[data-is=bias-number]", "-3.5")
        tab.click("#undo")
        frame(tab)
        assert params_of(tab)[0].biases[2] == trained[0].biases[2]
        for _ in range(3):
            tab.click("#undo")
        for ours, theirs in zip(
            jax.tree.leaves(params_of(tab)), jax.tree.leaves(trained), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        for _ in range(4):
            tab.click("#redo")
        assert tab.is_disabled("#redo")
        assert params_of(tab)[0].biases[2] == -3.5
        tab.click("#reset-neuron")
        np.testing.assert_array_equal(params_of(tab)[0].weights, trained[0].weights)


def test_edge_brush(opened):
    with opened(text_of()) as tab:
        tab.select_option("#start", "zero")
        tab.click('[data-at="1-0"]')
        tab.check("[name=tool][value=edge]")
        pen(tab, [(6, 9), (18, 15)], "[data-is=weights]")
        w = np.asarray(params_of(tab)[0].weights[0], np.float64)
        angle = -np.arctan2(6, 12)  # counterclockwise, as one looks at it
        edge = np.asarray(
            jaxnet.design.edge(12, 12, angle, length=float(np.hypot(6, 12)), width=3.0)
        )
        # The library's is scaled to sums of 1 and -1, apart.
        for sign in (1, -1):
            ours, theirs = np.maximum(sign * edge, 0), np.maximum(sign * w, 0)
            np.testing.assert_allclose(theirs / theirs.sum(), ours, atol=3e-4)


def test_accuracy(opened):
    with opened(text_of()) as tab:

        def score():
            tab.wait_for_timeout(300)
            return int(tab.inner_text("#walling .right").split()[0])

        trained = score()
        assert 180 <= trained < 200
        tab.select_option("#start", "zero")
        assert score() == 0  # all outputs are equal, which is no answer
        tab.select_option("#start", "random")
        assert score() < 60
        tab.select_option("#start", "handmade")
        made = score()
        tab.click('[data-at="1-1"]')
        frame(tab)
        assert "“brow”" in tab.inner_text("[data-is=name]")
        assert "7 and 9 hang low" in tab.inner_text("[data-is=reason]")
        assert 100 <= made < trained
        tab.select_option("#squash", "relu")
        assert score() != made
        tab.click("#reset")
        assert tab.input_value("#squash") == "sigmoid"
        assert score() == made


def test_comparison(opened):
    params = random((784, 16, 16, 10), seed=3)
    with opened(page(params).html) as tab:
        assert tab.input_value("#start") == "yours"
        draw(tab, 7)
        tab.click('[data-at="1-4"]')
        assert tab.is_hidden("[data-is=other]")
        tab.check("#compare")
        frame(tab)
        x = np.array(tab.evaluate("jaxnet.image"), np.float32)
        theirs = np.asarray(jaxnet.forward(jaxnet.pretrained(), x))
        marks = tab.locator("#bars em").evaluate_all(
            "ms => ms.map((m) => parseFloat(m.style.left))"
        )
        np.testing.assert_allclose(marks, 100 * theirs, atol=0.01)
        assert tab.is_visible("[data-is=other]")
        assert colors(tab, "[data-is=other]").max() > 200


def test_slider(opened):
    with opened(text_of()) as tab:
        tab.click('[data-at="1-2"]')
        tab.focus("#bias")
        before = float(tab.input_value("#bias"))
        tab.evaluate("""() => { for (let k = 0; k < 20; k++) {
            const bias = document.querySelector("#bias");
            bias.stepUp();
            bias.dispatchEvent(new Event("input", { bubbles: true }));
            bias.dispatchEvent(new Event("change", { bubbles: true }));
        } }""")
        frame(tab)
        assert float(tab.input_value("#bias")) == pytest.approx(before + 20 * 0.01, abs=0.011)
        tab.click("#undo")
        assert params_of(tab)[0].biases[2] == jaxnet.pretrained()[0].biases[2]


@pytest.mark.parametrize("typed", ["1e300", "-1e39", "1e7", "", "-"])
def test_bad_number(opened, typed):
    with opened(text_of()) as tab:
        tab.click('[data-at="2-3"]')
        tab.focus("[data-is=bias-number]")
        tab.keyboard.press("Control+a")
        tab.keyboard.type(typed or "x")
        tab.keyboard.press("Tab")
        frame(tab)
        # On its way a number may have been a smaller one; it is never no number.
        assert abs(float(params_of(tab)[1].biases[3])) <= 1e6
        assert answer(tab) in "0123456789"


@pytest.mark.parametrize("hidden", [1, 3, 30, 35, 40, 60])
def test_painting_any_layer(opened, hidden):
    with opened(text_of((784, hidden, 10))) as tab:
        tab.click('[data-at="2-2"]')
        before = np.asarray(params_of(tab)[1].weights)
        for tool in ("more", "edge", "zero"):
            tab.check(f"[name=tool][value={tool}]")
            box = tab.locator("[data-is=weights]").bounding_box()
            tab.locator("[data-is=weights]").click(position={"x": box["width"] / 2, "y": 5})
        tab.check("[name=tool][value=look]")
        painted = np.asarray(params_of(tab)[1].weights)
        assert np.isfinite(painted).all()
        assert (painted != before).any()
        assert (painted != before).any(1).tolist() == [n == 2 for n in range(10)]
        tab.locator("[data-is=weights]").click(position={"x": 5, "y": 5})
        np.testing.assert_array_equal(params_of(tab)[1].weights, painted)
        assert "neuron 1 of hidden layer 1" in tab.inner_text("[data-is=weight-name]")


def test_reset(opened):
    with opened(text_of()) as tab:
        tab.select_option("#start", "zero")
        tab.click("#undo")
        tab.click('[data-at="1-2"]')
        tab.fill("[data-is=bias-number]", "5")
        tab.click("#reset")
        for ours, theirs in zip(params_of(tab), jaxnet.pretrained(), strict=True):
            np.testing.assert_array_equal(ours.weights, theirs.weights)
            np.testing.assert_array_equal(ours.biases, theirs.biases)
        tab.select_option("#start", "handmade")
        tab.click("#undo")
        frame(tab)
        assert tab.inner_text("[data-is=reason]") == ""


def test_closing(opened):
    with opened(text_of()) as tab:
        tab.click('[data-at="1-2"]')
        tab.click('[data-at="1-9"]')
        tab.click('[data-at="1-2"]')
        assert tab.is_visible("#neuron")
        tab.click('[data-at="1-2"]')
        assert tab.is_hidden("#neuron")
        tab.click('[data-at="3-9"]')
        tab.click("#close")
        assert tab.is_hidden("#neuron")
        assert tab.evaluate("document.activeElement.dataset.at") == "3-9"
