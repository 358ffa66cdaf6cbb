"""The page on screens of all sizes, in the light and in the dark, for every eye."""

from base64 import b64encode
from importlib.resources import files

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from jaxnet._page import page
from jaxnet._util import palette
from tests.browser.hands import frame, text_of
from tests.browser.screenshots import SIZES

pytestmark = pytest.mark.process


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
def test_layout_and_accessibility(opened, size, scheme):
    width, height = SIZES[size]
    with opened(text_of(), width=width, height=height, color_scheme=scheme) as tab:
        tab.click('[data-at="1-3"]')
        tab.check("#compare")
        tab.click("#step")
        tab.fill("[data-is=weight-number]", "-0.00012346")  # as long as they get
        frame(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        cut = tab.evaluate(
            """Array.from(document.querySelectorAll("main *, header *"))
            .filter((e) => e.checkVisibility() && !e.closest(".unseen, .screen, .bar, #samples")
                && (e.scrollWidth > e.clientWidth + 1) && e.clientWidth)
            .map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert cut == []
        found = Axe().run(tab).response["violations"]
        assert [(v["id"], v["impact"]) for v in found] == []


def test_light_and_dark(opened):
    with opened(text_of(), color_scheme="dark") as tab:
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        dark = tab.evaluate(ground)
        tab.click("#theme")
        assert tab.evaluate(ground) != dark
        tab.click("#theme")
        assert tab.evaluate(ground) == dark


def test_notebook(opened):
    """In the frame that a notebook would put it in."""
    shown = page()._repr_html_()
    with opened(f"<!doctype html><title>cell</title>{shown}") as tab:
        inside = tab.frame_locator("iframe")
        inside.locator("#another").click()  # the next digit after the 3
        inside.locator("#bars .brightest b").filter(has_text="4").wait_for()
        assert inside.locator("#answer").inner_text() == "4"


def test_color_scale(chromium):
    draw = np.random.default_rng(0)
    samples = [draw.normal(size=n) * 10.0**e for n in (1, 2, 7, 16, 784) for e in (-3, 0, 2)]
    samples += [draw.standard_t(1, 300), np.zeros(3), np.array([1.0] * 97 + [1.4] * 3)]
    source = (files("jaxnet._page") / "web" / "grids.js").read_bytes()
    tab = chromium.new_page()
    got = tab.evaluate(
        "async ([url, samples]) => samples.map((await import(url)).scale)",
        [
            "data:text/javascript;base64," + b64encode(source).decode(),
            [a.tolist() for a in samples],
        ],
    )
    tab.close()
    assert got == [*map(palette.scale, samples)]
