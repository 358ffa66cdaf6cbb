"""Answers as text: what is written is what was read, or the file is left as it was."""

import csv
import json

import numpy as np
import pytest

from jaxnet import Answers
from jaxnet.files import FileError
from jaxnet.formats.answers import json_lines, write_answers


@pytest.fixture
def answers():
    activations = np.random.default_rng(0).random((3, 10)).astype(np.float32)
    return Answers(activations.argmax(1), activations)


NAMES = ["a.png", 'quotes " and, commas\nand lines', "größe ✓.png"]


def test_json_lines(answers):
    rows = [json.loads(line) for line in json_lines(answers, NAMES, np.array([1, 2, 3]))]
    assert [row["image"] for row in rows] == NAMES
    assert [row["label"] for row in rows] == [1, 2, 3]
    np.testing.assert_array_equal([row["activations"] for row in rows], answers.activations)
    assert all(line.count("\n") == 1 for line in json_lines(answers, NAMES))


def test_csv_keeps_every_bit_and_every_name(answers, tmp_path):
    write_answers(tmp_path / "out.csv", answers, NAMES)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == NAMES
    assert [int(row["digit"]) for row in rows] == answers.digits.tolist()
    got = np.array([[row[f"activation_{n}"] for n in range(10)] for row in rows], np.float32)
    np.testing.assert_array_equal(got, answers.activations)


def test_names_and_answers_must_match(answers, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(ValueError, match="zip"):
        write_answers(tmp_path / "out.jsonl", answers, NAMES[:2])
    assert (tmp_path / "out.jsonl").read_text() == "precious"


@pytest.mark.parametrize("name", ["out", "out.txt", "out.json", ".csv"])
def test_other_endings_are_refused(answers, tmp_path, name):
    with pytest.raises(FileError, match=r"\.csv or \.jsonl"):
        write_answers(tmp_path / name, answers, NAMES)
    assert list(tmp_path.iterdir()) == []
