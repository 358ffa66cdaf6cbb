"""`jaxnet probe`: the report as a table, as JSON and as a picture, and its mistakes."""

import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.cli import app
from jaxnet.data import write_idx
from jaxnet.data.synthetic import COMPONENTS
from tests.subprocesses import refused, run

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn digits with labels, and networks of other kinds."""
    folder = tmp_path_factory.mktemp("probe")
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 200)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(folder / "images.gz", images)
    write_idx(folder / "labels.gz", np.asarray(labels).astype(np.uint8))
    key = jax.random.key(5)
    jaxnet.save(folder / "relu", jaxnet.init(key, (784, 8, 10)), squash="relu")
    jaxnet.save(folder / "small", jaxnet.init(key, (5, 3, 2)))
    jaxnet.save(folder / "components", jaxnet.pretrained("components"))
    return folder


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """The command in this process, and what it prints."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        app(["probe", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_table(command):
    said = command("--weights", "components")
    for n, name in enumerate(COMPONENTS):
        assert re.search(rf"^2\.{n} +{name} +(1\.00|0\.9\d) ", said, re.MULTILINE)
    assert re.search(r"^1\.15 +█████ 1\.00 ", said, re.MULTILINE)
    assert "16 of 16 neurons of layer 1 are edges" in said
    assert "detects 16 of 16 components" in said


def test_json_is_the_report(command, folder):
    found = json.loads(command("images.gz", "--labels", "labels.gz", "--weights", "relu", "--json"))
    images = jaxnet.data.read_images(folder / "images.gz").images
    labels = jaxnet.data.read_labels(folder / "labels.gz")
    params, _ = jaxnet.load(folder / "relu")
    report = jaxnet.analysis.probe(jax.random.key(1), params, images, labels, squash=jax.nn.relu)
    assert found["accuracy"] == report.accuracy
    assert len(found["neurons"]) == 18
    neuron = found["neurons"][3]
    assert (neuron["layer"], neuron["neuron"]) == (1, 3)
    assert neuron["edge"]["explained"] == report.edges.explained[3]
    assert neuron["explained_by_all_pixels"] == report.explained[3]
    assert neuron["component"] == COMPONENTS[report.component(1)[3]]
    assert neuron["silence"] == report.silence[0][3]
    assert "edge" not in found["neurons"][8]


@pytest.mark.slow
def test_digits_that_are_missing(command, folder):
    """Without any image of a digit, or with images of one only, the table and JSON hold."""
    images = jaxnet.data.read_images(folder / "images.gz").images.reshape(-1, 28, 28)
    labels = jaxnet.data.read_labels(folder / "labels.gz")
    for kept, digits in (({3, 7}, {3, 7}), ({3}, {None})):
        some = np.isin(labels, [*kept])
        write_idx(folder / "some", images[some])
        write_idx(folder / "its-labels", labels[some].astype(np.uint8))
        said = command("some", "--labels", "its-labels", "--json")
        assert "NaN" not in said
        assert {neuron["digit"] for neuron in json.loads(said)["neurons"]} == digits


def test_comparison(command):
    rows = dict(re.findall(r"^(\w+) +([\d.]+) %.*$", command("--compare"), re.MULTILINE))
    assert [*rows] == ["random", "handmade", "free", "edges", "components"]
    found = json.loads(command("--compare", "--json"))
    for name, accuracy in rows.items():
        assert f"{100 * found[name]['accuracy']:.2f}" == accuracy
    assert found["random"]["edges"] == found["free"]["edges"] == 0
    assert found["edges"]["edges"] == found["components"]["components"] == 16


@pytest.mark.slow
def test_picture(command, tmp_path):
    for name, size in (("relu", 300), ("components", 1_000)):
        path = tmp_path / f"{name}.png"
        assert str(path) in command("--weights", name, "--output", path)
        with Image.open(path) as picture:
            assert picture.height > size
            assert len(picture.convert("L").getcolors()) > 50


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["images.gz"], "--labels: INPUT and --labels go together"),
        (["--labels", "labels.gz"], "--labels: INPUT and --labels go together"),
        (["--compare", "--weights", "relu"], "--compare: takes neither"),
        (["--output", "probe.txt"], "the output must end in .png, .svg, .pdf"),
        (
            ["--weights", "small"],
            "small: expected a square number of pixels, such as 784; got 5",
        ),
        (["--weights", "missing"], "missing"),
        (["--colors", "pink", "--output", "a.png"], "one of video, safe"),
        (["--colors", "safe"], "--colors: is for --output only"),
    ],
)
def test_mistakes(folder, arguments, says):
    assert says in refused(run("probe", *arguments, cwd=folder))
