"""`classify_files`, the library's door to what the command does."""

import csv
import json

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet import FileError
from jaxnet.batch import Tally, classify_files
from tests.oracles import N_IN_FILE as N
from tests.oracles import file_of_many
from tests.subprocesses import run

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return file_of_many(tmp_path_factory.mktemp("many"))


def test_same_bytes_as_the_command(many, tmp_path):
    assert classify_files(many, output=tmp_path / "ours.csv") == Tally(N)
    assert run("classify", many, "--output", tmp_path / "theirs.csv").returncode == 0
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_shards_of_another_network(many, tmp_path, params):
    options = {"squash": "relu", "format": ".csv", "shard_size": 25_000, "brightest": True}
    output = tmp_path / "out"
    assert classify_files([many], params, output=output, **options).rows == N
    with pytest.raises(FileError, match=r"holds answers already; .* resume=True"):
        classify_files([many], params, output=output, **options)
    assert classify_files([many], params, output=output, resume=True, **options).rows == N
    rows = [
        row
        for part in sorted(output.glob("*.csv"))
        for row in csv.DictReader(part.read_text().splitlines())
    ]
    expected = jaxnet.classify(params, np.load(many), squash=jaxnet.network.SQUASHES["relu"])
    assert [int(row["digit"]) for row in rows] == expected.digits.tolist()


def test_labels_and_bad_images(tmp_path):
    images = np.zeros((4, 784), np.float32)
    images[2] = 7
    np.save(tmp_path / "images.npy", images)
    (digit,) = set(jaxnet.classify(jaxnet.pretrained(), images[:1]).digits.tolist())
    known = np.array([digit, digit, digit, digit + 1])
    call = {"output": tmp_path / "answers.jsonl", "labels": known}
    with pytest.raises(FileError, match=r"images.npy\[2\]: expected floats from 0 to 1"):
        classify_files(tmp_path / "images.npy", **call)
    assert classify_files(tmp_path / "images.npy", on_error="skip", **call) == Tally(4, 1, 2)


def test_labels_beside_the_images(tmp_path):
    """One path holds both, as it lies in the file or transposed."""
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 200)
    images = (255 * np.asarray(images)).astype(np.uint8)
    for name, stored in (("a", images), ("b", jaxnet.data.transpose(images))):
        np.savez(tmp_path / f"{name}.npz", x_test=stored, y_test=labels, x_train=stored)
    paths = [tmp_path / f"{name}.npz" for name in "ab"]
    tallies = [
        classify_files(path, output=tmp_path / f"{n}.csv", labels=path, transposed=n > 0)
        for n, path in enumerate(paths)
    ]
    assert tallies[0] == tallies[1]
    assert tallies[0].rows == 200
    assert tallies[0].right > 180
    rows = [
        (tmp_path / f"{n}.csv").read_text().replace("b.npz#test[", "a.npz#test[") for n in (0, 1)
    ]
    assert rows[0] == rows[1]
    assert "a.npz#test[0]" in rows[0]


def test_labels_by_folder(tmp_path):
    for n in range(12):
        page = np.full((40, 30), 255, np.uint8)
        page[5:35, 12 : 14 + n % 3] = 0
        folder = tmp_path / "own" / "deep" / f"{n % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(page).save(folder / f"{n:02}.png")
    call = {"output": tmp_path / "a.jsonl", "labels": tmp_path / "own", "overwrite": True}
    with pytest.raises(FileError, match="no pictures in this folder"):
        classify_files(tmp_path / "own", **call)
    assert classify_files(tmp_path / "own", recursive=True, **call) == Tally(12, 0, 6)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == [0] * 6 + [1] * 6


@pytest.mark.parametrize(("outputs", "top"), [(10, 10), (26, 26), (1, 2), (200, 150)])
def test_labels_beyond_the_network(tmp_path, outputs, top):
    """As many as it has outputs, not ten: letters have 26."""
    params = jaxnet.init(jax.random.key(0), (784, outputs))
    np.save(tmp_path / "a.npy", np.zeros((2, 784), np.uint8))
    call = {"output": tmp_path / "a.csv", "labels": np.array([0, top])}
    with pytest.raises(FileError, match=f"labels: labels up to {top}[,;]"):
        classify_files(tmp_path / "a.npy", params, **call)
    call["labels"] = np.array([0, min(top - 1, 127)])
    assert classify_files(tmp_path / "a.npy", params, **call).rows == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": "answers.xyz"}, r"written as \.csv"),
        ({"output": "out", "format": ".xyz"}, r"written as \.csv"),
        ({"output": "a.csv", "resume": True}, "resume: only a folder of shards can be resumed"),
        ({"output": "out", "shard_size": 0}, "shard_size: expected at least 1 row"),
        ({"output": "a.csv", "on_error": "ignore"}, "on_error: expected one of stop, skip"),
        ({"output": "a.csv", "precision": "int4"}, "precision: expected one of float32"),
        (
            {"output": "a.csv", "precision": "int8"},
            r"precision: int8 needs uint8; .*a\.npy is read as floats",
        ),
        ({"output": "a.csv", "labels": np.zeros(3, int)}, "labels: 3 labels for 2 images"),
        ({"output": "a.npy"}, "this is one of the inputs"),
    ],
)
def test_bad_options(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.zeros((2, 784), np.float32))
    with pytest.raises(ValueError, match=says):
        classify_files("a.npy", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
