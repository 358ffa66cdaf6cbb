"""What the terminal shows: the right pixels, bars of the right length, the right marks."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

import jaxnet
from jaxnet.batch import Tally
from jaxnet.cli import _terminal as terminal
from jaxnet.data import Source


def printed(renderable, width=100, **options):
    console = Console(width=width, file=io.StringIO(), **options)
    console.print(renderable)
    return console.file.getvalue()


def test_pixels_without_color():
    image = np.zeros((4, 4))
    image[0, 0] = image[1, 1] = image[2:, 2] = 1
    assert printed(terminal.Picture(image.reshape(16))) == "▀▄  \n  █ \n"


def test_pixels_with_color():
    image = np.linspace(0, 1, 784)
    colorful = {"force_terminal": True, "color_system": "truecolor", "no_color": False}
    shown = printed(terminal.Picture(image), **colorful)
    cells = re.findall(r"\x1b\[38;2;(\d+);\1;\1;48;2;(\d+);\2;\2m▀", shown)
    rows = (255 * image).round().astype(int).reshape(14, 2, 28)
    expected = [
        (str(u), str(v)) for upper, lower in rows for u, v in zip(upper, lower, strict=True)
    ]
    assert cells == expected


def test_odd_image_side():
    assert printed(terminal.Picture(np.ones(9))) == "███\n▀▀▀\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "    "),
        (1, "████"),
        (0.5, "██  "),
        (1 / 32, "▏   "),
        (1 / 33, "▏   "),
        (0.26, "█   "),
        (1e9, "████"),
        (-1, "    "),
        (np.nan, "    "),
    ],
)
def test_bars(value, expected):
    assert terminal.bar(value, width=4) == expected


@pytest.fixture
def two():
    activations = np.zeros((2, 10))
    activations[0, 3] = activations[1, 8] = 0.75
    source = Source(np.zeros((2, 784), np.uint8), ["three.png", "[bold]eight.png"])
    return source, jaxnet.Answers(np.array([3, 8]), activations)


def test_cards(two):
    shown = printed(terminal.cards(*two, np.array([3, 0])))
    assert "three.png" in shown
    assert "[bold]eight.png" in shown  # a name is not markup
    assert "→ 3  ✓" in shown
    assert "→ 8  ✗ 0" in shown
    assert "3 ██████  " in shown
    assert shown.count("█") == 12


def test_control_characters_in_names():
    assert terminal.printable("a\x1b[2J\nb ✓") == "a\ufffd[2J\ufffdb ✓"


def test_cards_without_labels(two):
    shown = printed(terminal.cards(*two))
    assert "→ 3" in shown
    assert "✓" not in shown
    assert "✗" not in shown


@pytest.mark.parametrize(("width", "columns"), [(40, 1), (79, 1), (80, 2), (125, 3)])
def test_cards_fit_the_width(two, width, columns):
    source, answers = two
    six = Source(np.repeat(source.images, 3, 0), source.names * 3)
    shown = printed(
        terminal.cards(six, jaxnet.Answers(*(np.repeat(part, 3, 0) for part in answers))), width
    )
    assert max(line.count("→") for line in shown.splitlines()) == columns
    assert max(map(len, shown.splitlines())) <= width


def test_summary():
    shown = printed(terminal.summary(Tally(rows=3, unread=1, right=1), 4.0, labeled=True))
    assert re.search(r"images +3\b", shown)
    assert re.search(r"skipped +1\b", shown)
    assert "50.00 % (1)" in shown  # of those that could be read
    assert "4 images per second" in shown
    plain = printed(terminal.summary(Tally(rows=3), 4.0, labeled=False))
    assert "correct" not in plain
    assert "skipped" not in plain
    nothing = printed(terminal.summary(Tally(rows=1, unread=1), 4.0, labeled=True))
    assert "correct" not in nothing


def test_summary_of_a_finished_job():
    assert "per second" not in printed(terminal.summary(Tally(rows=3), 0.0, labeled=False))
