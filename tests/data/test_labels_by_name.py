"""Labels with the names of their pictures: paired by name, whatever the order of either."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import open_inputs
from jaxnet.data._load import labels_of, read_labeled
from tests.subprocesses import run

# Sorted as text: 0, 10, 11, 2, 3, 9.
NUMBERS = (0, 10, 11, 2, 3, 9)
LABELS = {0: 4, 2: 1, 3: 9, 9: 0, 10: 7, 11: 1}
ORDERS = {
    "by number": sorted(LABELS),
    "as sorted": NUMBERS,
    "shuffled": (9, 0, 11, 3, 10, 2),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures of 28×28, named by numbers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for number in NUMBERS:
        pixels = np.zeros((28, 28), np.uint8)
        pixels[10:20, 14] = 255
        Image.fromarray(pixels).save(tmp_path / "own" / f"{number}.png")
    return tmp_path


def table(path, lines, *, header="filename,label", end="\n"):
    path.write_text(end.join([header] * bool(header) + [*lines]) + end, encoding="utf-8")
    return str(path)


def assert_paired(labels, inputs=("own",)):
    opened = open_inputs(inputs)
    found, noted = labels_of(opened, labels)
    names = opened.read(0, opened.n).names
    assert found.tolist() == [LABELS[int(Path(name).stem)] for name in names]
    assert noted.notes == opened.notes


WAYS = {
    "names": ("filename,label", "{0}.png,{1}"),
    "labels first": ("label,file", "{1},{0}.png"),
    "folders": ("path,label", "some/where/own/{0}.png,{1}"),
    "backslashes": ("path,label", "C:\\own\\{0}.png,{1}"),
    "no ending": ("id,class", "{0},{1}"),
    "another ending": ("image,digit", "{0}.jpg,{1}"),
    "leading zeros": ("id,label", "{0:05d},{1}"),
    "semicolons": ("filename;label", "{0}.png;{1}"),
    "quotes": ("filename,label", '"{0}.png","{1}"'),
    "a comma in another column": ("note,filename,label", '"so, so",{0}.png,{1}'),
    "other numbers": ("writer,filename,label,page", "{1},{0}.png,{1},3"),
    "no header": ("", "{0}.png,{1}"),
    "no header, labels first": ("", "{1},{0}.png"),
    "a mark at the beginning": ("\ufefffilename,label", "{0}.png,{1}"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("header", "line"), WAYS.values(), ids=WAYS)
def test_by_name(folder, order, header, line):
    lines = [line.format(number, LABELS[number]) for number in ORDERS[order]]
    assert_paired(table(folder / "labels.csv", lines, header=header))
    assert_paired(table(folder / "labels.csv", lines, header=header, end="\r\n"))


@pytest.mark.parametrize("inputs", [["own/*.png"], ["own/9.png", "own/2.png", "own/10.png"]])
def test_other_inputs(folder, inputs):
    wanted = [name for name in NUMBERS if len(inputs) == 1 or f"own/{name}.png" in inputs]
    assert_paired(table(folder / "l.csv", [f"{n}.png,{LABELS[n]}" for n in wanted]), inputs)


def test_parquet(folder):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for names in ([f"{n}.png" for n in LABELS], list(LABELS)):
        parquet.write_table(
            pa.table({"page": [1] * len(LABELS), "name": names, "label": [*LABELS.values()]}),
            folder / "labels.parquet",
        )
        assert_paired("labels.parquet")


def test_same_names_in_several_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for at, name in enumerate(("train", "test")):
        (tmp_path / name).mkdir()
        for k in range(3):
            pixels = np.full((28, 28), 10 * at + k, np.uint8)
            pixels[10:20, 14] = 255
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
    lines = [
        f"{name}/{k}.png,{k + 3 * at}"
        for at, name in ((1, "test"), (0, "train"))
        for k in (2, 0, 1)
    ]
    path = table(tmp_path / "labels.csv", lines)
    opened = open_inputs(["train", "test"])
    assert labels_of(opened, path)[0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[1:], "has no labels for some pictures: 1, such as own/0.png"),
        (lambda lines: [*lines, "12.png,3"], "some pictures that are not here: 1, such as 12.png"),
        (lambda lines: [*lines, "9.png,1"], "some pictures more than once: 1, such as 9.png"),
        (
            lambda lines: [f"scan_{line}" for line in lines],
            "names pictures, such as scan_0.png, but none of those here",
        ),
    ],
)
def test_names_that_do_not_fit(folder, change, says):
    lines = change([f"{number}.png,{label}" for number, label in sorted(LABELS.items())])
    path = table(folder / "labels.csv", lines)
    with pytest.raises(FileError, match=f"labels.csv: .*{says}"):
        labels_of(open_inputs(["own"]), path)


@pytest.mark.parametrize("header", ["label", "text,label"])
def test_without_names_the_order_is_said(folder, header):
    text = "so," * header.count(",")
    path = table(folder / "labels.csv", [f"{text}{k}" for k in range(6)], header=header)
    labels, noted = labels_of(open_inputs(["own"]), path)
    assert labels.tolist() == [0, 1, 2, 3, 4, 5]
    says = "names no pictures; its labels are taken for those of 0.png, 10.png, 11.png, 2.png, …"
    assert noted.notes == (f"{path}: {says} in this order.",)


def test_labels_of_a_folder_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for digit in (7, 1):
        (tmp_path / "own" / str(digit)).mkdir(parents=True)
        Image.new("L", (28, 28), digit).save(tmp_path / "own" / str(digit) / "scan.png")
    for inputs in (["own"], ["own/7", "own/1"]):
        opened = open_inputs(inputs)
        labels, noted = labels_of(opened, "own")
        assert labels.tolist() == ([1, 7] if inputs == ["own"] else [7, 1])
        assert not noted.notes


def test_images_without_names(folder):
    np.save("many.npy", np.zeros((6, 784), np.uint8))
    path = table(folder / "labels.csv", [f"{n}.png,{label}" for n, label in LABELS.items()])
    labels, noted = labels_of(open_inputs(["many.npy"]), path)
    assert labels.tolist() == [*LABELS.values()]
    assert not noted.notes


def test_many_names_are_paired_quickly(tmp_path):
    """A dictionary per way of writing names, not a search per name."""
    from jaxnet.data._labels import by_name

    order = np.random.default_rng(0).permutation(60_000)
    names, column = [f"own/{n}.png" for n in range(60_000)], [f"{n}.png" for n in order]
    labels = (order % 10).astype(np.uint8)
    paired = by_name(labels, [column], names, "labels.csv")
    np.testing.assert_array_equal(paired, np.arange(60_000) % 10)


@pytest.mark.compiled
def test_commands(folder, tmp_path):
    """`classify`, `draw`, `probe` and `train` take the labels by name, or say their order."""
    drawn = {k: jaxnet.data.synthetic.draw(jax.random.key(k), k) for k in range(10)}
    (tmp_path / "digits").mkdir()
    for k, image in drawn.items():
        pixels = np.asarray(255 * image).astype(np.uint8).reshape(28, 28)
        Image.fromarray(pixels).save(tmp_path / "digits" / f"{9 - k}x.png")
    lines = [f"{9 - k}x.png,{k}" for k in (3, 1, 4, 5, 9, 2, 6, 0, 8, 7)]
    table(tmp_path / "labels.csv", lines)
    told = run("classify", "digits", "--labels", "labels.csv", "--json", cwd=tmp_path)
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    _, labels, notes = read_labeled("digits", "labels.csv")
    assert labels.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert not notes
    table(tmp_path / "plain.csv", map(str, range(10)), header="label")
    for command in (
        ["classify", "digits", "--labels", "plain.csv"],
        ["draw", "misclassified", "digits", "--labels", "plain.csv", "--output", "a.png"],
        ["train", "digits", "plain.csv", "--epochs", "1", "--batch-size", "2"],
    ):
        told = run(*command, cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        assert "names no pictures; its labels are taken for those of 0x.png" in told.stderr
