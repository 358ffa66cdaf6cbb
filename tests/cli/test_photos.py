"""`jaxnet classify` on photos and forms: several digits, their places, and doubt."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jaxnet
from jaxnet.cli import app
from tests import scenes
from tests.oracles import matrix_form

pytestmark = pytest.mark.compiled

FIVE = (3, 0, 8, 2, 5)
BOX = ("left", "top", "right", "bottom")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A form with five digits, a photo of one, a scribble, and two digits that touch."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    drawn = [scenes.drawn(rng, digit, 200, 2.6) for digit in FIVE]
    form = scenes.form(drawn, FIVE, rng, scenes.DEVELOPED)
    Image.fromarray(form.picture).save("a form.png")
    Image.fromarray(scenes.desk(drawn[0], 3, rng, scenes.DEVELOPED).picture).save("b photo.jpg")
    Image.fromarray(scenes.scribble(np.random.default_rng(3))).save("c scribble.png")
    page = np.full((200, 400), 240, np.uint8)
    page[50:150, 60:70] = page[50:150, 230:240] = page[50:150, 330:340] = 10
    page[95:105, 60:240] = 10
    Image.fromarray(page).save("d touching.png")
    return form


@pytest.fixture
def classify(capsys):
    def call(*arguments):
        app(["classify", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_lines(photos, classify):
    said = classify("a form.png", "d touching.png")
    assert "a form.png\n3 0 8 2 5\n" in said
    assert "d touching.png\n? 1\n" in said
    assert "?: digits that touch, or another mark" in said


def test_cards_of_single_digits(photos, classify):
    said = classify("b photo.jpg", "c scribble.png")
    assert "→ 3 " in said
    assert "?" in said.split("c scribble.png")[1].splitlines()[0]


def test_many_pictures(photos, classify, tmp_path):
    for n in range(25):
        Image.open("a form.png").save(tmp_path / f"e{n}.png")
    said = classify(tmp_path)
    assert said.count("  3 0 8 2 5\n") == 26
    assert "images  29" in said
    assert "digits  134" in said
    assert "unsure  2" in said


def test_csv(photos, classify):
    classify(".", "--output", "answers.csv")
    with open("answers.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["digit"] for row in rows] == [*map(str, FIVE), "3", rows[6]["digit"], "", "1"]
    assert [row["unsure"] for row in rows] == ["false"] * 6 + ["true", "true", "false"]
    boxes = np.array([[int(row[edge]) for edge in BOX] for row in rows[:5]])
    assert abs(boxes - np.array(photos.boxes)).max() < 25
    found = jaxnet.data.open_inputs(["[a-d] *"], several=True).read(0, 4).images
    expected = matrix_form(jaxnet.pretrained(), found)[-1]
    given = [[float(row[f"activation_{digit}"]) for digit in range(10)] for row in rows]
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_every_format_says_the_same(photos, classify):
    for ending in ("csv", "jsonl", "parquet", "npy"):
        classify(".", "--output", f"answers.{ending}", "--brightest")
    with open("answers.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    lines = [*map(json.loads, Path("answers.jsonl").read_text().splitlines())]
    table = pq.read_table("answers.parquet").to_pylist()
    array = np.load("answers.npy")
    assert array["picture"].tolist() == [0] * 5 + [1, 2, 3, 3]
    assert len(rows) == len(lines) == len(table) == len(array) == 9
    for row, line, record, values in zip(rows, lines, table, array, strict=True):
        box = [int(row[edge]) for edge in BOX]
        assert line["image"] == record["image"] == row["image"]
        assert line["box"] == record["box"] == values["box"].tolist() == box
        digit = int(row["digit"]) if row["digit"] else None
        assert line["digit"] == record["digit"] == digit
        assert values["digit"] == (-1 if digit is None else digit)
        assert line["unsure"] == record["unsure"] == bool(values["unsure"])
        assert row["unsure"] == str(line["unsure"]).lower()
        assert np.float32(row["activation"]) == np.float32(line["activation"])
        assert abs(record["confidence"] - float(row["confidence"])) < 6e-4


def test_one(photos, classify):
    with pytest.raises(ValueError, match=r"a form\.png: expected one digit; 5 are drawn here"):
        classify("a form.png", "--one")
    assert "→ 3 " in classify("b photo.jpg", "--one")


def test_labels_are_of_pictures(photos, classify):
    np.save("labels.npy", np.array([3, 7]))
    said = classify("b photo.jpg", "c scribble.png", "--labels", "labels.npy")
    assert "→ 3  ✓" in said


def test_shards_of_pictures(photos, classify):
    """A shard has the rows of so many pictures; a resumed job gives the same bytes."""
    classify(".", "--output", "once/", "--shard-size", 2, "--format", "csv")
    names = sorted(path.name for path in Path("once").iterdir())
    assert names == ["manifest.json", "part-00000.csv", "part-00001.csv"]
    before = [Path("once", name).read_bytes() for name in names]
    Path("once/part-00001.csv").unlink()
    classify(".", "--output", "once/", "--shard-size", 2, "--format", "csv", "--resume")
    assert [Path("once", name).read_bytes() for name in names] == before
