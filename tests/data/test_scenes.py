"""Digits found in drawn photos, scans and forms; the measured scenes chose nothing in the code."""

import contextlib

import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.data import find_digits, read_digits
from tests import scenes
from tests.calibration import answered

pytestmark = pytest.mark.compiled

SEED = 20_261  # of the scenes that are only measured
GOALS = {  # of 30, or of 150 digits in rows
    "clean": 29,  # 30 as measured; a drawn 1 with a flag is close to a 7
    **dict.fromkeys(("frame", "box", "strip", "lined", "squared"), 28),
    **dict.fromkeys(("shadow", "desk"), 27),
    **{f"pen of {pen}": 28 for pen in scenes.PENS},
    **dict.fromkeys(("row", "form"), 143),
}


@pytest.fixture(scope="module")
def hands(mnist):
    """Of the test images, some that are classified rightly as they are."""
    images, labels = mnist["test"]
    right = jaxnet.classify(jaxnet.pretrained(), images).digits == labels
    return scenes.three_hands(images[right] / 255, labels[right], SEED)


def digits_in(picture):
    found = find_digits(picture)
    return jaxnet.classify(jaxnet.pretrained(), found.images).digits.tolist()


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_measured(kind, hands):
    good = 0
    for scene in scenes.scenes_of(kind, hands, scenes.MEASURED, SEED):
        read = digits_in(scene.picture)
        same = sum(a == b for a, b in zip(read, scene.labels, strict=False))
        good += same if len(read) == len(scene.labels) else 0
    assert good >= GOALS[kind]


@pytest.mark.slow
def test_enlarged_test_images(mnist):
    """Of 2,000 test images, at most 0.4 points fewer are read rightly than as they are."""
    images, labels = (part[:2000] for part in mnist["test"])
    rng = np.random.default_rng(SEED)
    read = []
    for image, label in zip(images / 255, labels, strict=True):
        digit = scenes.enlarged(image, rng.uniform(*scenes.MEASURED.size))
        read.append(digits_in(scenes.clean(digit, label, rng, scenes.MEASURED).picture))
    before = (jaxnet.classify(jaxnet.pretrained(), images).digits == labels).mean()
    after = np.mean([them == [label] for them, label in zip(read, labels, strict=True)])
    assert after >= before - 0.004


def test_boxes(hands):
    """Boxes are where the digits were put, within a tenth of their size."""
    for scene in scenes.scenes_of("form", hands[:6], scenes.MEASURED, SEED):
        found = find_digits(scene.picture)
        size = np.ptp(np.array(scene.boxes), 0).max() / len(scene.boxes)
        assert abs(found.boxes - np.array(scene.boxes)).max() < 0.2 * size
        assert not found.touching.any()
        assert not found.lines.any()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".pgm", ".avif"])
def test_lines_of_a_page(hands, tmp_path, suffix):
    """Three rows, in reading order, in every kind of file; boxes are in the file's pixels."""
    still = scenes.MEASURED._replace(noise=(0, 0), size=(60, 60))
    rows = scenes.scenes_of("row", hands[:3], still, SEED)
    pictures = [255 - row.picture if np.median(row.picture) < 128 else row.picture for row in rows]
    width = max(picture.shape[1] for picture in pictures)
    page = np.vstack([np.pad(p, ((0, 0), (0, width - p.shape[1])), "edge") for p in pictures])
    Image.fromarray(page).resize((width * 3, len(page) * 3)).save(tmp_path / f"page{suffix}")
    found = read_digits(tmp_path / f"page{suffix}")
    assert found.lines.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    digits = jaxnet.classify(jaxnet.pretrained(), found.images).digits
    assert (digits == [label for row in rows for label in row.labels]).sum() >= 14
    assert 2 * width < found.boxes[:, 2].max() < 3 * width


def test_touching_digits_are_reported():
    page = np.full((200, 400), 240, np.uint8)
    page[50:150, 60:70] = page[50:150, 230:240] = page[50:150, 330:340] = 10
    page[95:105, 60:240] = 10  # joins the first two
    found = find_digits(page)
    assert found.touching.tolist() == [True, False]


def test_confidence_is_the_share_of_right_answers(mnist):
    """On images, and on drawings of no digit, that were not used to calibrate it."""
    activations, right = answered(*(part[:5000] for part in mnist["test"]), 99)
    sure = jaxnet.inference.confidence(activations)
    for low, high in ((0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1)):
        these = (sure >= low) & (sure < high)
        assert these.sum() > 300
        assert abs(right[these].mean() - sure[these].mean()) < 0.06
    assert right[sure >= 0.9].mean() > 0.9
    assert (sure[5000:] < 0.5).mean() > 0.6  # of what is no digit
    assert (sure[:5000] < 0.5).mean() < 0.13  # of digits


def test_nothing_drawn():
    rng = np.random.default_rng(0)
    paper = 220 + 4 * rng.standard_normal((300, 400))
    lined = np.where(np.arange(300)[:, None] % 40 < 2, 120, paper)
    for empty in (paper, lined):
        with pytest.raises(ValueError, match="drawn"):
            find_digits(empty.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("period", [6, 8, 12, 40])
def test_patterns_end_soon(period):
    """Thousands of specks, lines or rings: a thousand digits at most, or one sentence."""
    y, x = np.mgrid[:1024, :1024]
    half = period // 2
    for ink in (
        (x % period < half) & (y % period < half),
        (x % period < half) | (y % period < half),
        y % period < half,
        np.hypot(x - 512, y - 512) % period < half,
    ):
        with contextlib.suppress(ValueError):
            assert len(find_digits(np.where(ink, 0, 255).astype(np.uint8)).images) <= 1_000
