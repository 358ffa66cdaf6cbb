"""The page in Firefox as Debian has it, driven by the browser's own WebDriver BiDi.

Playwright drives only a Firefox of its own. The protocol: https://w3c.github.io/webdriver-bidi.
"""

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

import jaxnet
from tests.browser.hands import text_of

pytestmark = pytest.mark.process

FRAME = "new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"


class Firefox:
    """One tab of a Firefox: commands, what it evaluates, and all that it complained of."""

    def __init__(self, socket):
        self.socket, self.ids, self.wrong = socket, itertools.count(), []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self.tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method, **params):
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=30))
            if message.get("method") == "log.entryAdded":
                self.wrong.append(message["params"]["text"])
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]

    def open(self, url, width, height):
        size = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self.tab, viewport=size)
        self.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")
        self.evaluate(FRAME)

    def evaluate(self, expression):
        """The value of an expression, brought over as JSON."""
        found = self.send(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((v) => JSON.stringify(v ?? null))",
            target={"context": self.tab},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])

    def box(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})"
                             ".getBoundingClientRect().toJSON()")  # fmt: skip

    def pointer(self, actions, kind="mouse"):
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self.send("input.performActions", context=self.tab, actions=[source | {"actions": actions}])
        self.evaluate(FRAME)

    def click(self, selector, kind="mouse"):
        self.evaluate(f"document.querySelector({json.dumps(selector)})"
                      ".scrollIntoView({ block: 'nearest' })")  # fmt: skip
        box = self.box(selector)
        x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
        move = {"type": "pointerMove", "x": x, "y": y}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.pointer([move, *press], kind)

    def draw(self, points, kind="mouse"):
        box = self.box("#pad")
        moves = [
            {
                "type": "pointerMove",
                "x": int(box["x"] + box["width"] * (x + 0.5) / 28),
                "y": int(box["y"] + box["height"] * (y + 0.5) / 28),
                "duration": 30,
            }
            for x, y in points
        ]
        down, up = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        self.pointer([moves[0], down, *moves[1:], up], kind)

    def keys(self, *values):
        actions = [
            {"type": f"key{way}", "value": value} for value in values for way in ("Down", "Up")
        ]
        keyboard = {"type": "key", "id": "keys", "actions": actions}
        self.send("input.performActions", context=self.tab, actions=[keyboard])
        self.evaluate(FRAME)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def screenshot(self):
        shot = self.send("browsingContext.captureScreenshot", context=self.tab)
        return Image.open(io.BytesIO(base64.b64decode(shot["data"])))


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if not path:
        pytest.skip("Firefox is not installed")
    folder = tmp_path_factory.mktemp("firefox")
    (folder / "page.html").write_text(text_of(), encoding="utf-8")
    command = [path, "--headless", "--no-remote", "--remote-debugging-port", "0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--profile", str(folder)], **quiet) as process:
        try:
            with connect(f"{address(folder)}/session", max_size=None, proxy=None) as socket:
                tab = Firefox(socket)
                tab.page = (folder / "page.html").as_uri()
                yield tab
        finally:
            process.terminate()


def address(profile):
    """Where a Firefox that has just begun listens, as it writes in its profile."""
    place = profile / "WebDriverBiDiServer.json"
    for _ in range(600):
        with suppress(OSError, ValueError):  # not written yet, or half
            return "ws://{ws_host}:{ws_port}".format(**json.loads(place.read_text()))
        time.sleep(0.1)
    raise TimeoutError("Firefox has not begun to listen within a minute.")


@pytest.mark.parametrize(("width", "height"), [(375, 812), (768, 1024), (1366, 768), (1920, 1080)])
@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_drawing_with_everything_in_view(firefox, width, height, kind):
    firefox.open(firefox.page, width, height)
    firefox.draw([(8, 6), (20, 6), (13, 23)], kind)
    assert firefox.text("#answer") == "7"
    x = np.array(firefox.evaluate("jaxnet.image"), np.float32)
    assert int(jaxnet.predict(jaxnet.pretrained(), x)) == 7
    for part in ("#pad", "#network", "#bars"):
        box = firefox.box(part)
        assert 0 <= box["top"] < box["bottom"] <= height + 1
    assert firefox.evaluate("document.documentElement.scrollWidth") <= width
    assert len(firefox.screenshot().convert("RGB").getcolors(10**7)) > 200
    assert firefox.wrong == []


def test_learning_inspecting_and_undoing(firefox):
    firefox.open(firefox.page + "#scene=learning&network=random&seed=7&neuron=1-4", 1366, 768)
    assert firefox.evaluate("jaxnet.accuracy(jaxnet.digits(300, 1))") < 0.5
    firefox.click("#play")
    start, accuracy = time.monotonic(), 0.0
    while accuracy < 0.9 and time.monotonic() - start < 60:
        firefox.evaluate("new Promise((f) => setTimeout(f, 500))")
        accuracy = firefox.evaluate("jaxnet.accuracy(jaxnet.digits(300, 1))")
    firefox.click("#play")
    assert accuracy >= 0.9
    firefox.click('[data-at="1-2"]')
    assert "neuron 3 of hidden layer 1" in firefox.text("#neuron-title")
    firefox.keys("\ue00c")  # Escape
    assert firefox.box("#neuron")["height"] == 0
    for _ in range(3):
        firefox.click("#undo")
    assert firefox.evaluate("jaxnet.accuracy(jaxnet.digits(300, 1))") < 0.5
    assert firefox.wrong == []


def test_keyboard(firefox):
    firefox.open(firefox.page, 1366, 768)
    firefox.click("#clear")
    firefox.evaluate("document.querySelector('#pad').focus()")
    up, down = "\ue013", "\ue015"
    firefox.keys(*[up] * 9, " ", *[down] * 18, " ")
    assert firefox.text("#answer") == "1"
    firefox.evaluate("""document.querySelector("#neurons button[tabindex='0']").focus()""")
    firefox.keys(down, "\ue014")
    assert firefox.evaluate("document.activeElement.dataset.at") == "2-1"
    assert firefox.wrong == []
