"""The commands with data sets as people have them: one path for images and labels."""

import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.data import write_idx
from tests.subprocesses import refused, run

pytestmark = pytest.mark.compiled

N = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn digits in every form."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    folder = tmp_path_factory.mktemp("sets")
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), N)
    pixels = (255 * np.asarray(images)).astype(np.uint8)
    labels = np.asarray(labels)
    square = pixels.reshape(-1, 28, 28)
    rows = np.column_stack([labels, pixels])
    names = ",".join(["label", *(f"pixel{n}" for n in range(784))])
    np.savetxt(folder / "train.csv", rows, "%d", ",", header=names, comments="")
    np.savetxt(folder / "plain.csv", rows, "%d", ",")
    np.savez(folder / "own.npz", x_train=square, y_train=labels, x_test=square, y_test=labels)
    column = [{"bytes": row.tobytes(), "path": None} for row in pixels]
    parquet.write_table(pa.table({"image": column, "label": labels}), folder / "a.parquet")
    table = np.zeros((N, 8), np.int32)
    table[:, 0] = labels
    write_idx(folder / "images.gz", square)
    write_idx(folder / "labels-idx2-int.gz", table)
    write_idx(folder / "emnist.gz", square.swapaxes(1, 2))
    np.save(folder / "letters.npy", labels + 16)
    for n, (image, label) in enumerate(zip(square[:40], labels, strict=False)):
        place = folder / "scans" / f"{label}"
        place.mkdir(parents=True, exist_ok=True)
        big = Image.fromarray(255 - image).resize((140, 140), Image.Resampling.BICUBIC)
        big.save(place / f"{n:02}.png")
    (folder / "scans" / "notes.txt").touch()
    return folder


SETS = [
    ("train.csv", "train.csv"),
    ("plain.csv", "plain.csv"),
    ("own.npz", "own.npz"),
    ("own.npz#train", "own.npz#train"),
    ("a.parquet", "a.parquet"),
    ("images.gz", "labels-idx2-int.gz"),
    ("images.gz", "own.npz"),
    ("scans", "scans"),
    ("scans/*/*.png", "scans/*/*.png"),
]


@pytest.mark.parametrize(("images", "labels"), SETS)
def test_classify(folder, images, labels):
    process = run("classify", images, "--labels", labels, cwd=folder)
    assert process.returncode == 0, process.stderr
    assert float(re.search(r"correct +(\d+\.\d\d) %", process.stdout)[1]) > 90
    assert "transposed" not in process.stdout
    expected = {
        "plain.csv": "plain.csv: no header; the first of its 785 columns is taken for the "
        "labels.\n",
        "scans": "scans: passed over 1 file of other kinds (1 .txt).\n",
    }
    assert process.stderr == expected.get(images, "")


@pytest.mark.parametrize(("images", "labels"), SETS[:6])
def test_classify_writes_labels(folder, tmp_path, images, labels):
    output = tmp_path / "answers.jsonl"
    options = ["--labels", labels, "--output", output, "--quiet"]
    process = run("classify", images, *options, cwd=folder)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["label"] for line in lines] == list(jaxnet.data.read_labels(folder / labels))


def test_hint_about_transposed_images(folder):
    options = ["--labels", "labels-idx2-int.gz"]
    said = run("classify", "emnist.gz", *options, cwd=folder).stdout
    assert re.search(r"stored as EMNIST's are\? With --transposed, about (9\d|100)% would", said)
    said = run("classify", "emnist.gz", *options, "--transposed", cwd=folder).stdout
    assert float(re.search(r"correct +(\d+\.\d\d) %", said)[1]) > 90
    assert "EMNIST" not in said
    said = run("classify", "images.gz", *options, "--transposed", cwd=folder).stdout
    assert re.search(r"\nWithout --transposed, about (9\d|100)% would be right", said)
    # Labels of other images do not fit either way.
    np.save(folder / "others.npy", np.roll(jaxnet.data.read_labels(folder / options[1]), 1))
    said = run("classify", "images.gz", "--labels", "others.npy", cwd=folder).stdout
    assert "correct" in said
    assert "transposed" not in said


def test_subfolders(folder, tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for name in ("top.png", "deep/one.png", "deep/deeper/two.png"):
        picture = next((folder / "scans").rglob("*.png"))
        (tmp_path / name).write_bytes(picture.read_bytes())
    process = run("classify", ".", "--json", cwd=tmp_path)
    assert len(process.stdout.splitlines()) == 1
    process = run("classify", ".", cwd=tmp_path)
    assert process.stderr == ".: passed over 1 folder (--recursive goes into them).\n"
    process = run("classify", ".", "--recursive", "--json", cwd=tmp_path)
    names = [json.loads(line)["image"] for line in process.stdout.splitlines()]
    assert names == ["deep/deeper/two.png", "deep/one.png", "top.png"]
    assert process.stderr == ""


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (["train.csv"], "300 images of train.csv"),
        (
            ["plain.csv"],
            "300 images of plain.csv (no header; the first of its 785 columns is taken",
        ),
        (["own.npz"], "300 images of own.npz"),
        (["a.parquet"], "300 images of a.parquet"),
        (["scans"], "40 images of scans (passed over 1 file of other kinds (1 .txt))"),
        (["images.gz", "train.csv"], "300 images of images.gz"),
        (["t10k-images-idx3-ubyte.gz", "train.csv"], "ubyte.gz, which are not MNIST's"),
        (["letters.npz", "--sizes", "784-16-26"], "300 images of letters.npz"),
    ],
)
def test_train(folder, tmp_path, data, told):
    images = jaxnet.data.read_images(folder / "images.gz").images
    np.savez(folder / "letters.npz", images=images, labels=np.load(folder / "letters.npy"))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes((folder / "images.gz").read_bytes())
    output = tmp_path / "a.safetensors"
    options = ["--epochs", "1", "--batch-size", "20", "--output", output]
    with jax.numpy_dtype_promotion("standard"):
        process = run("train", *data, *options, cwd=folder)
    assert process.returncode == 0, process.stderr
    assert f"{told}" in process.stderr.splitlines()[0]
    assert told in json.loads(output.with_suffix(".json").read_text())["trained on"]


def test_train_on_transposed_images(folder, tmp_path):
    """They are the same images, whichever way they are stored."""
    options = ["--epochs", "1", "--batch-size", "20", "--quiet"]
    for data, name in ((["images.gz"], "a"), (["emnist.gz", "--transposed"], "b")):
        output = ["--output", tmp_path / f"{name}.safetensors"]
        with jax.numpy_dtype_promotion("standard"):
            run("train", *data, "train.csv", *options, *output, cwd=folder)
    networks = [jaxnet.load(tmp_path / f"{name}.safetensors")[0] for name in "ab"]
    np.testing.assert_array_equal(networks[0][0].weights, networks[1][0].weights)


def test_train_on_mnist_by_any_name(mnist, tmp_path):
    images, labels = mnist["train"]
    np.savez(tmp_path / "digits.npz", x_train=images, y_train=labels)
    *_, described = jaxnet.runs.load_data([str(tmp_path / "digits.npz")])
    assert described == "MNIST's training images"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["classify", "images.gz", "--labels", "letters.npy"], "up to 25, but the network has 10"),
        (["classify", "images.gz", "--labels", "scans"], "scans: 40 labels for 300 images"),
        (["classify", "scans/*.txt"], "this is empty"),
        (["classify", "images.gz", "--labels", "-"], "-: labels are not read from standard input"),
        (
            ["classify", "own.npz#valid"],
            "no part of this file is called 'valid'; it has #train, #t",
        ),
        (["classify", "train.csv#a"], "no file is called train.csv#a, and this has no parts"),
        (["classify", "--recursive"], "--recursive: needs input images"),
        (["classify", "--transposed"], "--transposed: needs input images"),
        (["train", "images.gz"], "images.gz: expected labels, integers"),
        (["train", "images.gz", "letters.npy"], "--sizes: expected at least 26 neurons"),
        (["train", "--recursive"], "--recursive: is for images in files"),
    ],
)
def test_mistakes(folder, tmp_path, arguments, says):
    output = ["--output", tmp_path / "a.safetensors"] if arguments[0] == "train" else []
    assert says in refused(run(*arguments, *output, cwd=folder))


def test_answers_are_no_images(folder, tmp_path):
    for ending in ("csv", "parquet", "npy"):
        output = tmp_path / f"answers.{ending}"
        run("classify", "images.gz", "--output", output, cwd=folder)
        if ending != "npy":  # but another network's answers may be compared with these
            process = run("classify", "images.gz", "--labels", output, cwd=folder)
            assert "100.00 %" in process.stdout
        said = refused(run("classify", output, cwd=folder))
        assert said.endswith(f"answers.{ending}: these are answers of jaxnet's, not images.\n")
