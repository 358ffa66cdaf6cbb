"""Whatever is shown to be run, runs: the README's blocks, every docstring's, every example."""

import doctest
import html
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

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(jaxnet.__path__, "jaxnet.")
    if not name.endswith("__main__") and "._" not in name
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
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 30)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.asarray(labels).astype(np.uint8))
    np.save(tmp_path / "digits.npy", images)
    (tmp_path / "digits.onnx").write_bytes(jaxnet.formats.onnx.export(jaxnet.pretrained()))
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    (tmp_path / "scans").mkdir()
    Image.fromarray(images[1]).save(tmp_path / "scans" / "one.png")
    (tmp_path / "more" / "of" / "them").mkdir(parents=True)
    Image.fromarray(images[2]).resize((280, 280)).save(tmp_path / "more" / "of" / "them" / "2.jpg")
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
    notes = jaxnet.load()[1].notes
    assert f"reads {notes['test accuracy']} of MNIST's" in README


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)(.*?)\)", README))
def test_the_readmes_links_lead_somewhere(target):
    assert (ROOT / target).exists()


# Keras' own, of NumPy, wherever it saves what JAX computed.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["jaxnet", *MODULES])
def test_docstrings(name, users_defaults, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
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
                assert "Example:\n" in thing.__doc__, function
                assert ">>> " in thing.__doc__, function


def test_the_reference_shows_every_module_in_words(tmp_path):
    pytest.importorskip("pdoc")
    from tests.reference import render

    render(tmp_path)  # pdoc's warnings are errors
    pages = {name: tmp_path.joinpath(*name.split(".")).with_suffix(".html") for name in MODULES}
    assert [name for name, page in pages.items() if not page.exists()] == []
    seen = html.unescape(re.sub(r"<[^>]+>", "", pages["jaxnet.network"].read_text()))
    assert "count(params: Params) -> int:" in seen
    assert re.search(r"x: Image,\s+\*,\s+squash: Squash = sigmoid", seen)
    assert "weights: Float[Array, 'out in']" in seen
    assert "jaxlib._jax" not in seen


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONG = """
    adversarial biases_only checkpoint cluster control_flow depth ensemble find_a_three gallery
    guide in_equinox in_flax laplace lbfgs line low_rank mesh own_loop sampler straight_through
    tangent_kernel
"""
LONG = [f"{name}.py" for name in LONG.split()]  # the others run every time


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.name in LONG)) for p in EXAMPLES],
    ids=lambda path: path.name,
)
def test_examples(path, tmp_path):
    if path.name == "picture.py" and not shutil.which("chromium"):
        pytest.skip("Chromium, which draws the picture, is not installed")
    pictures = {
        **{"picture.py": 1600, "depth.py": 1050, "line.py": 1050, "by_hand.py": 900},
        **{"find_a_three.py": 900, "adversarial.py": 900, "laplace.py": 700},
        **{"sampler.py": 900, "tangent_kernel.py": 900},
    }
    folders = {"gallery.py": (15, 2), "guide.py": (10, 0)}
    output = [tmp_path / "picture.png"] if path.name in pictures else []
    folder = [tmp_path / "folder"] if path.name in folders else []
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
        "in_equinox.py": r"right about 9\d\.\d% .*\nthe same buffers .*: True",
        "in_flax.py": r"alone reads [12]?\d\.\d%\nbehind .* (9\d|100)\.\d%\nthe same .*: True",
        "control_flow.py": r"(\d{7}) is read as \1\n.* the dim (\d) is read as \2, 0\.9.*\n"
        r"cond: of 1\d\d unsure readings, [12]\d% are right, [45]\d% then",
        "cluster.py": r"10000 rows, each once: True\n(9[89]|100)\.\d% right",
        "checkpoint.py": r"remembering: (slope -0\.1\d\d)\d, .*\nforgetting: \1\d, 1\.\d MiB\n"
        r"by differences: \1",
        "mesh.py": r"images on each device: (1000 ?){4}\none .* reads (99|100).*\n"
        r".* by \de-0[67] at most\nnetworks on .*: 2 2 2 2\nthey read .* differ by \de-0[67]",
        "own_loop.py": r"gradient: 0\..*\nstopped after \d+ epochs, .* of 0\.0.*\n"
        r"epoch 0: cost 1\..*\nepoch 1: .*\nepoch 2: cost 0\.0.* 9\d\.\d%",
        "straight_through.py": r"only after learning: reads [78].*\n.* they have: reads ..?\..%\n"
        r".* through: reads (9[89]|100)\.",
        "find_a_three.py": r"any image: read as 3, 0\.9\d sure.*\n"
        r"little ink: read as 3, 0\.9\d .*\none smooth stroke: read as 3, 0\.9\d sure",
        "adversarial.py": r"undefended: reads (9\d|100)%, attacked by 0\.1 [345]\d%\n"
        r"defended: reads (9\d|100)%, attacked by 0\.1 9\d%",
        "biases_only.py": r"as it was: reads ..?\..% .*\nafter each epoch: .* 9\d\.\d%\n"
        r"weights untouched: True; biases turned: [34]\d of 42",
        "low_rank.py": r"reads [345]\d\..%.*\n.* rank 1, 858 numbers: 9.*\n.* 3,432 numbers: 9[89]",
        "lbfgs.py": r"\(13002,\)\nL-BFGS: 2\.\d* .* 0\.00\d*\nAdam: 2\.\d* .* 0\.[1-9]\d*",
        "laplace.py": r"alone: (2[5-9]|3\d)% from .*\nwith the Laplace .*: (1\d|2[0-4])% from",
        "sampler.py": r"13,002 numbers drawn 100 times, 9\d% accepted\n"
        r"one network reads 8\d\.\d%, all together (9[89]|100)\..*\n"
        r"they disagree by 0\.2.* 0\.[4-8]",
        "tangent_kernel.py": r"start: .* by 0\.9\d, of others by 0\.9\d; .* 9\d%\n"
        r"after learning: .* by 0\.[89]\d, of others by 0\.[3-6]\d; .* (9\d|100)%",
        "guide.py": r"the answer: 3\n(.*\n)*7\. counting: (13,002) dials, \2 (.*\n)*"
        r".* images, 0\.[0-4]",
    }[path.name]
    assert re.search(said, process.stdout)
    for file in output:
        with Image.open(file) as picture:
            assert picture.width == pictures[path.name]
            assert len(picture.convert("L").getcolors()) > 50
    for drawn in folder:
        kinds = [file.suffix for file in drawn.iterdir()]
        assert (kinds.count(".png"), kinds.count(".gif")) == folders[path.name]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_short(path):
    longest = 120 if path.name == "guide.py" else 80  # the guide has a dozen ideas, a scene each
    assert len(path.read_text().splitlines()) <= longest
