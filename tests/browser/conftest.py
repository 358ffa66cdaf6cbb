"""A real Chromium, and pages opened in it that may neither complain nor ask for anything."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def path_of_chromium():
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def chromium():
    path = path_of_chromium()
    if not path:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """opened(text, fragment="", **context): a page of that text, watched while it is open."""

    @contextmanager
    def open_page(text, fragment="", width=1440, height=900, **context):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        view = {"width": width, "height": height}
        with chromium.new_context(viewport=view, **context) as window:
            tab = window.new_page()
            tab.set_default_timeout(10_000)
            wrong, asked = [], []
            tab.on("console", lambda message: wrong.append(message.text))
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(path.as_uri() + fragment)
            yield tab
            assert wrong == []
            # The file itself; what the page makes for the reader to keep is a blob.
            assert [url for url in asked if not url.startswith(("blob:", path.as_uri()))] == []

    return open_page
