"""Whatever is shown to be run, runs: the README's blocks, every docstring's, every example."""

import doctest
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.data import write_idx
from jaxnet.pretrained import PATH

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(jaxnet.__path__, "jaxnet.")
    if not name.endswith("__main__")
]


@pytest.fixture
def users_defaults():
    """What a user has: JAX's own settings."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_the_readmes_python_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys, users_defaults):
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "7\n" in said
    assert "(20000, 10)" in said
    assert "(784, 16, 16, 10) sigmoid {'trained on': 'nothing'}" in said


def test_the_readmes_first_python_is_five_lines():
    first = next(block for kind, block in BLOCKS if kind == "python")
    assert len(first.splitlines()) == 5


def test_every_block_is_of_a_kind_that_is_run():
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    assert {shlex.split(line)[0] for line in COMMANDS} == {"make", "jaxnet", "pip"}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("jaxnet")])
def test_the_readmes_commands_run(tmp_path, command, request):
    if shlex.split(command, comments=True) == ["jaxnet", "train"]:
        request.getfixturevalue("mnist")  # skips where it is not at hand
    images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 30)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.asarray(labels).astype(np.uint8))
    np.save(tmp_path / "digits.npy", images)
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    (tmp_path / "scans").mkdir()
    Image.fromarray(images[1]).save(tmp_path / "scans" / "one.png")
    arguments = shlex.split(command, comments=True)[1:]
    subprocess.run([sys.executable, "-m", "jaxnet", *arguments], cwd=tmp_path, check=True)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make")])
def test_the_readmes_targets_exist(command):
    """What they do is tested where a clone is made of this repository."""
    subprocess.run(
        ["make", "--dry-run", *shlex.split(command, comments=True)[1:]], cwd=ROOT, check=True
    )


def test_the_readmes_extras_exist():
    pip = next(line for line in COMMANDS if line.startswith("pip"))
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extra in re.findall(r"\w+", pip.split("[")[1].replace("or choose", "")):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE), extra


def test_the_readmes_figures_are_those_of_the_trained_network():
    notes = jaxnet.load(PATH)[1].notes
    assert f"reads {notes['test accuracy']} of MNIST's" in README


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)(.*?)\)", README))
def test_the_readmes_links_lead_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("name", ["jaxnet", *MODULES])
def test_docstrings(name, users_defaults):
    module = import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


def public(module):
    for name, thing in vars(module).items():
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__:
            yield name, thing


@pytest.mark.parametrize("name", [name for name in MODULES if "cli" not in name])
def test_every_public_function_is_documented(name):
    for function, thing in public(import_module(name)):
        if callable(thing) and not name.endswith("train"):
            assert thing.__doc__, function
            if not isinstance(thing, type):
                assert "Example" in thing.__doc__, function


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples(path, tmp_path):
    if path.name == "picture.py" and not shutil.which("chromium"):
        pytest.skip("Chromium, which draws the picture, is not installed")
    pictures = {"picture.py": 1600, "depth.py": 1050, "line.py": 1050, "by_hand.py": 900}
    output = [tmp_path / "picture.png"] if path.name in pictures else []
    folder = [tmp_path / "gallery"] if path.name == "gallery.py" else []
    process = subprocess.run(
        [sys.executable, "-W", "error", path, *output, *folder],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.returncode == 0, process.stderr
    said = {
        "learn.py": r"epoch 10: cost 0\.0.*, reads (9[89]|100)\.",
        "ensemble.py": r"best rate: 0\.0",
        "depth.py": r"ReLU .* 8: 9\d\.\d%\nsigmoid 1: 9.* 8: [12]\d\.",
        "line.py": r"0\.0[1-9]\d* between\nneurons matched.* 0\.00\d* between",
        "fool.py": r"Drawn as 7 and read as 7; after the changes, read as 3",
        "by_hand.py": r"ring .* none within\n(.*\n)*.* draws, it reads 8\d\.\d%",
        "picture.py": "",
        "gallery.py": "15 pictures, 2 animations",
    }[path.name]
    assert re.search(said, process.stdout)
    for file in output:
        with Image.open(file) as picture:
            assert picture.width == pictures[path.name]
            assert len(picture.convert("L").getcolors()) > 50
    for gallery in folder:
        kinds = [file.suffix for file in gallery.iterdir()]
        assert (kinds.count(".png"), kinds.count(".gif")) == (15, 2)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) <= 80
