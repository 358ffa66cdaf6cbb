"""Drawing on the page, with the mouse, a finger and the keyboard, and what is read."""

import re

import jax
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import jaxnet
from tests.browser.hands import answer, draw, frame, params_of, pen, text_of

pytestmark = pytest.mark.process


@pytest.mark.parametrize("digit", [0, 1, 4, 7])
def test_drawing(opened, digit):
    with opened(text_of()) as tab:
        draw(tab, digit)
        assert answer(tab) == str(digit)
        x = np.array(tab.evaluate("jaxnet.image"), np.float32)
        assert int(jaxnet.predict(jaxnet.pretrained(), x)) == digit
        bright = tab.locator("#bars .brightest")
        assert bright.locator("b").inner_text() == str(digit)
        a = float(jaxnet.forward(jaxnet.pretrained(), x)[digit])
        assert bright.locator(".value").inner_text() == f"{a:.2f}"
        expect(tab.locator("#said")).to_contain_text(f"Classified as {digit}")


def test_mnist_frame(opened):
    """However large it is drawn and wherever: 20 pixels long, centered by mass."""
    with opened(text_of()) as tab:
        for stroke in ([(3, 3), (10, 3), (6, 13)], [(2, 2), (26, 2), (14, 26)]):
            tab.click("#clear")
            pen(tab, stroke)
            frame(tab)
            image = np.array(tab.evaluate("jaxnet.image")).reshape(28, 28)
            rows = np.flatnonzero(image.max(1) > 0.3)
            assert 16 <= np.ptp(rows) + 1 <= 21
            middle = (image.sum(0) @ np.arange(28)) / image.sum()
            assert abs(middle - 14) < 1
        tab.uncheck("#framed")
        frame(tab)
        image = np.array(tab.evaluate("jaxnet.image")).reshape(28, 28)
        assert image[2, 14] > 0.9
        assert image[26, 14] > 0.5
        assert image[14, 14] < 0.1  # between the arms


def test_undo_redo_and_clear(opened):
    with opened(text_of()) as tab:
        tab.click("#clear")
        frame(tab)
        drawn = [tab.evaluate("jaxnet.image")]
        for stroke in ([(8, 6), (20, 6)], [(20, 6), (13, 23)]):
            pen(tab, stroke)
            frame(tab)
            drawn.append(tab.evaluate("jaxnet.image"))
        assert drawn[0] == [0] * 784
        tab.click("#undo")
        frame(tab)
        assert tab.evaluate("jaxnet.image") == drawn[1]
        tab.keyboard.press("Control+z")
        frame(tab)
        assert tab.evaluate("jaxnet.image") == drawn[0]
        assert answer(tab) == "–"
        tab.keyboard.press("Control+Shift+z")
        tab.click("#redo")
        frame(tab)
        assert tab.evaluate("jaxnet.image") == drawn[2]
        tab.click("#clear")
        tab.click("#undo")
        frame(tab)
        assert tab.evaluate("jaxnet.image") == drawn[2]


def test_touch(opened):
    with opened(text_of(), width=375, height=812, has_touch=True, is_mobile=True) as tab:
        tab.click("#clear")
        tab.locator("#pad").scroll_into_view_if_needed()
        box = tab.locator("#pad").bounding_box()
        touch = tab.context.new_cdp_session(tab)
        for k in range(20):
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * (0.15 + 0.035 * k)
            kind = "touchMove" if k else "touchStart"
            point = {"x": x, "y": y}
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        frame(tab)
        assert answer(tab) == "1"
        assert tab.evaluate("document.scrollingElement.scrollLeft") == 0


def test_keyboard(opened):
    with opened(text_of()) as tab:
        tab.click("#clear")
        tab.focus("#pad")
        for key in ["ArrowUp"] * 9 + ["Space"] + ["ArrowDown"] * 18 + ["Space"]:
            tab.keyboard.press(key)
        frame(tab)
        assert answer(tab) == "1"
        expect(tab.locator("#said")).to_contain_text("Classified as 1")
        reached = "document.activeElement.dataset.at"
        tab.focus("#neurons button[tabindex='0']")
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
            tab.keyboard.press(key)
        assert tab.evaluate(reached) == "2-1"
        frame(tab)
        assert tab.inner_text("[data-is=name]") == "neuron 2 of hidden layer 2"
        tab.focus("#bias")
        before = tab.evaluate("jaxnet.params.layers[1].biases[1]")
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate("jaxnet.params.layers[1].biases[1]") > before
        tab.check("[name=tool][value=more]")
        tab.focus("[data-is=weights]")
        tab.keyboard.press("ArrowLeft")
        said = re.compile(r"Weight from neuron \d+ of hidden layer 1: −?\d+\.\d+")
        expect(tab.locator("#said")).to_have_text(said)
        tab.keyboard.press("Space")
        tab.keyboard.press("Space")
        change = params_of(tab)[1].weights - jaxnet.pretrained()[1].weights
        assert (change != 0).sum() >= 1
        assert (change[1] != 0).any()


@pytest.mark.parametrize("framed", [True, False])
def test_link(opened, framed):
    with opened(text_of()) as tab:
        tab.click("#clear")
        pen(tab, [(4, 3), (12, 3), (7, 14)])  # small, and off the middle
        tab.set_checked("#framed", framed)
        frame(tab)
        drawn = tab.evaluate("jaxnet.image")
        tab.click("#link")
        tab.wait_for_url(re.compile("#drawing="))
        fragment = tab.evaluate("location.hash")
        expect(tab.locator("#status")).to_contain_text("link")
    with opened(text_of(), fragment) as tab:
        frame(tab)
        np.testing.assert_allclose(tab.evaluate("jaxnet.image"), drawn, atol=0.5 / 255 + 1e-6)
        tab.click("#clear")
        tab.click("#link")
        fragment = tab.evaluate("location.hash")
    with opened(text_of(), fragment) as tab:
        frame(tab)
        assert answer(tab) == "–"


@pytest.mark.parametrize("wrong", ["#drawing=AAAA", "#drawing=" + "A" * 1047, "#elsewhere"])
def test_bad_links(opened, wrong):
    with opened(text_of(), wrong) as tab:
        frame(tab)
        assert answer(tab) == "3"  # the sample that it begins with


def test_undo_during_a_stroke(opened):
    with opened(text_of()) as tab:
        tab.click("#clear")
        box = tab.locator("#pad").bounding_box()
        tab.mouse.move(box["x"] + 50, box["y"] + 50)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 90, box["y"] + 90)
        tab.keyboard.press("Control+z")
        tab.mouse.move(box["x"] + 120, box["y"] + 50)
        tab.mouse.up()
        frame(tab)
        assert tab.evaluate("jaxnet.image") == [0] * 784
        tab.click('[data-at="1-5"]')
        pen(tab, [(5, 5), (9, 5)], "[data-is=weights]")
        once = params_of(tab)[0].weights
        weights = tab.locator("[data-is=weights]")
        weights.scroll_into_view_if_needed()
        box = weights.bounding_box()
        tab.mouse.move(box["x"] + 90, box["y"] + 90)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 150, box["y"] + 90, steps=4)
        tab.keyboard.press("Control+z")
        tab.mouse.move(box["x"] + 200, box["y"] + 90, steps=4)
        tab.mouse.up()
        frame(tab)
        np.testing.assert_array_equal(params_of(tab)[0].weights, once)


def test_stroke_leaving_the_pad(opened):
    with opened(text_of()) as tab:
        tab.uncheck("#framed")
        tab.click("#clear")
        pen(tab, [(14, 14), (14, 60), (60, 60)])
        tab.check("#framed")
        frame(tab)
        image = np.array(tab.evaluate("jaxnet.image")).reshape(28, 28)
        assert np.ptp(np.flatnonzero(image.max(1) > 0.5)) >= 16  # it was not shrunk


def test_save_picture(opened, tmp_path):
    with opened(text_of()) as tab:
        with tab.expect_download() as download:
            tab.click("#picture")
        download.value.save_as(tmp_path / "network.png")
        with Image.open(tmp_path / "network.png") as picture:
            assert picture.width == tab.evaluate("document.querySelector('#network').width")
            assert len(picture.convert("RGB").getcolors(10**6)) > 100


def photo_of(digit, seed):
    """A dark digit, enlarged, somewhere on light paper that is darker to one side."""
    draw_ = np.random.default_rng(seed)
    image = np.asarray(jaxnet.data.synthetic.draw(jax.random.key(seed), digit)).reshape(28, 28)
    size = int(draw_.integers(140, 260))
    ink = np.asarray(Image.fromarray(np.uint8(255 * image)).resize((size, size))) / 255
    paper = 0.9 - 0.1 * np.linspace(0, 1, 480)[None, :] + draw_.normal(0, 0.01, (400, 480))
    top, left = draw_.integers(0, 400 - size), draw_.integers(0, 480 - size)
    paper[top : top + size, left : left + size] *= 1 - 0.75 * ink
    return Image.fromarray(np.uint8(255 * paper.clip(0, 1)))


def test_photos(opened, tmp_path):
    right = 0
    with opened(text_of()) as tab:
        for k in range(30):
            path = tmp_path / f"{k}.{'png' if k % 2 else 'jpg'}"
            photo_of(k % 10, k).save(path)
            tab.set_input_files("#file", path)
            expect(tab.locator("#status")).to_contain_text(f"{path.name} is on the pad")
            frame(tab)
            right += answer(tab) == str(k % 10)
        assert right >= 28
        Image.new("L", (50, 50), 200).save(tmp_path / "empty.png")
        tab.set_input_files("#file", tmp_path / "empty.png")
        expect(tab.locator("#status")).to_contain_text("empty.png: no digit is found")
        (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
        tab.set_input_files("#file", tmp_path / "broken.png")
        expect(tab.locator("#status")).to_contain_text("broken.png: no digit is found")
