"""The command line as people use it: real processes, real files, and their mistakes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.data import write_idx
from jaxnet.formats._files import TRAINED
from tests.subprocesses import refused, run, run_alone, run_in_terminal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty drawn digits as IDX files, the first three of them as pictures too."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 40)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(folder / "images.gz", images)
    write_idx(folder / "labels.gz", np.asarray(labels).astype(np.uint8))
    (folder / "pictures").mkdir()
    for n in range(3):
        big = Image.fromarray(255 - images[n]).resize((280, 280), Image.Resampling.BICUBIC)
        big.save(folder / "pictures" / f"{n}.png")
    return folder


@pytest.mark.compiled
def test_no_input():
    process = run("classify")
    assert process.returncode == 0
    for digit in range(10):
        assert f"drawn: {digit}" in process.stdout
    assert len(re.findall("→ [0-9]", process.stdout)) == 10
    assert process.stdout.count("✓") >= 7  # each is correct 99 times in 100
    assert "▄██" in process.stdout
    assert process.stderr == ""


@pytest.mark.compiled
def test_few_images(folder):
    process = run("classify", folder / "pictures")
    assert process.returncode == 0
    labels = jaxnet.data.read_labels(folder / "labels.gz")[:3]
    assert re.findall("→ ([0-9])", process.stdout) == [str(label) for label in labels]
    for label in labels:
        assert re.search(rf"{label} █████", process.stdout)


@pytest.mark.process
def test_colors_in_a_terminal(folder):
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "jaxnet", "classify", folder / "pictures" / "0.png"]
    shown = run_in_terminal(command, env=environment)
    assert b"\x1b[38;2;255;255;255;48;2;255;255;255m" in shown  # a pixel in the middle of a stroke


@pytest.mark.compiled
def test_many_images(folder):
    process = run("classify", folder / "images.gz", "--labels", folder / "labels.gz")
    assert process.returncode == 0
    assert re.search(r"images +40\b", process.stdout)
    assert re.search(r"correct +(9\d\.\d\d|100\.00) % \((3\d|40)\)", process.stdout)
    assert re.search(r"speed +[\d,]+ images per second", process.stdout)
    assert re.search(r"device +\w+", process.stdout)


@pytest.mark.compiled
def test_mnist_accuracy(mnist, tmp_path):
    images, labels = mnist["test"]
    write_idx(tmp_path / "images.gz", images.reshape(-1, 28, 28))
    write_idx(tmp_path / "labels.gz", labels)
    process = run("classify", tmp_path / "images.gz", "--labels", tmp_path / "labels.gz")
    accuracy = float(re.search(r"correct +(\d+\.\d\d) %", process.stdout)[1])
    assert accuracy >= 96.80


def test_json(folder):
    process = run("classify", folder / "images.gz", "--labels", folder / "labels.gz", "--json")
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert [line["image"] for line in lines] == [f"{folder / 'images.gz'}[{n}]" for n in range(40)]
    answers = jaxnet.classify(
        jaxnet.pretrained(), jaxnet.data.read_images(folder / "images.gz").images
    )
    assert [line["digit"] for line in lines] == answers.digits.tolist()
    got = np.array([line["activations"] for line in lines], np.float32)
    np.testing.assert_array_equal(got, answers.activations)
    assert [line["label"] for line in lines] == list(jaxnet.data.read_labels(folder / "labels.gz"))


@pytest.mark.parametrize("labels", [True, False])
def test_csv_and_json_lines(folder, tmp_path, labels):
    known = ["--labels", folder / "labels.gz"] if labels else []
    for name in ("out.csv", "out.jsonl"):
        process = run("classify", folder / "images.gz", *known, "--output", tmp_path / name)
        assert process.returncode == 0
    with open(tmp_path / "out.csv", newline="") as file:
        in_csv = list(csv.DictReader(file))
    in_json = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(in_csv) == len(in_json) == 40
    for one, other in zip(in_csv, in_json, strict=True):
        assert one["image"] == other["image"]
        assert int(one["digit"]) == other["digit"]
        assert [float(one[f"activation_{n}"]) for n in range(10)] == other["activations"]
        assert ("label" in one) == ("label" in other) == labels


@pytest.mark.compiled
def test_several_inputs(folder):
    process = run("classify", folder / "pictures" / "2.png", folder / "images.gz", "--json")
    names = [json.loads(line)["image"] for line in process.stdout.splitlines()]
    images = folder / "images.gz"
    assert names == [str(folder / "pictures" / "2.png"), *(f"{images}[{n}]" for n in range(40))]


@pytest.mark.compiled
def test_another_network(folder, tmp_path):
    params = jaxnet.init(jax.random.key(5), (784, 8, 10))
    jaxnet.save(tmp_path / "relu", params, squash="relu", last_squash="softmax")
    process = run("classify", folder / "images.gz", "--weights", tmp_path / "relu", "--json")
    got = [json.loads(line)["activations"] for line in process.stdout.splitlines()]
    images = jaxnet.data.read_images(folder / "images.gz").images
    expected = jaxnet.classify(params, images, squash=jax.nn.relu, last_squash=jax.nn.softmax)
    np.testing.assert_allclose(got, expected.activations, atol=1e-6)


@pytest.mark.compiled
def test_no_images(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 784), np.uint8))
    assert run("classify", tmp_path / "none.npy").returncode == 0
    assert run("classify", tmp_path / "none.npy", "--json").stdout == ""


def test_info():
    process = run("info")
    assert process.returncode == 0
    assert "784 → 16 → 16 → 10" in process.stdout
    assert "13,002" in process.stdout
    assert re.search(r"test accuracy +9[67]\.\d\d %", process.stdout)


def test_version():
    assert re.fullmatch(r"jaxnet \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["classify", "nothing.png"], "nothing.png: No such file or directory"),
        (["classify", "text.png"], "text.png: expected PNG, JPEG"),
        (["classify", "labels.gz"], r"labels.gz: expected images of shape .* got shape \(40,\)"),
        (["classify", "empty"], "empty: no pictures in this folder"),
        (["classify", "images.gz", "--labels", "nothing"], "nothing: No such file"),
        (["classify", "images.gz", "--labels", "images.gz"], "images.gz: expected labels"),
        (["classify", "images.gz", "--labels", "two.npy"], "two.npy: 2 labels for 40 images"),
        (
            ["classify", "images.gz", "--weights", "images.gz"],
            r"images\.gz: networks are read from .*, not this",
        ),
        (
            ["classify", "images.gz", "--weights", "small"],
            r"images\.gz: expected images of shape \(n, 2, 2\) .* got shape \(40, 28, 28\)",
        ),
        (["classify", "images.gz", "--output", "a.xlsx"], "a.xlsx: answers are written as .csv, "),
        (["classify", "images.gz", "--output", "no/a.csv"], "no/a.csv: there is no folder no"),
        (["classify", "a.csv", "--output", "a.csv"], "a.csv: this is one of the inputs"),
        (["classify", "--labels", "labels.gz"], "--labels: needs input images"),
        (["classify", "images.gz", "--resume"], "--resume: is for a folder of shards only"),
        (
            ["classify", "images.gz", "--output", "a.csv", "--resume"],
            "--resume: is for a folder of shards only",
        ),
        (["classify", "images.gz", "--output", "no/out"], "no/out: there is no folder no"),
        (["classify", "images.gz", "--output", "empty", "--format", "xls"], r"not \.xls"),
        (
            ["classify", "images.gz", "--output", "empty", "--shard-size", "0"],
            "expected at least 1 row",
        ),
        (
            ["classify", "a.csv", "t*.npy", "--output", "two.npy"],
            "two.npy: this is one of the inputs",
        ),
        (
            ["classify", "images.gz", "--on-error", "ignore"],
            "--on-error: expected one of stop, skip; got 'ignore'",
        ),
        (
            ["classify", "images.gz", "--precision", "float16"],
            "float32, bfloat16, int8; got 'float16'",
        ),
        (["classify", "nothing*.png"], r"nothing\*\.png: no file has this name"),
        (
            ["info", "text.png"],
            r"text\.png: networks are read from .* not this",
        ),
        (["info", "nothing"], "nothing"),
    ],
)
def test_mistakes(folder, tmp_path, arguments, says):
    for name in ("images.gz", "labels.gz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "images.npy", np.zeros((2, 784), np.uint8))
    (tmp_path / "images.npy").rename(tmp_path / "a.csv")
    np.save(tmp_path / "two.npy", np.array([1, 2]))
    jaxnet.save(tmp_path / "small", jaxnet.init(jax.random.key(0), (4, 2)))
    assert re.search(says, refused(run(*arguments, cwd=tmp_path)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["**/*.npy", "--output", "b/two.npy"], "b/two.npy: this is one of the inputs"),
        (["[a].npy", "--output", "[a].npy"], r"\[a\].npy: this is one of the inputs"),
        (["[a].npy", "--labels", "a.npy", "--output", "a.npy"], "a.npy: this is one of the inputs"),
        (
            ["[a].npy", "--weights", "a.npy", "--output", "b/link.npy"],
            "link.npy: this is one of the",
        ),
        (["[a].npy", "--output", "d.csv"], "d.csv: this is a folder; name a file"),
        (["[a].npy", "--output", "a.npy/"], "a.npy: this is a file; choose a folder"),
        (["[a].npy", "--output", "."], "--output: expected a file or a folder; got '.'"),
        (["[a].npy", "--output", ""], "--output: expected a file or a folder; got '.'"),
        (
            ["[a].npy", "f.npy", "--precision", "int8"],
            "--precision: int8 needs uint8; f.npy is read as floats",
        ),
    ],
)
def test_more_mistakes(tmp_path, arguments, says):
    for name in ("b", "d.csv"):
        (tmp_path / name).mkdir()
    for name in ("[a].npy", "a.npy", "b/two.npy"):
        np.save(tmp_path / name, np.zeros((2, 784), np.uint8))
    os.symlink("../a.npy", tmp_path / "b" / "link.npy")
    np.save(tmp_path / "f.npy", np.zeros((2, 784), np.float32))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}
    assert re.search(says, refused(run("classify", *arguments, cwd=tmp_path)))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.npy")}


@pytest.mark.compiled
def test_trailing_slash(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 784), np.uint8))
    arguments = "classify", "a.npy", "--output", "x.csv/", "--format", "csv"
    assert run(*arguments, cwd=tmp_path).returncode == 0
    assert (tmp_path / "x.csv" / "part-00000.csv").exists()
    assert run(*arguments, "--resume", cwd=tmp_path).returncode == 0


@pytest.mark.compiled
def test_output_folder_among_the_inputs(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((30, 784), np.uint8))
    command = "classify", "**/*.npy", "--output", "out", "--format", "npy"
    assert run(*command, cwd=tmp_path).returncode == 0
    assert np.load(tmp_path / "out" / "part-00000.npy").shape == (30,)
    process = run(*command, "--resume", cwd=tmp_path)
    assert process.returncode == 0, process
    assert "30" in process.stdout


@pytest.mark.parametrize("arguments", [["classify", "--wrong"], ["no-such-command"]])
def test_usage_errors(arguments):
    process = run(*arguments)
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_full_standard_output(folder):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "jaxnet", "classify", folder / "images.gz", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode != 0
    assert "No space left" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.process
def test_closed_pipe(folder):
    process = subprocess.run(
        f"{sys.executable} -m jaxnet classify {folder / 'images.gz'} --json | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert len(process.stdout.splitlines()) == 1
    assert "Traceback" not in process.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.npy"
    np.save(path, np.zeros((400_000, 784), np.uint8))
    return path


def writing(many, output):
    """A process that has begun to write."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxnet", "classify", many, "--output", output, "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not [*output.parent.glob(".jaxnet-*.partial")]:
        time.sleep(0.01)
    return process


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "seconds"), [(signal.SIGINT, 0), (signal.SIGINT, 0.4), (signal.SIGTERM, 0.3)]
)
def test_interruption(many, tmp_path, number, seconds):
    output = tmp_path / "out.csv"
    output.write_text("precious")
    process = writing(many, output)
    time.sleep(seconds)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -number
    assert "Traceback" not in stderr
    assert output.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.process
def test_ctrl_c_and_resume(folder, tmp_path):
    images = np.tile(jaxnet.data.read_images(folder / "images.gz").images, (2000, 1))
    np.save(tmp_path / "many.npy", images)
    command = [
        *(sys.executable, "-m", "jaxnet", "classify", tmp_path / "many.npy"),
        *("--output", tmp_path / "out", "--format", "jsonl", "--shard-size", "4000"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out" / "part-00001.jsonl").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in stderr
    whole = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"manifest.json", "part-00000.jsonl", "part-00001.jsonl"} <= whole
    assert not [name for name in whole if name.endswith(".partial")]
    assert "same job with --resume" in refused(run(*command[3:]))
    process = run(*command[3:], "--resume")
    assert re.search(r"images +80,000\b", process.stdout)
    lines = [
        json.loads(line)
        for part in sorted((tmp_path / "out").glob("part-*"))
        for line in part.read_text().splitlines()
    ]
    assert [line["image"] for line in lines] == [
        f"{tmp_path / 'many.npy'}[{n}]" for n in range(80_000)
    ]
    expected = jaxnet.classify(jaxnet.pretrained(), images).digits
    assert [line["digit"] for line in lines] == expected.tolist()


@pytest.mark.compiled
def test_skipped_pictures(folder, tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes((folder / "pictures" / f"{n}.png").read_bytes())
    (tmp_path / "1b.png").write_text("not a picture")
    assert re.search(r"1b\.png: ", refused(run("classify", tmp_path, "--json")))
    process = run("classify", tmp_path, "--json", "--on-error", "skip")
    assert process.returncode == 0
    assert re.fullmatch(r"skipped: .*1b\.png: .*\n", process.stderr)
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert [line["image"][-6:] for line in lines] == ["/0.png", "/1.png", "1b.png", "/2.png"]
    labels = jaxnet.data.read_labels(folder / "labels.gz")[:3].tolist()
    assert [line["digit"] for line in lines] == [*labels[:2], None, labels[2]]
    assert "1b.png" in lines[2]["error"]
    shown = run("classify", tmp_path, "--on-error", "skip")
    assert re.findall("→ ([0-9])", shown.stdout) == [str(label) for label in labels]


@pytest.mark.process
def test_patterns_and_standard_input(folder):
    process = run("classify", folder / "**" / "[02].png", "--json")
    names = [json.loads(line)["image"] for line in process.stdout.splitlines()]
    assert names == [str(folder / "pictures" / f"{n}.png") for n in (0, 2)]
    process = subprocess.run(
        [sys.executable, "-m", "jaxnet", "classify", "-", "--json"],
        input=(folder / "images.gz").read_bytes(),
        capture_output=True,
    )
    expected = run("classify", folder / "images.gz", "--json").stdout
    assert process.stdout.decode() == expected.replace(str(folder / "images.gz"), "standard input")


@pytest.mark.process
def test_missing_platform():
    process = run_alone("info", JAX_PLATFORMS="abacus")
    assert "Unable to initialize backend 'abacus'" in refused(process)


@pytest.mark.compiled
def test_strange_file_names(tmp_path):
    name = tmp_path / "d[b]\n[red].st"
    jaxnet.save(name, jaxnet.init(jax.random.key(0)))
    assert run("info", name, COLUMNS="300").returncode == 0
    np.save(tmp_path / "images.npy", np.zeros((1, 784), np.uint8))
    strange = os.fsencode(tmp_path) + b"/bad\xff.npy"
    os.rename(tmp_path / "images.npy", strange)
    output = tmp_path / "out.csv"
    assert run("classify", os.fsdecode(strange), "--output", output).returncode == 0
    assert "bad\\udcff.npy" in output.read_text()


def test_help():
    said = run("classify", "--help").stdout
    for word in (
        "IDX",
        ".npy",
        "--weights",
        "--labels",
        "--json",
        "--output",
        "free, edges, components",
    ):
        assert word in said


@pytest.mark.compiled
def test_info_prints_the_path():
    assert str(TRAINED) in run("info", COLUMNS="300").stdout
