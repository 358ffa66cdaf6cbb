"""The command as a shell's users expect it: what it replaces, skips, says and where it goes on."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet._util.files import FileError, replacing
from jaxnet.formats import _files
from tests.subprocesses import run, run_alone


@pytest.fixture
def page(tmp_path):
    """A picture of a one."""
    pixels = np.full((60, 40), 255, np.uint8)
    pixels[10:50, 17:22] = 0
    Image.fromarray(pixels).save(tmp_path / "page.png")
    return tmp_path / "page.png"


def test_what_another_program_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "answers.csv"
    with pytest.raises(FileError, match="exists already"), replacing(path) as file:
        file.write(b"ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["answers.csv"]
    with replacing(path) as file:  # it was there before
        file.write(b"ours")
    assert path.read_text() == "ours"


@pytest.mark.parametrize(
    "command",
    [
        ["export", "a.onnx"],
        ["draw", "weights", "--output", "a.png"],
        ["convert", _files.TRAINED, "a.pt"],
    ],
)
def test_a_file_written_during_the_job_stays(tmp_path, monkeypatch, command):
    load = _files.load

    def meanwhile(*arguments, **options):
        for name in ("a.onnx", "a.png", "a.pt"):
            (tmp_path / name).write_text("theirs")
        return load(*arguments, **options)

    monkeypatch.setattr(_files, "load", meanwhile)
    told = run(*command, cwd=tmp_path)
    name = command[-1]
    assert (tmp_path / name).read_text() == "theirs"
    assert f"{name}: exists already" in told.stderr
    assert told.returncode == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "null.onnx").symlink_to(os.devnull)
    for command in (["classify", "--output", "pipe.csv"], ["export", "null.onnx", "--overwrite"]):
        told = run(*command, cwd=tmp_path)
        assert "a pipe or a device; write to a file instead" in told.stderr
        assert told.returncode == 2
    assert (tmp_path / "null.onnx").is_symlink()


@pytest.mark.compiled
def test_skipping_a_picture_given_by_name(tmp_path, page):
    (tmp_path / "bad.png").write_text("no picture")
    names = ["missing.png", "bad.png", "page.png"]
    told = run("classify", *names, "--one", "--on-error", "skip", "--json", cwd=tmp_path)
    assert told.returncode == 0
    assert "skipped: missing.png: No such file or directory." in told.stderr
    assert "skipped: bad.png: expected PNG" in told.stderr
    assert told.stdout.count("\n") == 3
    told = run("classify", *names, cwd=tmp_path)
    assert told.stderr == "jaxnet: missing.png: No such file or directory\n"


@pytest.mark.compiled
@pytest.mark.skipif(os.name == "nt", reason="folders have other permissions there")
def test_skipping_a_folder_that_cannot_be_read(tmp_path, page, monkeypatch):
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path):  # root may read every folder
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    told = run("classify", "locked", "page.png", "--on-error", "skip", cwd=tmp_path)
    assert "locked: passed over: Permission denied." in told.stderr
    assert told.returncode == 0
    told = run("classify", "locked", "page.png", cwd=tmp_path)
    assert told.stderr == "jaxnet: locked: Permission denied\n"


def test_nothing_for_a_name(tmp_path):
    assert run("classify", "", cwd=tmp_path).stderr == "jaxnet: '': No such file or directory\n"


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
def test_full_standard_output(tmp_path):
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "jaxnet", "info"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert told.stderr == "jaxnet: standard output: No space left on device\n"
    assert told.returncode == 2


@pytest.mark.process
def test_a_platform_that_is_not_there(tmp_path):
    told = run_alone("classify", cwd=tmp_path, JAX_PLATFORMS="cuda")
    assert told.returncode == 2
    assert "cuda" in told.stderr
    assert told.stderr.count("\n") == 1


def test_its_own_page_is_replaced(tmp_path):
    for _ in range(2):
        assert run("page", cwd=tmp_path).returncode == 0
    (tmp_path / "jaxnet.html").write_text("mine")
    assert "exists already" in run("page", cwd=tmp_path).stderr
    assert (tmp_path / "jaxnet.html").read_text() == "mine"
    assert "exists already" in run("page", "--output", "jaxnet.html", cwd=tmp_path).stderr


def test_an_ending_left_out(tmp_path):
    jaxnet.save(tmp_path / "mine.safetensors", jaxnet.pretrained(), notes={"by": "me"})
    jaxnet.save(tmp_path / "edges.safetensors", jaxnet.pretrained(), notes={"by": "me"})
    assert "me" in run("info", "mine", cwd=tmp_path).stdout
    assert "edges, sixteen" not in run("info", "edges", cwd=tmp_path).stdout
    assert run("info", "yours", cwd=tmp_path).stderr == (
        "jaxnet: yours: No such file or directory\n"
    )


def test_no_epochs_are_refused_before_the_digits_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnet.runs.load_data", None)
    told = run("train", "drawn", "--epochs", "0", "--output", "n.safetensors", cwd=tmp_path)
    assert told.stderr == "jaxnet: --epochs: expected at least 1; got 0.\n"


def test_a_long_message_keeps_its_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNET_DATA", "/nonexistent")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("jaxnet.data.mnist.MIRRORS", ("http://127.0.0.1:9/",) * 3)
    told = run("train", "--output", "n.safetensors", cwd=tmp_path)
    assert "JAXNET_DATA names /nonexistent, which is no folder" in told.stderr
    told = run("classify", "x" * 3_000, cwd=tmp_path)
    assert told.stderr.startswith("jaxnet: xxx")
    assert told.stderr.endswith("x: File name too long\n")
    assert len(told.stderr) < 250


@pytest.fixture
def digits(tmp_path):
    """Synthetic digits and their labels in one file."""
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 200)
    np.savez(tmp_path / "digits.npz", images=images, labels=np.asarray(labels))
    return "digits.npz"


@pytest.mark.compiled
def test_training_goes_on_from_a_network(tmp_path, digits):
    """At a rate of nearly nothing it stays what it is; ensembles begin with it in every member."""
    gentle = [digits, "--from", "free", "--epochs", 1, "--rate", 1e-7, "--batch-size", 60]
    told = run("train", *gentle, "--ensemble", 2, "--output", "n.safetensors", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    params, spec = jaxnet.load(tmp_path / "n.safetensors")
    for one, other in zip(params, jaxnet.pretrained(), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)
    assert spec.squash == "sigmoid"
    jaxnet.save(tmp_path / "relu.onnx", jaxnet.init(jax.random.key(1), (784, 5, 10)), squash="relu")
    further = [digits, "--from", "relu.onnx", "--epochs", 1, "--output", "m.safetensors"]
    assert run("train", *further, cwd=tmp_path).returncode == 0
    assert jaxnet.load(tmp_path / "m.safetensors")[1].sizes == (784, 5, 10)
    assert jaxnet.load(tmp_path / "m.safetensors")[1].squash == "relu"
    more = [digits, "--epochs", 3, "--resume", "--output", "m.safetensors"]
    assert "pass --from m.safetensors" in run("train", *more, cwd=tmp_path).stderr
    for option in (["--sizes", "784-10"], ["--squash", "relu"]):
        told = run("train", *further, *option, cwd=tmp_path)
        assert "is that of the network that --from names" in told.stderr


@pytest.mark.compiled
@pytest.mark.parametrize(("label", "percent"), [(1, "100.00"), (3, "0.00")])
def test_advice_on_few_images(tmp_path, page, label, percent):
    """The trained network reads the one that is drawn on all of them."""
    one = jaxnet.data.read_images(page).images
    np.savez(tmp_path / "few.npz", images=np.repeat(one, 60, 0), labels=np.full(60, label))
    arguments = "train", "few.npz", "--epochs", 2, "--validation", 0.2, "--batch-size", 20
    said = run(*arguments, cwd=tmp_path).stdout
    assert "more epochs (--epochs 20) or slightly changed images (--augment both) may" in said
    assert f"classifies {percent} % of the same 12 validation images correctly" in said
    said = run(*arguments, "--overwrite", "--augment", "both", cwd=tmp_path).stdout
    assert "more epochs (--epochs 20) may help" in said


@pytest.mark.compiled
def test_no_advice_about_another_size(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 64), np.uint8)
    np.savez(tmp_path / "few.npz", images=images, labels=np.arange(50) % 10)
    said = run("train", "few.npz", "--sizes", "64-5-10", "--batch-size", 5, cwd=tmp_path).stdout
    assert "may help" in said
    assert "comes with" not in said
