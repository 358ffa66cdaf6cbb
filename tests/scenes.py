"""Photos and scans of handwriting, drawn: digits on papers, desks and forms, and what is no digit.

A scene is a picture in gray, uint8, and what it shows: for each digit its label and its box. Its
`Style` has the least and the most of everything that differs from picture to picture; the scenes to
develop by and those that are only measured differ in it, in the seed, and in the digits.
"""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from jaxnet.data import synthetic

Box = tuple[int, int, int, int]  # left, top, right, bottom


class Scene(NamedTuple):
    """A picture, and its digits in reading order."""

    picture: np.ndarray
    labels: list[int]
    boxes: list[Box]


class Style(NamedTuple):
    """The least and the most of what differs from scene to scene."""

    size: tuple[float, float] = (170, 230)  # pixels of a digit's longer side
    paper: tuple[float, float] = (0.8, 1.0)
    ink: tuple[float, float] = (0.05, 0.3)
    noise: tuple[float, float] = (0.0, 0.02)
    margin: tuple[float, float] = (0.25, 0.6)  # around the digit, of its size
    frame: tuple[float, float] = (2, 16)  # pixels
    box: tuple[float, float] = (2, 6)
    gap: tuple[float, float] = (0.08, 0.3)  # between digit and box, of the digit's size
    turn: tuple[float, float] = (-2, 2)  # degrees
    strip: tuple[float, float] = (0.05, 0.2)  # of the width
    line: tuple[float, float] = (0.35, 0.72)  # gray of ruled lines
    square: tuple[float, float] = (0.5, 0.8)
    spacing: tuple[float, float] = (25, 60)
    shade: tuple[float, float] = (0.4, 0.7)  # what a shadow leaves of the light
    desk: tuple[float, float] = (0.15, 0.5)
    rim: tuple[float, float] = (0.1, 0.8)  # of the sheet's size
    apart: tuple[float, float] = (0.15, 0.6)  # between digits, of their size
    quality: tuple[float, float] = (75, 95)  # of JPEG


DEVELOPED = Style()
MEASURED = Style(
    size=(150, 250),
    paper=(0.75, 0.98),
    ink=(0.0, 0.35),
    noise=(0.0, 0.025),
    margin=(0.2, 0.8),
    frame=(3, 20),
    box=(2, 8),
    gap=(0.07, 0.35),
    turn=(-3, 3),
    strip=(0.04, 0.25),
    line=(0.3, 0.72),
    square=(0.45, 0.8),
    spacing=(22, 70),
    shade=(0.35, 0.75),
    desk=(0.1, 0.55),
    rim=(0.08, 1.0),
    apart=(0.12, 0.7),
    quality=(70, 95),
)


def enlarged(image: np.ndarray, size: float) -> np.ndarray:
    """A digit of MNIST, cropped and enlarged so that its longer side has so many pixels."""
    image = image.reshape(28, 28)
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = size / max(ink.shape)
    shape = (max(round(ink.shape[1] * factor), 1), max(round(ink.shape[0] * factor), 1))
    return cv2.resize(ink.astype(np.float32), shape, interpolation=cv2.INTER_CUBIC).clip(0, 1)


def drawn(rng: np.random.Generator, digit: int, size: float, pen: float) -> np.ndarray:
    """A digit drawn by a pen `pen` pixels wide where the digit's longer side has 20."""
    pieces = synthetic._pieces()[digit]
    x, y = pieces[rng.integers(len(pieces))].astype(float)
    slant, turn, wide = rng.uniform(0, 0.25), rng.uniform(-0.1, 0.1), rng.uniform(0.75, 1)
    x = wide * x - slant * y
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    width = pen * size / 20
    factor = (size - width) / max(np.ptp(x), np.ptp(y))
    x, y = ((v - v.min()) * factor + width / 2 for v in (x, y))
    four = 4  # drawn larger, for smooth edges
    shape = (int(four * (x.max() + width / 2)) + 1, int(four * (y.max() + width / 2)) + 1)
    sheet = Image.new("L", shape)
    pencil = ImageDraw.Draw(sheet)
    r = four * width / 2
    for (x0, x1), (y0, y1) in zip(x.T * four, y.T * four, strict=True):
        pencil.line((x0, y0, x1, y1), fill=255, width=max(round(2 * r), 1))
        for cx, cy in ((x0, y0), (x1, y1)):
            pencil.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)
    small = sheet.resize((shape[0] // four + 1, shape[1] // four + 1), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def with_pen(image: np.ndarray, size: float, pen: float) -> np.ndarray:
    """A digit of MNIST, written with another pen: its skeleton, drawn anew."""
    ink = np.pad(enlarged(image, size) > 0.5, round(size / 6))
    wide = pen * size / 20
    away = cv2.distanceTransform((~_skeleton(ink)).astype(np.uint8), cv2.DIST_L2, 5)
    ink = (wide / 2 + 0.5 - away).clip(0, 1)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _skeleton(ink: np.ndarray) -> np.ndarray:
    """Zhang and Suen's thinning ("A fast parallel algorithm for thinning digital patterns")."""
    a = ink.astype(np.uint8)
    while True:
        before = a.copy()
        for step in (0, 1):
            p = np.pad(a, 1)
            n = [
                p[1 + y : p.shape[0] - 1 + y, 1 + x : p.shape[1] - 1 + x]
                for y, x in (
                    *((-1, 0), (-1, 1), (0, 1), (1, 1)),
                    *((1, 0), (1, -1), (0, -1), (-1, -1)),
                )
            ]
            total = sum(m.astype(int) for m in n)
            turns = sum(
                ((p == 0) & (q == 1)).astype(int) for p, q in zip(n, [*n[1:], n[0]], strict=True)
            )
            up, right, down, left = n[0], n[2], n[4], n[6]
            ends = (
                (up * right * down == 0) & (right * down * left == 0)
                if step == 0
                else (up * right * left == 0) & (up * down * left == 0)
            )
            a = a & ~((a == 1) & (total >= 2) & (total <= 6) & (turns == 1) & ends)
        if (a == before).all():
            return a.astype(bool)


class Canvas:
    """A sheet on which digits are put, before light falls on it."""

    def __init__(self, height: int, width: int) -> None:
        self.ink = np.zeros((height, width), np.float32)
        self.labels: list[int] = []
        self.boxes: list[Box] = []

    def put(self, digit: np.ndarray, label: int, left: int, top: int) -> None:
        height, width = digit.shape
        part = self.ink[top : top + height, left : left + width]
        np.maximum(part, digit[: part.shape[0], : part.shape[1]], out=part)
        self.labels.append(label)
        self.boxes.append((left, top, left + width, top + height))


def _alone(digit: np.ndarray, label: int, rng: np.random.Generator, style: Style) -> Canvas:
    """One digit with a margin on each side."""
    size = max(digit.shape)
    left, top, right, bottom = (int(size * rng.uniform(*style.margin)) for _ in range(4))
    canvas = Canvas(digit.shape[0] + top + bottom, digit.shape[1] + left + right)
    canvas.put(digit, label, left, top)
    return canvas


def _exposed(canvas: Canvas, rng: np.random.Generator, style: Style, light=1.0, marks=None):
    """Paper, ink and light as gray; `marks` are gray for what is printed on the paper."""
    paper, ink = rng.uniform(*style.paper), rng.uniform(*style.ink)
    ground = np.full(canvas.ink.shape, paper, np.float32)
    if marks is not None:
        ground = np.minimum(ground, marks)
    return (ground * (1 - canvas.ink) + np.minimum(ink, ground) * canvas.ink) * light


def _finished(gray, canvas, rng, style, *, inverted=None, jpeg=None) -> Scene:
    """Adds noise and the traces of a file format."""
    if inverted is None:
        inverted = rng.random() < 0.3
    gray = 1 - gray if inverted else gray
    gray = gray + rng.uniform(*style.noise) * rng.standard_normal(gray.shape)
    picture = (255 * gray).clip(0, 255).round().astype(np.uint8)
    if jpeg if jpeg is not None else rng.random() < 0.5:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=round(rng.uniform(*style.quality)))
        picture = np.asarray(Image.open(file))
    return Scene(picture, canvas.labels, canvas.boxes)


def clean(digit, label, rng, style):
    canvas = _alone(digit, label, rng, style)
    return _finished(_exposed(canvas, rng, style), canvas, rng, style)


def frame(digit, label, rng, style):
    """A black frame at the picture's edge."""
    canvas = _alone(digit, label, rng, style)
    gray = _exposed(canvas, rng, style)
    n = round(rng.uniform(*style.frame))
    inside = np.zeros(gray.shape, bool)
    inside[n:-n, n:-n] = True
    return _finished(np.where(inside, gray, rng.uniform(0, 0.1)), canvas, rng, style)


def box(digit, label, rng, style):
    """A form's cell, drawn around the digit."""
    canvas = _alone(digit, label, rng, style._replace(margin=(0.45, 0.8)))
    left, top, right, bottom = canvas.boxes[0]
    size = max(digit.shape)
    x0, y0 = (int(v - size * rng.uniform(*style.gap)) for v in (left, top))
    x1, y1 = (int(v + size * rng.uniform(*style.gap)) for v in (right, bottom))
    marks = np.ones(canvas.ink.shape, np.float32)
    corners = cv2.boxPoints(
        (((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0), rng.uniform(*style.turn))
    )
    width, gray = round(rng.uniform(*style.box)), float(rng.uniform(0, 0.4))
    cv2.polylines(marks, [corners.round().astype(np.int32)], True, gray, width, cv2.LINE_AA)
    return _finished(_exposed(canvas, rng, style, marks=marks), canvas, rng, style)


def strip(digit, label, rng, style):
    """A scanner's dark strip along one side."""
    canvas = _alone(digit, label, rng, style)
    share = rng.uniform(*style.strip)
    side = rng.integers(4)
    height, width = canvas.ink.shape
    n = max(round(share * (height if side % 2 else width)), 3)
    pad = [((0, 0), (n, 0)), ((n, 0), (0, 0)), ((0, 0), (0, n)), ((0, n), (0, 0))][side]
    left, top, right, bottom = canvas.boxes[0]
    dy, dx = pad[0][0], pad[1][0]
    canvas.boxes[0] = (left + dx, top + dy, right + dx, bottom + dy)
    gray = np.pad(_exposed(canvas, rng, style), pad, constant_values=rng.uniform(0, 0.25))
    return _finished(gray, canvas, rng, style)


def lined(digit, label, rng, style):
    """Ruled paper."""
    return _ruled(digit, label, rng, style, False)


def squared(digit, label, rng, style):
    """Squared paper, as JPEG."""
    return _ruled(digit, label, rng, style, True)


def _ruled(digit, label, rng, style, both):
    canvas = _alone(digit, label, rng, style)
    marks = np.ones(canvas.ink.shape, np.float32)
    gray = float(rng.uniform(*(style.square if both else style.line)))
    spacing, n = rng.uniform(*style.spacing), int(rng.integers(1, 4))
    angle = np.radians(rng.uniform(*style.turn))
    length = float(sum(marks.shape))
    phase = rng.uniform(0, spacing, 2)
    for way in range(1 + both):
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        if way:
            along, across = across, along
        for k in range(-int(length / spacing), 2 * int(length / spacing)):
            at = across * (phase[way] + k * spacing)
            a, b = at - length * along, at + 2 * length * along
            cv2.line(
                marks,
                a.round().astype(int).tolist(),
                b.round().astype(int).tolist(),
                gray,
                n,
                cv2.LINE_AA,
            )
    exposed = _exposed(canvas, rng, style, marks=marks)
    return _finished(exposed, canvas, rng, style, inverted=False, jpeg=both or None)


def shadow(digit, label, rng, style):
    """The hard edge of a shadow across the paper."""
    canvas = _alone(digit, label, rng, style)
    height, width = canvas.ink.shape
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25)
    y, x = np.mgrid[:height, :width]
    side = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle) - at
    soft = rng.uniform(0.002, 0.02)
    light = 1 - (1 - rng.uniform(*style.shade)) * (side / soft + 0.5).clip(0, 1)
    gray = _exposed(canvas, rng, style, light.astype(np.float32))
    return _finished(gray, canvas, rng, style, inverted=False)


def desk(digit, label, rng, style):
    """A sheet of paper on a darker desk."""
    canvas = _alone(digit, label, rng, style)
    sheet = _exposed(canvas, rng, style)
    height, width = sheet.shape
    left, right = (int(width * rng.uniform(*style.rim)) for _ in range(2))
    top, bottom = (int(height * rng.uniform(*style.rim)) for _ in range(2))
    shape = (height + top + bottom, width + left + right)
    grain = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigmaX=9, sigmaY=1.5)
    table = rng.uniform(*style.desk) + 0.15 * grain.astype(np.float32)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 3 * rng.uniform(*style.turn), 1)
    turn[:, 2] += left, top
    placed = cv2.warpAffine(sheet, turn, shape[::-1], flags=cv2.INTER_LINEAR)
    there = cv2.warpAffine(np.ones_like(sheet), turn, shape[::-1], flags=cv2.INTER_LINEAR)
    canvas.boxes[0] = _turned(canvas.boxes[0], turn)
    return _finished(placed + table.clip(0, 1) * (1 - there), canvas, rng, style, inverted=False)


def _turned(box: Box, turn: np.ndarray) -> Box:
    x0, y0, x1, y1 = box
    corners = np.array([[x, y, 1] for x in (x0, x1) for y in (y0, y1)]) @ turn.T
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    return round(left), round(top), round(right), round(bottom)


def row(digits: Sequence[np.ndarray], labels: Sequence[int], rng, style):
    """Digits beside one another, as in a number."""
    height = max(len(d) for d in digits)
    gaps = [int(height * rng.uniform(*style.apart)) for _ in digits[:-1]]
    edges = [int(height * rng.uniform(*style.margin)) for _ in range(4)]
    width = sum(d.shape[1] for d in digits) + sum(gaps) + edges[0] + edges[1]
    canvas = Canvas(int(1.1 * height) + edges[2] + edges[3], width)
    left = edges[0]
    for digit, label, gap in zip(digits, labels, [*gaps, 0], strict=True):
        top = edges[2] + int(rng.uniform(0, 0.1) * height) + (height - len(digit)) // 2
        canvas.put(digit, label, left, top)
        left += digit.shape[1] + gap
    return _finished(_exposed(canvas, rng, style), canvas, rng, style)


def form(digits: Sequence[np.ndarray], labels: Sequence[int], rng, style):
    """A row of cells with a digit in each."""
    size = max(max(d.shape) for d in digits)
    cell = int(size * (1 + 2 * rng.uniform(*style.gap)))
    edge = int(size * rng.uniform(*style.margin))
    canvas = Canvas(cell + 2 * edge, cell * len(digits) + 2 * edge)
    marks = np.ones(canvas.ink.shape, np.float32)
    gray, n = float(rng.uniform(0, 0.5)), round(rng.uniform(*style.box))
    for k, (digit, label) in enumerate(zip(digits, labels, strict=True)):
        left = edge + k * cell
        cv2.rectangle(marks, (left, edge), (left + cell, edge + cell), gray, n)
        spare = np.array([cell - digit.shape[1], cell - digit.shape[0]])
        dx, dy = (spare * rng.uniform(0.4, 0.6, 2)).astype(int)
        canvas.put(digit, label, left + dx, edge + dy)
    return _finished(_exposed(canvas, rng, style, marks=marks), canvas, rng, style)


def letter(rng: np.random.Generator) -> np.ndarray:
    """A letter that looks like no digit, in one of several hands and types."""
    which = "AEFHKMNRTUVWXYadefhkmnrtvwxäßøπ"[rng.integers(26)]
    faces = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
    sheet = np.zeros((300, 300), np.uint8)
    face = faces[rng.integers(len(faces))]
    cv2.putText(sheet, which, (80, 210), face, 5, 255, int(rng.integers(10, 28)), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((150, 150), rng.uniform(-12, 12), rng.uniform(0.7, 1))
    return 255 - cv2.warpAffine(sheet, turn, (300, 300))


def scribble(rng: np.random.Generator) -> np.ndarray:
    """A pen's aimless way."""
    way = np.cumsum(rng.standard_normal((int(rng.integers(12, 60)), 2)), 0)
    way = (way - way.min(0)) / np.ptp(way, 0).max()
    sheet = np.zeros((300, 300), np.uint8)
    points = (50 + 200 * way).astype(np.int32)
    cv2.polylines(sheet, [points], False, 255, int(rng.integers(8, 24)), cv2.LINE_AA)
    return 255 - sheet


def static(rng: np.random.Generator) -> np.ndarray:
    """Blotches: noise, smoothed and cut off."""
    noise = cv2.GaussianBlur(rng.standard_normal((300, 300)), (0, 0), float(rng.uniform(6, 20)))
    y, x = np.mgrid[-1:1:300j, -1:1:300j]
    return np.where((noise > 0) & (x**2 + y**2 < 0.5), 20, 240).astype(np.uint8)


ALONE: dict[str, Callable[..., Scene]] = {
    each.__name__: each for each in (clean, frame, box, strip, lined, squared, shadow, desk)
}
NO_DIGITS: dict[str, Callable[..., np.ndarray]] = {
    each.__name__: each for each in (letter, scribble, static)
}
PENS = (1, 2, 3, 4, 5)  # pixels, a digit being 20 high
KINDS = (*ALONE, *(f"pen of {pen}" for pen in PENS), "row", "form")


def scenes_of(
    kind: str,
    hands: Sequence[tuple[int, np.ndarray | None]],
    style: Style,
    seed: int,
) -> list[Scene]:
    """A scene for each hand: a digit, and its image as in MNIST, or None to draw one."""
    rng = np.random.default_rng(seed)

    def written(hand, size, pen=None):
        digit, image = hand
        if image is None:
            return drawn(rng, digit, size, pen or rng.uniform(2, 3.4))
        return with_pen(image, size, pen) if pen else enlarged(image, size)

    made = []
    for hand in hands:
        size = rng.uniform(*style.size)
        if kind in ("row", "form"):
            five = [hands[n] for n in rng.integers(0, len(hands), 5)]
            digits = [written(one, size * rng.uniform(0.85, 1)) for one in five]
            made.append({"row": row, "form": form}[kind](digits, [d for d, _ in five], rng, style))
        elif kind in ALONE:
            made.append(ALONE[kind](written(hand, size), hand[0], rng, style))
        else:
            made.append(clean(written(hand, size, int(kind[-1])), hand[0], rng, style))
    return made


def three_hands(images: np.ndarray, labels: np.ndarray, seed: int):
    """Each digit in three hands: drawn, and two of MNIST's, chosen at random."""
    rng = np.random.default_rng(seed)
    hands = []
    for digit in range(10):
        hands.append((digit, None))
        two = rng.permutation(np.flatnonzero(labels == digit))[:2]
        hands += [(digit, images[n]) for n in two]
    return hands


def no_digits(seed: int, n: int) -> list[np.ndarray]:
    """Pictures without a digit, of each kind as many."""
    rng = np.random.default_rng(seed)
    makers = [*NO_DIGITS.values()]
    return [makers[k % len(makers)](rng) for k in range(n)]
