"""What people see in the terminals that they have: narrow, without colors, in plain ASCII, piped.

The expected output is in `snapshots/`; `python -m tests.cli.test_settings` writes it anew, to be
looked at.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from jaxnet.cli import _terminal
from jaxnet.runs import Progress
from jaxnet.training import History, Score
from tests.subprocesses import run_in_terminal

SNAPSHOTS = Path(__file__).with_name("snapshots")
SCRIPT = Path(sys.executable).with_name("jaxnet")
COMMANDS = (
    ("classify", "seven.png", "one.png"),
    ("draw", "activations", "seven.png"),
    ("draw", "weights", "--neuron", "3"),
    ("draw", "saliency", "seven.png", "--colors", "safe"),
    ("info",),
    ("convert", "--help"),
)
SETTINGS = {  # the environment, and whether in a terminal
    "pipe": ({}, False),
    "pipe-40": ({"COLUMNS": "40"}, False),
    "ascii": ({"PYTHONIOENCODING": "ascii"}, False),
    "latin-1": ({"PYTHONIOENCODING": "latin-1", "COLUMNS": "60"}, False),
    "no-color": ({"NO_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}, True),
    "dumb": ({"TERM": "dumb", "COLUMNS": "80"}, True),
    "color-40": ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "40"}, True),
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def draw(folder):
    for name, points in (
        ("seven", [(60, 50), (140, 50), (90, 160)]),
        ("one", [(100, 40), (96, 160)]),
    ):
        picture = Image.new("L", (200, 200), 255)
        ImageDraw.Draw(picture).line(points, fill=0, width=14)
        picture.save(Path(folder, f"{name}.png"))


def shown(folder, setting):
    """What all commands print, without escape sequences and the folder's name."""
    environment, in_terminal = SETTINGS[setting]
    environment = {**clean(), **environment}
    texts = []
    for command in COMMANDS:
        texts.append(f"$ jaxnet {' '.join(command)}")
        options = {"cwd": folder, "env": environment}
        if in_terminal:
            raw = run_in_terminal([SCRIPT, *command], **options)
        else:
            raw = subprocess.run(
                [SCRIPT, *command], capture_output=True, check=True, **options
            ).stdout
        encoding = environment.get("PYTHONIOENCODING", "utf-8")
        text = raw.decode(encoding).replace("\r\n", "\n")
        texts += [re.sub(r"/\S*/_pretrained", "…", ESCAPES.sub("", text))]
    return "\n".join(line.rstrip() for line in "\n".join(texts).splitlines()) + "\n"


def clean():
    unwanted = {"NO_COLOR", "COLUMNS", "TERM", "COLORTERM", "FORCE_COLOR", "PYTHONIOENCODING"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


@pytest.mark.compiled
@pytest.mark.parametrize("setting", SETTINGS)
def test_output(tmp_path, setting):
    draw(tmp_path)
    text = shown(tmp_path, setting)
    expected = (SNAPSHOTS / f"{setting}.txt").read_text()
    # A bar may differ by an eighth of a character where another CPU rounds otherwise.
    assert same(text) == same(expected)
    if "40" in setting or "COLUMNS" in SETTINGS[setting][0]:
        width = int(SETTINGS[setting][0]["COLUMNS"])
        drawn = text.split("$ jaxnet info")[0].splitlines()
        assert max(len(line) for line in drawn if line[:1] != "$") <= width
    if setting == "ascii":
        assert text.replace("…", "").isascii()
    assert "????" not in text


def same(text):
    return re.sub("[▏▎▍▌▋▊▉█#*o ]+", " ", re.sub(r"\d\.\d\d", "0.00", text))


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_learning_curves_fit(width):
    rows = np.linspace(1, 0.1, 60)[:, None]
    score = Score(rows, {"accuracy": 1 - rows})
    progress = Progress((), History(*score, score), 12.0)
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(_terminal.Learning(progress, 60))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("cost" in line for line in lines) == 1
    assert any("cost" in line and "correct" in line for line in lines) == (width >= 84)
    assert "…" not in captured.get()


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        draw(place)
        for name in SETTINGS:
            (SNAPSHOTS / f"{name}.txt").write_text(shown(place, name))
