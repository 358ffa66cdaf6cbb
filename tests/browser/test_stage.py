"""The stage in view at every size, what is hovered, switched off, slowed down, and the wall."""

import jax
import numpy as np
import pytest
from playwright.sync_api import expect

import jaxnet
from jaxnet._page import page
from tests.browser.hands import answer, colors, draw, frame, params_of, pen, still, text_of
from tests.browser.screenshots import SIZES

pytestmark = pytest.mark.process


@pytest.mark.parametrize("scene", ["", "#scene=edges&network=edges&neuron=1-2&digit=80"])
@pytest.mark.parametrize("size", SIZES)
def test_all_in_view_while_one_draws(opened, size, scene):
    width, height = SIZES[size]
    with opened(text_of(), scene, width=width, height=height) as tab:
        frame(tab)
        tab.wait_for_timeout(200)
        for part in ("#pad", "#network", "#answer", "#bars li:last-child", "#play"):
            box = tab.locator(part).bounding_box()
            assert box["y"] >= 0, part
            assert box["y"] + box["height"] <= height + 1, (part, box)
            assert box["x"] + box["width"] <= width + 1, part
        assert tab.evaluate("scrollY") == 0


@pytest.mark.parametrize("size", ["laptop", "desk", "4k"])
def test_stage_stays_above_the_inspector(opened, size):
    width, height = SIZES[size]
    with opened(text_of(), width=width, height=height) as tab:
        tab.click('[data-at="1-3"]')
        tab.locator("#neuron .who").first.scroll_into_view_if_needed()
        tab.click('[data-at="2-5"]')
        tab.locator("#keeping").scroll_into_view_if_needed()
        frame(tab)
        tab.click('[data-at="3-5"]')
        frame(tab)
        box = tab.locator("#network").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] < height
        title = tab.locator("#neuron-title").bounding_box()
        assert box["y"] + box["height"] <= title["y"] < height
        assert "output 5" in tab.inner_text("#neuron-title")


def test_choosing_on_a_phone_does_not_scroll(opened):
    with opened(text_of(), width=375, height=812, has_touch=True, is_mobile=True) as tab:
        tab.tap('[data-at="2-5"]')
        frame(tab)
        assert tab.evaluate("scrollY") == 0
        assert tab.is_visible("#card")
        assert "neuron 6 of hidden layer 2" in tab.inner_text("#card")
        tab.tap("#look-inside")
        tab.wait_for_timeout(1000)
        assert tab.evaluate("scrollY") > 300
        assert tab.is_hidden("#card")


def test_swipe_over_the_weights_scrolls(opened):
    """Looking changes nothing; with a brush that was chosen first, the same swipe paints."""
    with opened(text_of(), width=375, height=812, has_touch=True, is_mobile=True) as tab:
        touch = tab.context.new_cdp_session(tab)

        def swipe():
            tab.locator("[data-is=weights]").scroll_into_view_if_needed()
            box = tab.locator("[data-is=weights]").bounding_box()
            x, top = box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"]
            for k in range(12):
                kind = "touchMove" if k else "touchStart"
                point = {"x": x, "y": top - 0.05 * k * box["height"]}
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            tab.wait_for_timeout(300)

        tab.tap('[data-at="1-5"]')
        tab.tap("#look-inside")
        tab.wait_for_timeout(600)
        before = tab.evaluate("scrollY")
        swipe()
        assert tab.evaluate("scrollY") > before + 20
        np.testing.assert_array_equal(params_of(tab)[0].weights, jaxnet.pretrained()[0].weights)
        tab.check("[name=tool][value=more]")
        swipe()
        assert (params_of(tab)[0].weights != jaxnet.pretrained()[0].weights).sum() > 10


def test_card(opened):
    trained = jaxnet.pretrained()
    with opened(text_of()) as tab:
        draw(tab, 4)
        tab.hover('[data-at="1-6"]')
        frame(tab)
        x = np.array(tab.evaluate("jaxnet.image"), np.float32)
        a = float(jaxnet.activations(trained, x)[1][6])
        said = tab.inner_text("#card")
        assert "neuron 7 of hidden layer 1" in said
        assert f"activation {a:.3f}" in said
        assert f"bias {float(trained[0].biases[6]):.2f}".replace("-", "−") in said
        assert colors(tab, "[data-is=card-weights]").shape == (28, 28, 3)
        tab.hover('[data-at="3-6"]')
        frame(tab)
        assert "output 6" in tab.inner_text("#card")
        tab.hover("#pad")
        assert tab.is_hidden("#card")


def test_who_does_what(opened):
    """Means, the digits that excite a neuron, and what its loss costs, by NumPy."""
    params = jaxnet.pretrained()
    with opened(text_of()) as tab:
        tab.click('[data-at="2-7"]')
        expect(tab.locator("[data-is=loss]")).to_contain_text("Without it")
        pixels = tab.evaluate("jaxnet.wall().map(({ image }) => Array.from(image))")
        labels = np.array(tab.evaluate("jaxnet.wall().map(({ label }) => label)"))
        layers = jax.vmap(lambda x: jaxnet.activations(params, x))(np.array(pixels, np.float32))
        a = np.asarray(layers[2])[:, 7]
        shown = [
            float(text) for text in tab.locator("[data-is=means] span:last-child").all_inner_texts()
        ]
        means = [a[labels == digit].mean() for digit in range(10)]
        np.testing.assert_allclose(shown, means, atol=0.006)
        most = [int(v) for v in tab.locator("[data-is=most] button").evaluate_all(
            "(buttons) => buttons.map(({ value }) => value)")]  # fmt: skip
        np.testing.assert_allclose(np.sort(a[most]), np.sort(a)[-8:], atol=1e-6)
        outputs = jax.vmap(lambda x: jaxnet.logits(params[2:], x))
        right = np.asarray(outputs(layers[2]).argmax(1)) == labels
        without = np.asarray(outputs(layers[2].at[:, 7].set(0)).argmax(1)) == labels
        n = int(right.sum()) - int(without.sum())
        assert f"Without it, {n} more of the 200" in tab.inner_text("[data-is=loss]")
        assert tab.inner_text("#walling .right") == f"{right.sum()} of 200"

        tab.check("[data-is=off]")
        expect(tab.locator("[data-is=loss]")).to_contain_text("switched off")
        expect(tab.locator("#walling .right")).to_have_text(f"{without.sum()} of 200")
        x = np.array(tab.evaluate("jaxnet.image"), np.float32)
        theirs = tab.evaluate("jaxnet.activations(jaxnet.image)")
        assert theirs[2][7] == 0
        hidden = jaxnet.activations(params, x)[2].at[7].set(0)
        np.testing.assert_allclose(theirs[3], jaxnet.forward(params[2:], hidden), atol=1e-5)


def test_off_is_saved_as_no_weights(opened, tmp_path):
    with opened(text_of()) as tab:
        tab.click('[data-at="1-4"]')
        tab.check("[data-is=off]")
        with tab.expect_download() as download:
            tab.click("#save")
        download.value.save_as(tmp_path / "n.safetensors")
        x = tab.evaluate("jaxnet.image")
        outputs = tab.evaluate("jaxnet.activations(jaxnet.image)")[3]
    params, _ = jaxnet.load(tmp_path / "n.safetensors")
    np.testing.assert_allclose(jaxnet.forward(params, np.array(x, np.float32)), outputs, atol=1e-5)
    assert not np.asarray(params[1].weights[:, 4]).any()


def test_wall(opened):
    with opened(text_of()) as tab:
        wall = tab.locator("#walling canvas")
        wall.scroll_into_view_if_needed()
        expect(tab.locator("#walling .right")).not_to_have_text("–")
        labels = tab.evaluate("jaxnet.wall().map(({ label }) => label)")
        assert labels == [k // 20 for k in range(200)]
        read = tab.evaluate("jaxnet.wall().map(({ image }) => jaxnet.activations(image)[3])")
        read = np.array(read).argmax(1)
        wrong = int(np.flatnonzero(read != labels)[0])
        assert wrong % 20 >= 13  # the careless hand's
        box = wall.bounding_box()

        def place(k):
            return {
                "x": box["width"] * (k % 20 + 0.5) / 20,
                "y": box["height"] * (k // 20 + 0.5) / 10,
            }

        wall.hover(position=place(wrong))
        assert tab.inner_text("[data-is=tells]") == f"a {labels[wrong]}, read as {read[wrong]}"
        wall.hover(position=place(45))
        assert tab.inner_text("[data-is=tells]") == "a 2, read right"
        wall.click(position=place(45))
        frame(tab)
        assert answer(tab) == "2"
        grays = colors(tab, "#walling canvas").reshape(10, 28, 20, 28, 3).swapaxes(1, 2)
        lit = (np.ptp(grays, axis=-1).max((2, 3)) > 0).reshape(-1)  # in color
        np.testing.assert_array_equal(lit, read != labels)
        rows = tab.locator("#walling li span").all_inner_texts()
        right = [sum(read[20 * d : 20 * d + 20] == d) for d in range(10)]
        assert [int(row) for row in rows] == right
        tab.focus("#walling canvas")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("Enter")
        frame(tab)
        assert answer(tab) == "3"
        tab.select_option("#start", "zero")
        expect(tab.locator("#walling .right")).to_have_text("0 of 200")


def test_random_is_not_brighter_than_trained(opened):
    """Edges of all networks have one scale."""
    with opened(text_of()) as tab:
        light = {}
        for name in ("trained", "random", "zero"):
            tab.select_option("#start", name)
            light[name] = still(tab).sum()
        assert light["zero"] < light["random"] < light["trained"]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_slowly(opened, motion):
    with opened(text_of(), reduced_motion=motion) as tab:
        draw(tab, 7)
        whole = still(tab)
        tab.click("#slowly")
        tab.wait_for_timeout(100)
        early = colors(tab, "#network").astype(float)
        tab.wait_for_timeout(6000)
        np.testing.assert_array_equal(still(tab), whole)
        third = whole.shape[1] * 2 // 3
        # At first the outputs, and the edges into them, are dark.
        assert early[:, third:].sum() < 0.5 * whole[:, third:].sum()


def test_first_stroke_replaces_a_ready_digit(opened):
    with opened(text_of()) as tab:
        pen(tab, [(8, 6), (20, 6), (13, 23)])  # over the 3 that it begins with
        frame(tab)
        assert answer(tab) == "7"
        pen(tab, [(10, 14), (18, 14)])  # and the second one is added
        frame(tab)
        assert np.sum(tab.evaluate("jaxnet.image")) > 60
        assert answer(tab) == "7"


def test_no_answer(opened):
    with opened(text_of()) as tab:
        tab.click("#clear")
        frame(tab)
        marked = (colors(tab, "#network") == (255, 216, 74)).all(-1)
        assert not marked.any()
        assert "Nothing is drawn" in tab.inner_text("#why")
        tab.click("#undo")
        draw(tab, 7)
        assert tab.inner_text("#why") == ""
        tab.select_option("#start", "zero")
        frame(tab)
        assert answer(tab) == "–"
        assert "All ten outputs are equal" in tab.inner_text("#why")


def test_wide_layers_keep_little(chromium, tmp_path):
    """60 turns of the dials of a wide network: what is kept of each is one neuron's row."""
    params = jaxnet.init(jax.random.key(0), (784, 2000, 10))
    (tmp_path / "wide.html").write_text(page(params).html)
    tab = chromium.new_page()
    tab.goto((tmp_path / "wide.html").as_uri())
    tab.click('[data-at="1-3"]')
    session = tab.context.new_cdp_session(tab)

    def heap():
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Runtime.getHeapUsage")
        return found["usedSize"] + found.get("backingStorageSize", 0)

    before = heap()
    for k in range(60):
        tab.fill("[data-is=bias-number]", str(k))
        tab.locator("[data-is=bias-number]").blur()
        tab.locator("[data-is=weight-number]").fill(str(k))
    assert heap() - before < 30e6
    tab.close()


def test_font_size(chromium, tmp_path):
    """The reader's own size counts."""
    (tmp_path / "page.html").write_text(text_of())
    sizes = {}
    for size in (16, 24):
        tab = chromium.new_page(viewport={"width": 1366, "height": 768})
        tab.context.new_cdp_session(tab).send("Page.enable")
        tab.context.new_cdp_session(tab).send(
            "Page.setFontSizes", {"fontSizes": {"standard": size, "fixed": size}}
        )
        tab.goto((tmp_path / "page.html").as_uri())
        sizes[size] = tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
        tab.close()
    assert sizes[24] > 1.3 * sizes[16]
