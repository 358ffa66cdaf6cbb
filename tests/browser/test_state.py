"""What the page remembers: one history, links, reloads, files, and the scenes of the tour."""

import re
from importlib.resources import files

import numpy as np
import pytest
from playwright.sync_api import expect

import jaxnet
from tests.browser.hands import (
    answer,
    colors,
    draw,
    flat,
    frame,
    params_of,
    pen,
    random,
    still,
    text_of,
)

pytestmark = pytest.mark.process

SCENES = re.findall(
    r'name: "(\w+)"', (files("jaxnet._page") / "web" / "scenes.js").read_text(encoding="utf-8")
)


def state(tab):
    """All that a reader can change."""
    frame(tab)
    return {
        "image": tab.evaluate("jaxnet.image"),
        "dials": flat(params_of(tab)).tolist(),
        "squash": tab.input_value("#squash"),
        "off": tab.evaluate("[...jaxnet.params.off]"),
        "neuron": tab.inner_text("#neuron-title") if tab.is_visible("#neuron") else None,
        "ticked": [tab.is_checked(f"#{name}") for name in ("compare", "framed", "safe")],
        "scene": tab.input_value("#scene"),
    }


def wander(tab):
    """A reader's way through the page, a step at a time."""
    yield lambda: draw(tab, 7)
    yield lambda: tab.click('[data-at="1-4"]')
    yield lambda: tab.fill("[data-is=bias-number]", "-3.25")
    yield lambda: tab.check("#compare")
    yield lambda: tab.uncheck("#framed")
    yield lambda: pen(tab, [(4, 20), (12, 20)])
    yield lambda: tab.check("[data-is=off]")
    yield lambda: tab.click('[data-at="2-6"]')
    yield lambda: tab.select_option("#squash", "relu")
    yield lambda: tab.check("#safe")


def test_one_history(opened):
    """Undo goes back in the order that things were done, whatever they were."""
    with opened(text_of()) as tab:
        tab.click("#clear")
        tab.click("#undo")
        been = [state(tab)]
        for step in wander(tab):
            step()
            been.append(state(tab))
        for before in been[-2:1:-1]:
            tab.click("#undo")
            assert state(tab) == before
        for after in been[3:]:
            tab.keyboard.press("Control+y")
            assert state(tab) == after


def test_link_holds_all(opened):
    with opened(text_of()) as tab:
        for step in wander(tab):
            step()
        tab.click('[data-at="1-9"]')
        tab.check("[name=tool][value=edge]")
        pen(tab, [(6, 9), (18, 15)], "[data-is=weights]")
        there = state(tab)
        tab.click("#link")
        expect(tab.locator("#status")).to_contain_text("link")
        assert "too many" not in tab.inner_text("#status")
        fragment = tab.evaluate("location.hash")
        assert len(fragment) < 20_000
    with opened(text_of(), fragment) as tab:
        here = state(tab)
        np.testing.assert_allclose(here.pop("image"), there.pop("image"), atol=0.5 / 255 + 1e-6)
        assert here == there


def test_link_of_a_random_network(opened):
    with opened(text_of()) as tab:
        tab.fill("#hidden", "20, 12")
        tab.keyboard.press("Tab")
        assert params_of(tab)[0].weights.shape == (20, 784)
        tab.click('[data-at="1-2"]')
        tab.fill("[data-is=bias-number]", "4")
        there = state(tab)
        tab.click("#link")
        fragment = tab.evaluate("location.hash")
    with opened(text_of(), fragment) as tab:
        assert state(tab)["dials"] == there["dials"]


def test_link_cannot_hold_a_trained_network(opened):
    with opened(text_of()) as tab:
        tab.click("#step")
        tab.click("#link")
        expect(tab.locator("#status")).to_contain_text("save the network as a file")
        assert len(tab.evaluate("location.hash")) < 3000


@pytest.mark.parametrize("learned", [False, True])
def test_reload(opened, learned):
    with opened(text_of()) as tab:
        for step in wander(tab):
            step()
        if learned:
            tab.click("#step")
        there = state(tab)
        tab.reload()
        here = state(tab)
        assert here == there
        assert tab.is_disabled("#undo")
        pen(tab, [(20, 4), (20, 24)])  # strokes go on where they were
        assert np.sum(state(tab)["image"]) > np.sum(there["image"])


def test_no_storage(chromium, tmp_path):
    """A page that may keep nothing still works: here inside a frame without an origin."""
    (tmp_path / "page.html").write_text(text_of())
    frame_of = (
        '<!doctype html><iframe sandbox="allow-scripts" src="page.html" width=1300 height=700>'
    )
    (tmp_path / "cell.html").write_text(frame_of)
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    wrong = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto((tmp_path / "cell.html").as_uri())
    inside = tab.frame_locator("iframe")
    inside.locator("#another").click()
    expect(inside.locator("#answer")).to_have_text("4")
    tab.wait_for_timeout(600)
    assert wrong == []
    tab.close()


def test_leaving_with_turned_dials_asks(chromium, tmp_path):
    (tmp_path / "page.html").write_text(text_of())
    tab = chromium.new_page()
    asked = []
    tab.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    tab.goto((tmp_path / "page.html").as_uri())
    draw(tab, 7)
    tab.goto("about:blank")
    assert asked == []  # a drawing is no loss
    tab.goto((tmp_path / "page.html").as_uri())
    tab.click('[data-at="1-4"]')
    tab.fill("[data-is=bias-number]", "-3.25")
    tab.reload()
    assert asked == ["beforeunload"]
    with tab.expect_download():
        tab.click("#save")
    tab.goto("about:blank")
    assert asked == ["beforeunload"]
    tab.close()


def test_dropped_file(opened, tmp_path):
    jaxnet.save(tmp_path / "mine.safetensors", random((784, 30, 10)))
    content = list((tmp_path / "mine.safetensors").read_bytes())
    with opened(text_of()) as tab:
        tab.evaluate(
            """(content) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([Uint8Array.from(content)], "mine.safetensors"));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
            }""",
            content,
        )
        expect(tab.locator("#status")).to_contain_text("mine.safetensors: 23,860 dials")
        assert params_of(tab)[0].weights.shape == (30, 784)


@pytest.mark.parametrize(
    "fragment",
    [
        "#network=trained&dials=AAAA",
        "#network=trained&dials=//////////8",
        "#network=trained&dials=AAAAAAAAwH8",  # not a number
        "#network=random&sizes=784-99999999-10",
        "#network=random&sizes=784-1e9-10",
        "#network=random&sizes=784--10",
        "#network=constructor",
        "#network=__proto__&neuron=9-9",
        "#neuron=1-99&off=3-1.9-9.x",
        "#squash=toString",
        "#digit=-1",
        "#digit=1e3&drawing=%%%",
        "#scene=nothing&seed=x",
        "#" + "a" * 100_000,
        "#framed=2&compare=<img src=x onerror=alert(1)>",
    ],
)
def test_forged_links(opened, fragment):
    with opened(text_of(), fragment) as tab:
        frame(tab)
        assert answer(tab) in "0123456789–"
        assert params_of(tab)[0].weights.shape == (16, 784)
        assert tab.evaluate("[...jaxnet.params.off]") == []


def test_scenes(opened):
    """Each is nothing but a link; forward and back, each leaves no complaint."""
    assert len(SCENES) == 12
    with opened(text_of()) as tab:
        for k, name in enumerate(SCENES):
            tab.click("#scene-next")
            frame(tab)
            assert tab.evaluate("location.hash").startswith(f"#scene={name}&")
            assert tab.input_value("#scene") == name
            assert tab.inner_text("#scene-at") == f"{k + 1} of 12"
            text = tab.inner_text("#scene-text")
            assert 2 <= len(re.findall(r"[.?](?= |$)", text)) <= 2, text
            assert tab.inner_text("#scene-attempt")
        neuron = np.asarray(params_of(tab)[0].weights)
        tab.click("#scene-before")
        frame(tab)
        assert "of hidden layer 2" in tab.inner_text("#neuron-title")
        tab.click("#scene-next")
        frame(tab)
        np.testing.assert_array_equal(params_of(tab)[0].weights, neuron)  # the same random dials
        tab.go_back()
        frame(tab)
        assert tab.input_value("#scene") == "components"
        tab.select_option("#scene", "hand")
        frame(tab)
        np.testing.assert_array_equal(params_of(tab)[0].weights, jaxnet.handmade()[0].weights)
        tab.click("#undo")
        frame(tab)
        assert tab.input_value("#scene") == "components"


def test_painting_the_scene_of_an_edge(opened):
    """What the tour asks for: an edge is painted, a stroke drawn there, and the neuron lit."""
    with opened(text_of()) as tab:
        tab.select_option("#scene", "edge")
        frame(tab)
        tab.check("[name=tool][value=edge]")
        pen(tab, [(8, 14), (20, 14)], "[data-is=weights]")
        tab.uncheck("#framed")
        pen(tab, [(8, 14), (20, 14)])
        frame(tab)
        on = tab.evaluate("jaxnet.activations(jaxnet.image)[1][0]")
        tab.click("#clear")
        pen(tab, [(8, 18), (20, 18)])
        frame(tab)
        beside = tab.evaluate("jaxnet.activations(jaxnet.image)[1][0]")
        assert on > 0.95
        assert beside < 0.5


def test_escape_closes_the_inspector(opened):
    with opened(text_of()) as tab:
        tab.click('[data-at="2-3"]')
        tab.keyboard.press("Escape")
        assert tab.is_hidden("#neuron")
        assert tab.evaluate("document.activeElement.dataset.at") == "2-3"
        tab.click('[data-at="2-3"]')
        tab.check("[name=tool][value=more]")
        tab.focus("[data-is=weights]")
        tab.keyboard.press("Space")  # the brush is down: Escape lifts it first
        tab.keyboard.press("Escape")
        assert tab.is_visible("#neuron")
        tab.keyboard.press("Escape")
        assert tab.is_hidden("#neuron")


@pytest.mark.parametrize("how", ["contrast", "forced", "print"])
def test_signs_without_color(opened, how):
    """Where colors may not be told apart, negative weights are marked and their edges dashed."""
    options = {"contrast": {"contrast": "more"}, "forced": {"forced_colors": "active"}}.get(how, {})
    with opened(text_of(), **options) as tab:
        tab.click('[data-at="1-3"]')
        frame(tab)
        if how == "print":
            assert colors(tab, "[data-is=weights]").shape == (28, 28, 3)
            plain = still(tab)
            tab.emulate_media(media="print")
            tab.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert (colors(tab, "#network") != plain).any()
        w = np.asarray(jaxnet.pretrained()[0].weights[3]).reshape(28, 28)
        cells = colors(tab, "[data-is=weights]").reshape(28, 6, 28, 6, 3).swapaxes(1, 2)
        strong = np.abs(w) > 0.5
        assert ((cells[:, :, 3, 3].sum(-1) == 0) == (w < 0))[strong].all()
        bar = tab.locator("#bars .brightest i")
        assert bar.bounding_box()["width"] > 20
        adjust = "getComputedStyle(document.querySelector('#bars .brightest i')).printColorAdjust"
        assert tab.evaluate(adjust) == "exact"
        if how == "print":
            tab.evaluate("dispatchEvent(new Event('afterprint'))")
            np.testing.assert_array_equal(still(tab), plain)
