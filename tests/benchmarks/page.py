"""From a pointer's move to the picture on the page, by Chromium's own trace of a stroke.

`EventLatency` runs from the event's making to the frame that shows what it did. With the
display's clock stopped that is the time the work takes; with it, up to one frame's wait
more. The peer is a frame at 60 Hz. Chromium draws in software here. And from random dials to 95 %
of digits that the network has not seen, by plain gradient descent; the peer is a patient reader.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

import jaxnet
from tests.benchmarks.report import report
from tests.browser.conftest import SWITCHES, path_of_chromium

FREE = ["--disable-frame-rate-limit", "--disable-gpu-vsync"]
FRAME = 1000 / 60
PATIENCE = 15  # seconds


def stroke(browser: Browser, folder: Path, slowed: int, learning: bool) -> list[dict[str, Any]]:
    """The trace of a seven, drawn in 140 moves of the mouse."""
    tab = browser.new_page(viewport={"width": 1366, "height": 768})
    tab.goto((folder / "page.html").as_uri())
    tab.click("#clear")
    if learning:
        tab.click("#play")
    slow = tab.context.new_cdp_session(tab)
    slow.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    tab.wait_for_timeout(500)
    box = tab.locator("#pad").bounding_box()
    assert box
    moves = [(8 + k / 5, 6) for k in range(60)] + [(20 - k / 10, 6 + k / 4.5) for k in range(80)]
    at = [(box["x"] + box["width"] * x / 28, box["y"] + box["height"] * y / 28) for x, y in moves]
    browser.start_tracing(page=tab, path=folder / "trace.json", categories=["cc", "benchmark"])
    tab.mouse.move(*at[0])
    tab.mouse.down()
    for place in at[1:]:
        tab.mouse.move(*place)
        tab.wait_for_timeout(8)
    tab.mouse.up()
    tab.wait_for_timeout(200)
    browser.stop_tracing()
    tab.close()
    return json.loads((folder / "trace.json").read_text())["traceEvents"]


def latencies(events: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of each move while the button is down, to the picture that shows it."""
    began: dict[Any, dict[str, Any]] = {}
    found = []
    for event in sorted((e for e in events if e["name"] == "EventLatency"), key=lambda e: e["ts"]):
        key = event["pid"], event["id2"]["local"]
        if event["ph"] == "b":
            began[key] = event
        elif began[key]["args"]["event_latency"]["event_type"] == "MOUSE_DRAGGED":
            found.append((event["ts"] - began[key]["ts"]) / 1000)
    return found


def lesson(browser: Browser, folder: Path) -> float:
    """Seconds from random dials to 95 % of unseen digits."""
    tab = browser.new_page(viewport={"width": 1366, "height": 768})
    tab.goto((folder / "page.html").as_uri())
    tab.click("#fresh")
    tab.click("#play")
    start = time.perf_counter()
    while tab.evaluate("jaxnet.accuracy(jaxnet.digits(500, 1))") < 0.95:
        tab.wait_for_timeout(50)
    seconds = time.perf_counter() - start
    tab.close()
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "page.html").write_text(jaxnet.page().html, encoding="utf-8")
        for clock, switches in (("stopped", FREE), ("60 Hz", [])):
            browser = playwright.chromium.launch(
                executable_path=path_of_chromium(), args=SWITCHES + switches
            )
            for slowed, learning in ((1, False), (1, True), (4, False), (4, True)):
                traces = (stroke(browser, folder, slowed, learning) for _ in range(3))
                found = sorted(v for trace in traces for v in latencies(trace))
                p95 = round(found[round(0.95 * (len(found) - 1))], 2)
                kind = f"page, a stroke, the display's clock {clock}"
                kind += ", while it learns" * learning + f", slowed {slowed} times" * (slowed > 1)
                numbers = {"p95": p95, "moves": len(found)}
                report(kind, statistics.median(found), FRAME, "ms", peer_name="a frame", **numbers)
            if clock == "60 Hz":
                seconds = sorted(lesson(browser, folder) for _ in range(5))
                median = statistics.median(seconds)
                kind = "page, random dials to 95 % of unseen digits"
                report(kind, median, PATIENCE, "s", peer_name="patience", slowest=seconds[-1])
            browser.close()
