"""CSV as Python's `csv` writes it, read as NumPy would, or refused in words."""

import csv
import sys

import numpy as np
import pytest

from jaxnet._util.files import FileError
from jaxnet.data import open_inputs, read_images, read_labels

pytestmark = pytest.mark.compiled

pytest.importorskip("pyarrow")

N = 700  # more than the lines between two places that are kept
CHANCE = np.random.default_rng(0)
PIXELS = (CHANCE.integers(0, 256, (N, 784)) * (CHANCE.random((N, 784)) < 0.2)).astype(np.uint8)
LABELS = CHANCE.integers(0, 10, N).astype(np.uint8)
NAMES = [f"pixel{n}" for n in range(784)]
SQUARES = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]


def write_csv(path, rows, header=None, **options):
    """By Python's own `csv`, which knows nothing of Arrow."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, **options)
        if header:
            writer.writerow(header)
        writer.writerows(rows.tolist() if isinstance(rows, np.ndarray) else rows)


def labeled(pixels=PIXELS, labels=LABELS):
    return np.column_stack([labels, pixels])


@pytest.mark.parametrize(
    ("rows", "header", "options"),
    [
        (labeled(), ["label", *NAMES], {}),
        (np.column_stack([PIXELS, LABELS]), [*NAMES, "label"], {}),
        (np.insert(PIXELS, 300, LABELS, 1), [*NAMES[:300], "label", *NAMES[300:]], {}),
        (labeled(), ["label", *SQUARES], {}),
        (labeled(), ["class", *NAMES], {"lineterminator": "\n"}),
        (labeled(), ["Label", *NAMES], {"quoting": csv.QUOTE_ALL}),
        (labeled(), ["target", *NAMES], {"delimiter": ";"}),
        (labeled(), ["digit", *NAMES], {"delimiter": "\t"}),
        (np.column_stack([np.arange(N), labeled()]), ["", "label", *NAMES], {}),
        (np.column_stack([np.arange(N), labeled()]), ["id", "label", *NAMES], {}),
        (labeled(PIXELS[:, ::-1]), ["label", *NAMES[::-1]], {}),
        (labeled(), None, {}),
        (np.column_stack([PIXELS, LABELS]), None, {}),
        (labeled(PIXELS.astype(float)), ["label", *NAMES], {}),
    ],
)
def test_csv(tmp_path, rows, header, options):
    path = tmp_path / "its name says nothing"
    write_csv(path, rows, header, **options)
    inputs = open_inputs([path])
    assert inputs.n == N
    for start, stop in ((0, N), (0, 1), (255, 257), (256, 512), (300, 301), (N, N), (5, 690)):
        rows = inputs.read(start, stop)
        assert rows.images.dtype == np.uint8
        np.testing.assert_array_equal(rows.images, PIXELS[start:stop])
        assert [*rows.names] == [f"{path}[{n}]" for n in range(start, stop)]
        assert rows.errors == {}
    np.testing.assert_array_equal(read_labels(path), LABELS)
    assert bool(inputs.notes) == (header is None)


@pytest.mark.parametrize("header", [NAMES, None, list(range(784))])
def test_csv_without_labels(tmp_path, header):
    write_csv(tmp_path / "test.csv", PIXELS, header)
    inputs = open_inputs([tmp_path / "test.csv"])
    np.testing.assert_array_equal(inputs.read(0, inputs.n).images, PIXELS)
    assert inputs.notes == ()
    with pytest.raises(FileError, match=r"test\.csv: expected a column called label, "):
        read_labels(tmp_path / "test.csv")


def test_columns_without_names_are_told(tmp_path):
    write_csv(tmp_path / "a.csv", labeled())
    write_csv(tmp_path / "b.csv", np.column_stack([PIXELS, LABELS]))
    for name, where in (("a", "first"), ("b", "last")):
        path = tmp_path / f"{name}.csv"
        assert open_inputs([path]).notes == (
            f"{path}: no header; the {where} of its 785 columns is taken for the labels.",
        )
    by_digit = np.argsort(np.repeat(LABELS, 6), kind="stable")  # more than are looked at at once
    write_csv(tmp_path / "d.csv", np.repeat(labeled(), 6, 0)[by_digit])
    assert "the first of its" in open_inputs([tmp_path / "d.csv"]).notes[0]
    both = np.column_stack([PIXELS, PIXELS[:, 400]])
    write_csv(tmp_path / "c.csv", both)
    with pytest.raises(FileError, match=r"c\.csv: no header, and 785 columns of which neither"):
        open_inputs([tmp_path / "c.csv"])


@pytest.mark.parametrize("scale", [1, 255])
def test_csv_of_fractions(tmp_path, scale):
    values = (PIXELS / 255 * scale).round(4) - (PIXELS > 200) * 0.001 * scale
    write_csv(tmp_path / "a.csv", np.column_stack([LABELS, values]), ["label", *NAMES])
    inputs = open_inputs([tmp_path / "a.csv"])
    assert inputs.floats == str(tmp_path / "a.csv")
    np.testing.assert_allclose(inputs.read(0, N).images, values / scale, atol=1e-6)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.csv"), LABELS)


def test_csv_of_black_and_white(tmp_path):
    """Zeros and ones are black and white, not two shades of black."""
    write_csv(tmp_path / "a.csv", (PIXELS > 99).astype(int), NAMES)
    np.testing.assert_array_equal(read_images(tmp_path / "a.csv").images, PIXELS > 99)


def test_csv_forms(tmp_path):
    """A byte order mark, blank lines, and no line end after the last line."""
    write_csv(file := tmp_path / "a.csv", labeled(), ["label", *NAMES])
    lines = file.read_bytes().split(b"\r\n")
    file.write_bytes(
        b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines[:300]) + b"\n" + b"\n".join(lines[300:-1])
    )
    np.testing.assert_array_equal(read_images(file).images, PIXELS)
    np.testing.assert_array_equal(read_labels(file), LABELS)
    write_csv(file, labeled())
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    np.testing.assert_array_equal(read_images(file).images, PIXELS)


def test_bad_rows_of_csv(tmp_path):
    rows = [*map(list, labeled().tolist())]
    rows[3][5], rows[300][784], rows[301][7] = "x", 256, ""
    rows[302], rows[303], rows[690][9] = rows[302][:-1], [7], -1
    rows[691][9] = "nan"
    write_csv(tmp_path / "a.csv", rows, ["label", *NAMES])
    images, _, errors, _ = open_inputs([tmp_path / "a.csv"]).read(0, N)
    assert {n: says.split(": ", 1)[1] for n, says in errors.items()} == {
        3: "expected a number in column 6; got 'x'.",
        300: "expected integers from 0 to 255; got 0.0 to 256.0.",
        301: "expected a number in column 8; got nothing.",
        302: "expected 785 columns; got 784.",
        303: "expected 785 columns; got 1.",
        690: f"expected integers from 0 to 255; got -1.0 to {max(PIXELS[690])}.0.",
        691: "expected integers from 0 to 255; got nan to nan.",
    }
    good = [n for n in range(N) if n not in errors]
    np.testing.assert_array_equal(images[good], PIXELS[good])
    assert not images[[*errors]].any()
    assert errors[3].startswith(f"{tmp_path}/a.csv[3]: ")
    with pytest.raises(FileError, match=r"a\.csv\[302\]: expected 785 columns; got 784"):
        read_labels(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "image,digit,activation_0,activation_1\na.png,1,0.2,0.8\n",
            "these are answers of jaxnet's",
        ),
        ("name,size\na,1\n", r"expected 784 columns of pixels.*; got 2 \('name', …, 'size'\)"),
        ("1,2,3\n4,5,6\n", r"got 3 \(no header\)"),
        ("ImageId,Label\n1,7\n", "holds labels, but no images"),
        (",".join(f"label{n % 9}" for n in range(900)), "got 900"),
        ("label," + "7" * 100_000, "line of more than 65,536 bytes"),
    ],
)
def test_csv_without_images(tmp_path, text, says):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match=rf"a\.csv: .*{says}"):
        open_inputs([tmp_path / "a.csv"])


def test_labels_alone(tmp_path):
    write_csv(tmp_path / "submission.csv", np.column_stack([np.arange(N), LABELS]), ["Id", "Label"])
    np.savetxt(tmp_path / "labels.txt", LABELS, "%d")
    for name in ("submission.csv", "labels.txt"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS)
    (tmp_path / "bad.csv").write_text("label,x\n1,2\n7.5,2\n")
    with pytest.raises(FileError, match=r"bad\.csv\[1\]: expected a label in column 1; got 7\.5"):
        read_labels(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text("label,x\n1,2\nseven,2\n")
    with pytest.raises(FileError, match=r"bad\.csv\[1\]: expected a number in column 1; got 'sev"):
        read_labels(tmp_path / "bad.csv")


def test_several_files_of_labels(tmp_path):
    for n in range(3):
        write_csv(tmp_path / f"{n}.csv", labeled()[n * 200 : n * 200 + 200], ["label", *NAMES])
    np.testing.assert_array_equal(read_labels(tmp_path / "*.csv"), LABELS[:600])
    np.testing.assert_array_equal(read_images(tmp_path / "*.csv").images, PIXELS[:600])


def test_missing_pyarrow(tmp_path, monkeypatch):
    write_csv(tmp_path / "a.csv", PIXELS[:3], NAMES)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxnet-digits\[parquet\]'"):
        open_inputs([tmp_path / "a.csv"])


@pytest.mark.parametrize("at", [0, 784])
@pytest.mark.parametrize("form", ["%.18e", "%g", "%d"])
def test_numpy_savetxt(tmp_path, form, at):
    """Labels and pixels in one array, saved as NumPy does, with labels first or last."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 784)), rng.integers(0, 10, 120)
    path = tmp_path / "digits.csv"
    np.savetxt(path, np.insert(images, at, labels, axis=1), form, delimiter=",")
    np.testing.assert_array_equal(read_images(path).images, images)
    np.testing.assert_array_equal(read_labels(path), labels)
