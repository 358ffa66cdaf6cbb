"""`jaxnet draw`: the right picture of the right image in the right file, and its mistakes."""

import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.cli import _blocks as blocks
from jaxnet.cli import app
from jaxnet.cli.draw import PLOTS
from jaxnet.data import write_idx
from tests.cli.test_terminal import printed
from tests.subprocesses import refused, run

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty drawn digits, what they show, and networks of other squashes and sizes."""
    folder = tmp_path_factory.mktemp("draw")
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 30)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(folder / "images.gz", images)
    write_idx(folder / "labels.gz", np.asarray(labels).astype(np.uint8))
    np.save(folder / "two.npy", np.array([1, 2]))
    key = jax.random.key(5)
    params = jaxnet.init(key, (784, 8, 10))
    jaxnet.save(folder / "relu", params, squash="relu", last_squash="softmax")
    jaxnet.save(folder / "small", jaxnet.init(key, (4, 3, 2)))
    return folder


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """The command in this process, and what it prints."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments):
        app(["draw", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_every_plot_and_ending(command, tmp_path):
    page = np.full((200, 200), 255, np.uint8)
    page[50:150, 60:70] = page[50:150, 130:140] = 10
    Image.fromarray(page).save("eleven.png")
    for what, (takes, *_) in PLOTS.items():
        inputs = ["images.gz", "--labels", "labels.gz"] if "labels" in takes else []
        inputs = ["eleven.png"] if what == "boxes" else inputs
        path = tmp_path / f"{what}{'.gif' if what == 'flow' else '.png'}"
        assert command(what, *inputs, "--weights", "relu", "--output", path) == f"{path}\n"
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors()) > 20
    assert len([*tmp_path.iterdir()]) == len(PLOTS)


def test_svg_and_pdf(command, tmp_path):
    for ending, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = tmp_path / f"weights.{ending}"
        command("weights", "--neuron", 3, "--output", path)
        assert path.read_bytes().startswith(start)


def test_index_layer_and_neuron(command, folder):
    images = jaxnet.data.read_images(folder / "images.gz").images
    x = images[7].astype(np.float32) / 255
    params = jaxnet.pretrained()
    shown = command("contributions", "images.gz", "--index", 7, "--layer", 3, "--neuron", 2)
    assert shown == printed(blocks.contributions(params, x, 3, 2), 160)
    shown = command("image", "images.gz", "--index", 7)
    expected = "\n".join(
        "".join("++" if v > 0.5 else "+ " if v > 0.25 else "  " for v in row).rstrip()
        for row in x.reshape(28, 28)
    )
    assert shown.rstrip("\n") == expected.rstrip("\n")


def test_no_input(command):
    shown = command("activations", "--index", 4)
    assert re.search(r"image +layer 1 +layer 2 +output: \d", shown)
    assert len(re.findall(r"\b\d+ [█▏▎▍▌▋▊▉ ]{8} +\d\.\d\d\b", shown)) == 16 + 16 + 10


def test_squashes_of_the_file(command, folder):
    shown = command("activations", "images.gz", "--weights", "relu")
    params, spec = jaxnet.load(folder / "relu")
    x = jaxnet.data.read_images(folder / "images.gz").images[0].astype(np.float32) / 255
    hidden, out = jaxnet.activations(params, x, **spec.squashes)[1:]
    got = [float(v) for v in re.findall(r"\d [█▏▎▍▌▋▊▉ ]{8} +(\d+\.\d\d)\b", shown)]
    rows = [v for pair in zip(hidden, out, strict=False) for v in pair] + [*out[8:]]
    np.testing.assert_allclose(got, rows, atol=0.0051)


def test_weights_of_other_sizes(command, tmp_path):
    assert "brightest at" in command("weights", "--weights", "small", "--layer", 2)
    command("exciting", "--weights", "small", "--output", tmp_path / "small.png")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cat"], "one of image, activations, .*; got cat"),
        (["network"], "drawn to a file, not in a terminal: --output network.png"),
        (["flow", "--output", "a.png"], r"flow is drawn to \.gif, not \.png"),
        (["image", "--output", "a.jpg"], r"image is drawn to \.png or \.svg or \.pdf, not \.jpg"),
        (["image", "--output", "no/a.png"], "no/a.png: there is no folder no"),
        (["image", "nothing.png"], "No such file"),
        (["image", "images.gz", "--index", "30"], "index: expected 0 to 29; got 30"),
        (["image", "--index", "-1"], "expected 0 to 9; got -1"),
        (["image", "--layer", "1"], "layer: image does not take this option"),
        (["weights", "images.gz"], "weights does not take INPUT"),
        (["weights", "--layer", "0"], "layer from 1 to 3; got 0"),
        (["weights", "--layer", "4"], "layer from 1 to 3; got 4"),
        (["weights", "--neuron", "16"], "neuron from 0 to 15 in layer 1; got 16"),
        (["saliency", "--neuron", "10"], "neuron from 0 to 9 in layer 3; got 10"),
        (["weights", "--colors", "loud"], "one of video, safe; got 'loud'"),
        (
            ["weights", "--weights", "images.gz"],
            r"networks are read from \.safetensors, .* not this",
        ),
        (["activations", "--weights", "small", "images.gz"], r"shape \(n, 2, 2\)"),
        (["confusion", "images.gz", "--output", "a.png"], "needs images and their labels"),
        (
            ["misclassified", "images.gz", "--labels", "two.npy", "--output", "a.png"],
            "a label for each answer",
        ),
    ],
)
def test_mistakes(command, folder, arguments, says):
    before = sorted(folder.iterdir())
    with pytest.raises((ValueError, OSError)) as caught:
        command(*arguments)
    assert re.search(says, " ".join(str(caught.value).split()))
    assert sorted(folder.iterdir()) == before


def test_input_is_not_overwritten(command, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(path)
    before = path.read_bytes()
    with pytest.raises(jaxnet.FileError, match="this is one of the inputs"):
        command("image", path, "--output", path)
    assert path.read_bytes() == before


def test_own_process(folder):
    assert "one of image" in refused(run("draw", "cat", cwd=folder))
    process = run("draw", "weights", "--neuron", 3, cwd=folder)
    assert process.returncode == 0
    assert process.stderr == ""
    assert "3   bias" in process.stdout
