"""Everything that is shown runs: the READMEs' blocks, every docstring's example, every example."""

import doctest
import functools
import html
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.data import write_idx

ROOT = Path(__file__).parents[1]
GUIDE = ".github/CONTRIBUTING.md"
READMES = {name: (ROOT / name).read_text() for name in ("README.md", "examples/README.md", GUIDE)}
TEXT = "\n".join(READMES.values())
BLOCKS = {
    name: re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, text in READMES.items()
}
LINES = [
    line
    for blocks in BLOCKS.values()
    for kind, block in blocks
    if kind == "sh"
    for line in block.splitlines()
]
IN_TABLES = re.findall(r"\| `(jaxnet [^`]+)` \|", TEXT)
COMMANDS = {
    tuple(shlex.split(re.sub(r"^(cat digits.npy \| |\.venv/bin/)", "", line), comments=True))
    for line in (*LINES, *IN_TABLES)
}
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "jaxnet").rglob("*.py")
    if path.name != "__main__.py"
)
FACES = [name for name in MODULES if "._" not in name and "cli" not in name]
# What a module's examples need beside the extras in `all`.
NEEDS = {
    **{f"jaxnet.formats.{name}": name for name in ("equinox", "flax", "keras", "torch")},
    "jaxnet.batch.cluster": "ray",
}


def skip_without_package(name):
    if not find_spec(NEEDS.get(name, "jax")):
        pytest.skip(f"could not import {NEEDS[name]!r}")


@pytest.fixture
def users_defaults():
    """JAX's default settings, which the other tests make stricter."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.process
def test_table_of_the_networks(mnist, tmp_path):
    """The table in the examples' README is what its command prints for MNIST's test images."""
    images, labels = mnist["test"]
    write_idx(tmp_path / "images", images.reshape(-1, 28, 28))
    write_idx(tmp_path / "labels", labels)
    command = "-m", "jaxnet", "probe", "images", "--labels", "labels", "--compare"
    said = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    number, of_16 = r"([\d.]+)", r" +(\d+) of 16"
    printed = re.findall(rf"^\w+ +{number} %{of_16} +{number}{of_16}", said, re.MULTILINE)
    rows = rf"^\| .* \| {number}% \| {number} \| {number} \| {number} \|$"
    assert printed == re.findall(rows, READMES["examples/README.md"], re.MULTILINE)
    assert len(printed) == 5


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["README.md", "examples/README.md"])
def test_readme_python(name, tmp_path, monkeypatch, capsys, users_defaults):
    monkeypatch.chdir(tmp_path)
    names = {"functools": functools}
    for kind, block in BLOCKS[name]:
        if kind == "python":
            exec(compile(block, name, "exec"), names)
    for code in re.findall(r"\| `(.*\))` \|$", READMES[name], re.MULTILINE):
        eval(code, {**names, "ensemble": names["starts"]})
    printed = capsys.readouterr().out
    if name == "README.md":
        assert printed.endswith("7\n")
    else:
        assert "(20000, 10)" in printed
        assert "(784, 16, 16, 10) sigmoid {'trained on': 'nothing'}" in printed


def test_readme_blocks_are_run():
    assert {kind for blocks in BLOCKS.values() for kind, _ in blocks} == {"python", "sh"}
    assert {program for program, *_ in COMMANDS} == {"make", "jaxnet", "pip"}


@pytest.mark.process
@pytest.mark.parametrize("command", sorted(c for c in COMMANDS if c[0] == "jaxnet"), ids=" ".join)
@pytest.mark.each
def test_readme_commands(tmp_path, command, request):
    if command == ("jaxnet", "train"):
        request.getfixturevalue("mnist")  # skips without it
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 30)
    images = (255 * np.asarray(images)).astype(np.uint8).reshape(-1, 28, 28)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.asarray(labels).astype(np.uint8))
    np.save(tmp_path / "digits.npy", images)
    if command[1] == "convert":
        exported = jaxnet.formats.onnx.export(jaxnet.pretrained())
        (tmp_path / "digits.onnx").write_bytes(exported)
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    (tmp_path / "scans").mkdir()
    Image.fromarray(images[1]).save(tmp_path / "scans" / "one.png")
    (tmp_path / "more" / "of" / "them").mkdir(parents=True)
    Image.fromarray(images[2]).resize((280, 280)).save(tmp_path / "more" / "of" / "them" / "2.jpg")
    with open(tmp_path / "digits.npy", "rb") as digits:  # for the one that reads `-`
        subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, check=True, stdin=digits)


@pytest.mark.parametrize(
    "target",
    sorted({*re.findall(r"\bmake (\w+)`", TEXT), *(c[1] for c in COMMANDS if c[0] == "make")}),
)
def test_make_targets_exist(target):
    """CI runs them, in a clean clone."""
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True)


def test_readme_names_every_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = READMES["README.md"].partition("## Installing")[2].partition("\n## ")[0]
    assert f"pip install '{project['name']}[all]'\n" in section
    extras = project["optional-dependencies"].keys() - {"bench", "test", "dev"}
    assert {*re.findall(r"`([a-z]+)`", section)} == {*extras, project["scripts"].popitem()[0]}


def test_readme_accuracy():
    accuracy = jaxnet.load()[1].notes["test accuracy"].replace(" %", "%")
    assert f"classifies {accuracy} of MNIST's 10,000 test images correctly" in READMES["README.md"]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(jaxnet(?:\.\w+)+)[`(]", TEXT))))
def test_readme_names_exist(name):
    skip_without_package(name)
    resolve_name(name)


@pytest.mark.parametrize("name", READMES)
def test_readme_links(name):
    for target in re.findall(r"\]\((?!http)(.*?)\)", READMES[name]):
        assert (ROOT / name).parent.joinpath(target).exists(), target


def test_examples_are_indexed():
    assert {*re.findall(r"\]\((\w+\.py)\)", READMES["examples/README.md"])} == {
        path.name for path in EXAMPLES
    }


# Keras' own, of NumPy, wherever it saves what JAX computed.
@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name, users_defaults, monkeypatch):
    skip_without_package(name)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    module = import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", FACES)
def test_public_functions_are_documented(name):
    """Faces need every section; a function may refer to another's arguments."""
    skip_without_package(name)
    module = import_module(name)
    is_face = hasattr(module, "__path__")
    for key in getattr(module, "__all__", vars(module)):
        thing = getattr(module, key)
        origin = getattr(thing, "__module__", None) or ""
        own = origin.startswith("jaxnet.") if is_face else origin == name
        if key.startswith("_") or not callable(thing) or not own:
            continue
        text = thing.__doc__
        assert text, key
        if isinstance(thing, type):
            continue
        signature = inspect.signature(thing)
        assert re.search("Example:\n +>>> ", text), key
        if is_face and not re.search(r"(as for|what) `\w+`", text):
            assert "Args:\n" in text or not signature.parameters, key
            returns = signature.return_annotation not in (None, "None", bool)
            assert re.search("(Returns|Yields):\n", text) or not returns, key


@pytest.mark.process
def test_site(tmp_path):
    """Builds without a warning, and every page is reachable by "next" links."""
    pytest.importorskip("pdoc")
    from tests.site import build

    build(tmp_path, pictures=False)
    seen, page = [], tmp_path / "index.html"
    while page not in seen:
        seen.append(page)
        if found := re.search(r'href="([^"]+)">next:', page.read_text()):
            page = (page.parent / found[1]).resolve()
    assert seen[-1].name == "training.html"
    reference = tmp_path / "reference"
    pages = {n: reference.joinpath(*n.split(".")).with_suffix(".html") for n in FACES}
    assert {*pages.values()} <= {*seen}
    for page in seen:
        for target in re.findall(
            r'<(?:a|img)\b[^>]* (?:href|src)="(?!https?:|data:|#|\$)([^"#]+)', page.read_text()
        ):
            assert (page.parent / target).exists(), (page, target)
    text = {n: html.unescape(re.sub(r"<[^>]+>", "", pages[n].read_text())) for n in FACES}
    assert "count(params: Params) -> int:" in text["jaxnet.network"]
    assert re.search(r"x: Image,\s+\*,\s+squash: Squash = 'sigmoid'", text["jaxnet.network"])
    assert "weights: Float[Array, 'out in']" in text["jaxnet.network"]
    assert "jaxlib._jax" not in text["jaxnet.network"]
    assert "def match_neurons(" in text["jaxnet.analysis"].replace("\n", "")


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONG = """
    adversarial adversarial_training biases_only checkpoint cluster control_flow depth ensemble
    federated find_a_three gallery guide in_equinox in_flax laplace lbfgs line low_rank mesh mixup
    own_loop readable sampler sparse_activations straight_through tangent_kernel teacher
"""
LONG = [f"{name}.py" for name in LONG.split()]  # the others run every time


@pytest.mark.process
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.name in LONG)) for p in EXAMPLES],
    ids=lambda path: path.name,
)
@pytest.mark.each
def test_examples(path, tmp_path):
    if path.name == "picture.py" and not shutil.which("chromium"):
        pytest.skip("Chromium, which draws the picture, is not installed")
    pictures = {
        **{"picture.py": 1600, "depth.py": 1050, "line.py": 1050, "by_hand.py": 900},
        **{"find_a_three.py": 900, "adversarial.py": 900, "laplace.py": 700},
        **{"sampler.py": 900, "tangent_kernel.py": 900, "fool.py": 900},
        **{"edges.py": 880, "readable.py": 840},
    }
    folders = {"gallery.py": (17, 2), "guide.py": (12, 0)}
    output = [tmp_path / "picture.png"] if path.name in pictures else []
    folder = [tmp_path / "folder"] if path.name in folders else []
    process = subprocess.run(
        [sys.executable, "-W", "error", path, *output, *folder],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.returncode == 0, process.stderr
    printed = {
        "edges.py": r"554 numbers learned instead of 13,002\naccuracy .* (99|100)\.\d%\n"
        r".* here: 1\.00\n.* free network: 0\.[2-4]",
        "readable.py": r"smoothness\n  strength 0: accuracy 99\.\d%, mean R² 0\.[2-4]\d\n"
        r"(.*\n)*locality\n(.*\n)*  strength 0\.3: accuracy 99\.\d%, mean R² 0\.[67]",
        "learn.py": r"epoch 10: cost 0\.0.*, validation accuracy (9[89]|100)\.",
        "ensemble.py": r"best rate: 0\.0",
        "depth.py": r"ReLU .* 8: 9\d\.\d%\nsigmoid 1: 9.* 8: [12]\d\.",
        "line.py": r"0\.0[1-9]\d* between\nneurons matched.* 0\.00\d* between",
        "fool.py": r"A 7, classified as 7; after the changes, classified as 3",
        "by_hand.py": r"ring .* none within\n(.*\n)*.* synthetic digits: 8\d\.\d%",
        "picture.py": "",
        "gallery.py": "17 pictures, 2 animations",
        "in_equinox.py": r"accuracy 9\d\.\d% .*\nthe same buffers .*: True",
        "in_flax.py": r"alone: accuracy [12]?\d\.\d%\nbehind .* (9\d|100)\.\d%\nthe same .*: True",
        "control_flow.py": r"(\d{7}) is classified as \1\n.* dim (\d) is classified\n"
        r"as \2, .* 0\.9.*\ncond: accuracy on the 1\d\d unsure images: [12]\d%, then [45]\d%",
        "cluster.py": r"10000 rows, each exactly once: True\naccuracy (9[89]|100)\.\d%",
        "checkpoint.py": r"storing: (slope -0\.1\d\d)\d, .*\nrecomputing: \1\d, 1\.\d MiB\n"
        r"finite differences: \1",
        "mesh.py": r"images on each device: (1000 ?){4}\none .* accuracy (99|100).*\n"
        r".* by \de-0[67] at most\nnetworks on .*: 2 2 2 2\naccuracies .* differ .* \de-0[67]",
        "own_loop.py": r"gradient norms: 0\..*\nstopped after \d+ epochs, .* of 0\.0.*\n"
        r"epoch 0: cost 1\..*\nepoch 1: .*\nepoch 2: cost 0\.0.* 9\d\.\d%",
        "straight_through.py": r"after training: accuracy [78].*\n"
        r".* true gradient: accuracy [12]\d\.\d%\n"
        r".*through gradient: accuracy (9[89]|100)\.",
        "find_a_three.py": r"any image: classified as 3, activation 0\.9\d,.*\n"
        r"little ink: classified as 3, activation 0\.9\d,.*\n"
        r"one smooth stroke: classified as 3, activation 0\.9\d,",
        "adversarial.py": r"undefended: accuracy (9\d|100)%, under attack by 0\.1 [2-4]\d%\n"
        r"defended: accuracy (9\d|100)%, under attack by 0\.1 9\d%",
        "biases_only.py": r"pretrained: accuracy ..?\..% .*\nafter each epoch: .* 9\d\.\d%\n"
        r"weights unchanged: True; biases changed: [34]\d of 42",
        "low_rank.py": r"accuracy [345]\d\..%.*\n.* rank 1, 858 numbers: accuracy 9.*\n"
        r".* 3,432 numbers: accuracy 9[89]",
        "lbfgs.py": r"\(13002,\)\nL-BFGS: 2\.\d* .* 0\.00\d*\nAdam: 2\.\d* .* 0\.[1-9]\d*",
        "laplace.py": r"alone: (2[5-9]|3\d)% between .*\nwith the .*: (1\d|2[0-4])% between",
        "sampler.py": r"13,002 numbers sampled 100 times, 9\d% accepted\n"
        r"accuracy of one network 8\d\.\d%, of all together (9[89]|100)\..*\n"
        r"disagreement 0\.2.* 0\.[4-8]",
        "tangent_kernel.py": r"before training: .* 0\.9\d within.* 0\.9\d between .* 9\d%\n"
        r"after training: .* 0\.[89]\d within.* 0\.[3-6]\d between .* (9\d|100)%",
        "dropout.py": r"plain: .* lost 8\d\.\d%\ndropout: accuracy 99\..* lost (89|9\d)\.\d%",
        "mixup.py": r"plain: .* right, [67]\d% where wrong\nmixup: .* right, [45]\d% where wrong",
        "adversarial_training.py": r"plain: .* attack [56]\d%\nadversarial: .* attack 9\d%",
        "sparse_activations.py": r" 0\.0: .* 1\d\.\d of 32 .*\n(.*\n)*"
        r".* 1\.0: accuracy 99.* [4-7]\.\d of",
        "teacher.py": r"alone: accuracy 9[67]\..*\nwith the teacher: accuracy 99\.",
        "pytree_labels.py": r"epoch 1: .* recall [345]\d.*\n"
        r"(.*\n)*epoch 20: accuracy 99.* recall 99\.",
        "federated.py": r"differs .* by (0e\+00|\de-0[6-9]) at most\n"
        r"one .* alone: accuracy [23]\d\.\d%\nall four: accuracy 9[89]\.",
        "gpu_kernel.py": r"the same digits: 100%\nactivations differ by \de-06 at most",
        "guide.py": r"the answer: 3\n(.*\n)*7\. counting: (13,002) dials, \2 (.*\n)*"
        r".* images, 0\.[0-4]",
    }[path.name]
    assert re.search(printed, process.stdout)
    for file in output:
        with Image.open(file) as picture:
            assert picture.width == pictures[path.name]
            assert len(picture.convert("L").getcolors()) > 50
    for drawn in folder:
        kinds = [file.suffix for file in drawn.iterdir()]
        assert (kinds.count(".png"), kinds.count(".gif")) == folders[path.name]
