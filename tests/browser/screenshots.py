"""Screenshots of the page, to be looked at, and from them the README's picture.

`python -m tests.browser.screenshots FOLDER PICTURE`
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import jaxnet
from tests.browser.conftest import SWITCHES, path_of_chromium

SIZES = {
    "phone": (375, 812),
    "tablet": (768, 1024),
    "laptop": (1366, 768),
    "desk": (1920, 1080),
    "4k": (3840, 2160),
}


def main(folder: Path, picture: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "page.html"
    page.write_text(jaxnet.page().html, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path_of_chromium(), args=SWITCHES)
        for name, (width, height) in SIZES.items():
            for scheme in ("dark", "light"):
                view = {"width": width, "height": height}
                tab = browser.new_page(viewport=view, color_scheme=scheme)
                tab.goto(page.absolute().as_uri())
                tab.wait_for_timeout(900)
                tab.screenshot(path=folder / f"{name}-{scheme}.png")
                tab.click('#neurons [data-at="1-3"]')
                tab.check("#compare")
                tab.mouse.move(1, 1)
                tab.evaluate("scrollTo(0, 0)")
                tab.wait_for_timeout(500)
                tab.screenshot(path=folder / f"{name}-{scheme}-whole.png", full_page=True)
                tab.close()
        browser.close()
    with Image.open(folder / "laptop-dark.png") as image:
        top = image.crop((0, 0, 1366, 528)).resize((1080, 417), Image.Resampling.LANCZOS)
        top.convert("RGB").quantize(192).save(picture, optimize=True)
    print(*sorted(map(str, folder.glob("*.png"))), sep="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
