"""Answers as text: what is written is what was read, or the file is left as it was."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet
import pytest

from jaxnet import Answers
from jaxnet._util.files import FileError
from jaxnet.batch._tables import ENDINGS, WRITERS, Table, json_lines, write_answers
from jaxnet.data._rows import Numbered


@pytest.fixture
def answers():
    activations = np.random.default_rng(0).random((3, 10)).astype(np.float32)
    return Answers(activations.argmax(1), activations)


NAMES = ["a.png", 'quotes " and, commas\nand lines', "größe ✓.png"]


def test_json_lines(answers):
    rows = [json.loads(line) for line in json_lines(Table(answers, NAMES, np.array([1, 2, 3])))]
    assert [row["image"] for row in rows] == NAMES
    assert [row["label"] for row in rows] == [1, 2, 3]
    got = np.array([row["activations"] for row in rows], np.float32)
    np.testing.assert_array_equal(got, answers.activations)
    assert all(line.count("\n") == 1 for line in json_lines(Table(answers, NAMES)))


def test_csv_round_trip(answers, tmp_path):
    write_answers(tmp_path / "out.csv", Table(answers, NAMES))
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == NAMES
    assert [int(row["digit"]) for row in rows] == answers.digits.tolist()
    got = np.array([[row[f"activation_{n}"] for n in range(10)] for row in rows], np.float32)
    np.testing.assert_array_equal(got, answers.activations)


def test_mismatched_names(answers, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(ValueError, match="zip"):
        write_answers(tmp_path / "out.jsonl", Table(answers, NAMES[:2]))
    assert (tmp_path / "out.jsonl").read_text() == "precious"


@pytest.mark.parametrize("name", ["out", "out.txt", "out.json", ".csv"])
def test_unknown_ending(answers, tmp_path, name):
    with pytest.raises(FileError, match=r"\.csv, \.jsonl, \.parquet or \.npy"):
        write_answers(tmp_path / name, Table(answers, NAMES))
    assert list(tmp_path.iterdir()) == []


def read_back(file, ending):
    """Digits, activations, labels and errors, as other programs read them."""
    file.seek(0)
    match ending:
        case ".npy":
            rows = np.load(file)
            names = rows.dtype.names
            good = rows["digit"] >= 0
            digits = [int(d) if ok else None for d, ok in zip(rows["digit"], good, strict=True)]
            a = [x.tolist() if ok else None for x, ok in zip(rows[names[1]], good, strict=True)]
            return digits, a, rows["label"].tolist() if "label" in names else None
        case ".parquet":
            rows = pyarrow.parquet.read_table(file).to_pydict()
        case ".jsonl":
            lines = [json.loads(line) for line in file.read().splitlines()]
            rows = {key: [line[key] for line in lines] for key in lines[0]}
        case ".csv":
            lines = [*csv.DictReader(io.StringIO(file.read().decode(), newline=""))]
            keys = [key for key in lines[0] if key.startswith("activation")]
            of = [[float(line[key]) for key in keys] if line["digit"] else None for line in lines]
            rows = {
                "digit": [int(line["digit"]) if line["digit"] else None for line in lines],
                keys[0]: [a and a[0] for a in of] if len(keys) == 1 else of,
                **(
                    {"label": [int(line["label"]) for line in lines]} if "label" in lines[0] else {}
                ),
            }
            rows = {key if key != "activation_0" else "activations": v for key, v in rows.items()}
    a = rows["activation"] if "activation" in rows else rows["activations"]
    return rows["digit"], a, rows.get("label")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("brightest", [False, True])
@pytest.mark.parametrize("labels", [None, np.array([1, 2, 3])])
@pytest.mark.parametrize("errors", [None, {}, {1: 'b.png: why, in "words"'}])
def test_consecutive_tables_in_every_format(answers, ending, brightest, labels, errors):
    if brightest:
        answers = answers._replace(activations=answers.activations.max(1))
    file, table = io.BytesIO(), Table(answers, NAMES, labels, errors)
    with WRITERS[ending](file, 6, table) as write:
        write(table)
        write(table)
    digits, activations, known = read_back(file, ending)
    bad = errors or {}
    expected = [None if n in bad else d for n, d in enumerate(answers.digits.tolist())]
    assert digits == 2 * expected
    a = [None if n in bad else a for n, a in enumerate(answers.activations.tolist())]
    assert [a if a is None else np.float32(a).tolist() for a in activations] == 2 * a
    assert known == (None if labels is None else 2 * labels.tolist())
    if bad and ending != ".npy":
        file.seek(0)
        content = file.read()
        if ending == ".parquet":
            content = str(pyarrow.parquet.read_table(file).column("error").to_pylist()).encode()
        assert content.count(b"b.png") == 2


def test_numbered_names(answers):
    """Names that are quoted once for all, held against each quoted by itself."""
    file = 'half \udcff, "größe"\n#[5]'
    names = Numbered(file, range(7, 10))
    assert [*names] == [f"{file}[{n}]" for n in (7, 8, 9)] == [names[n] for n in range(3)]
    assert [*names[1:]] == [*names][1:]
    errors = {1: f"{names[1]}: why."}
    assert [*names[::2]] == [*names][::2]
    for ending in ENDINGS:
        written = [io.BytesIO(), io.BytesIO()]
        for content, called in zip(written, (names, [*names]), strict=True):
            with WRITERS[ending](content, 3, Table(answers, called, None, errors)) as write:
                write(Table(answers, called, None, errors))
        assert written[0].getvalue() == written[1].getvalue()
    table = Table(answers, names, None, errors)
    with WRITERS[".parquet"](file := io.BytesIO(), 3, table) as write:
        write(table)
    rows = pyarrow.parquet.read_table(file).to_pydict()
    assert rows["image"] == [name.replace("\udcff", "\\udcff") for name in names]
    assert rows["error"][1] == f"{rows['image'][1]}: why."


def test_csv_against_python_csv(answers):
    names = ["a, b", 'say "a"', "\n", "ü", " ", "'"]
    a = np.ones((6, 2), np.float32)
    table = Table(Answers(np.arange(6), a), names, None, {5: 'why, in "words"'})
    file, expected = io.BytesIO(), io.StringIO(newline="")
    with WRITERS[".csv"](file, 6, table) as write:
        write(table)
    rows = [[name, n, 1, 1, ""] for n, name in enumerate(names[:5])]
    head = ["image", "digit", "activation_0", "activation_1", "error"]
    csv.writer(expected).writerows([head, *rows, ["'", "", "", "", 'why, in "words"']])
    assert file.getvalue().decode() == expected.getvalue()


def test_csv_holds_no_formulas(answers):
    """A spreadsheet runs a cell that begins so; an apostrophe in front makes it text."""
    names = ["=1+1", "+1", "-1.png", "@a", "\t=1", "\r=1"]
    errors = {0: '=cmd|" /C calc"!A0'}
    table = Table(Answers(np.arange(6), -np.ones((6, 2), np.float32)), names, None, errors)
    with WRITERS[".csv"](file := io.BytesIO(), 6, table) as write:
        write(table)
    _, *rows = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert [row[0] for row in rows] == [f"'{name}" for name in names]
    assert rows[0][-1] == f"'{errors[0]}"
    assert rows[1][1:] == ["1", "-1", "-1", ""]  # numbers are numbers


def test_json_without_nan(answers):
    table = Table(answers._replace(activations=np.full((3, 10), np.nan)), NAMES)
    with pytest.raises(ValueError, match="JSON cannot hold an activation"):
        [*json_lines(table)]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_rows(answers, ending):
    none = Table(Answers(*(part[:0] for part in answers)), [])
    file = io.BytesIO()
    with WRITERS[ending](file, 0, none) as write:
        write(none)
    file.seek(0)
    if ending == ".npy":
        assert np.load(file).shape == (0,)
    elif ending == ".parquet":
        table = pyarrow.parquet.read_table(file)
        assert table.num_rows == 0
        assert table.column_names == ["image", "digit", "activations"]
    else:
        assert len(file.read().splitlines()) == (ending == ".csv")
