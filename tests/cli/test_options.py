"""Options: their help, overwriting, endings, completion; and none is without effect."""

import csv
import inspect
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet import inference, network, runs
from jaxnet._pretrained import NAMES
from jaxnet._util.palette import PAIRS
from jaxnet.batch._tables import ENDINGS
from jaxnet.cli import _options, bench, classify, convert, draw, export, info, page, probe, train
from jaxnet.formats._files import TRAINED
from tests.subprocesses import refused, run, run_alone

MODULES = (bench, classify, convert, draw, export, info, page, probe, train)


def help_of(module, option):
    """The help text of a command's option."""
    parameter = inspect.signature(module.command, eval_str=True).parameters[option]
    return parameter.annotation.__metadata__[0].help


@pytest.mark.parametrize(
    ("module", "option", "choices"),
    [
        (classify, "precision", inference.PRECISIONS),
        (classify, "form", [ending[1:] for ending in ENDINGS]),
        (convert, "squash", network.SQUASHES),
        (train, "squash", network.SQUASHES),
        (train, "cost", runs.COSTS),
        (train, "optimizer", runs.OPTIMIZERS),
        (train, "schedule", runs.SCHEDULES),
        (train, "augment", runs.AUGMENTS),
        (draw, "colors", PAIRS),
        (draw, "what", draw.PLOTS),
        (classify, "weights", NAMES),
    ],
)
def test_help_names_every_choice(module, option, choices):
    """Help is written out, since the tables come with JAX."""
    words = re.findall(r"[\w-]+", help_of(module, option))
    assert {*choices} <= {*words}
    for other in {*network.SQUASHES, *runs.OPTIMIZERS} - {*choices}:
        assert other not in words


def test_defaults_of_training():
    """They are those of the library."""
    defaults = runs.Options()._asdict()
    parameters = inspect.signature(train.command).parameters
    for name, value in defaults.items():
        parameter = parameters[name]
        if name in ("sizes", "squash"):  # those of a network that --from names
            value = "-".join(map(str, value)) if name == "sizes" else value
            option = inspect.signature(train.command, eval_str=True).parameters[name]
            assert option.annotation.__metadata__[0].help.endswith(f"by default {value}.")
            value = None
        assert parameter.default == value, name


@pytest.mark.parametrize("module", MODULES)
def test_help_stands_by_itself(module):
    for name, parameter in inspect.signature(module.command, eval_str=True).parameters.items():
        text = parameter.annotation.__metadata__[0].help
        assert text[0].isupper() or text.split()[0] in ("mnist",), name
        assert text.endswith((".", "?")), name
    for example in module.EXAMPLES:
        assert f"jaxnet {module.__name__.split('.')[-1]}" in example


@pytest.mark.compiled
def test_examples_are_commands(tmp_path):
    """Each option in them is known, and each file is named where it belongs."""
    for module in MODULES:
        for example in module.EXAMPLES:
            words = shlex.split(example.rpartition("| ")[2])[1:]
            options = [word for word in words if word.startswith("--")]
            known = run(words[0], "--help", cwd=tmp_path).stdout
            assert all(option in known for option in options), example


@pytest.mark.process
def test_short_help_and_no_jax():
    """Nothing that takes long is imported for help, the version, or completion."""
    code = (
        "import sys; sys.argv = ['jaxnet', *sys.argv[1:]]\n"
        "from jaxnet.__main__ import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "slow = {'jax', 'numpy', 'rich', 'scipy', 'optax', 'safetensors'} & {*sys.modules}\n"
        "print('slow:', slow)"
    )
    for arguments in (["-h"], ["--version"], ["classify", "-h"], ["train", "--help"]):
        command = [sys.executable, "-c", code, *arguments]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        assert said.endswith("slow: set()\n"), said
    environment = {"_JAXNET_COMPLETE": "complete_bash", "COMP_WORDS": "jaxnet classify --pre"}
    environment |= {"COMP_CWORD": "2"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert "--precision" in process.stdout
    assert process.stdout.endswith("slow: set()\n") or "slow" not in process.stdout


@pytest.mark.parametrize("width", ["40", "80"])
def test_names_of_options_are_whole(width):
    for module in MODULES:
        name = module.__name__.split(".")[-1]
        shown = run(name, "-h", COLUMNS=width).stdout
        for option, parameter in inspect.signature(
            module.command, eval_str=True
        ).parameters.items():
            info = parameter.annotation.__metadata__[0]
            if type(info).__name__ == "OptionInfo":
                declared = info.default  # where typer keeps the first name that is given
                own = isinstance(declared, str) and declared.startswith("--")
                assert (declared if own else f"--{option.replace('_', '-')}") in shown
        assert "[[" not in shown
        assert "…" not in shown


@pytest.fixture
def digits(tmp_path):
    np.save(tmp_path / "digits.npy", np.zeros((3, 784), np.uint8))
    jaxnet.save(tmp_path / "n.safetensors", jaxnet.pretrained())
    return tmp_path


WRITERS = {
    "classify": (["classify", "digits.npy"], "out.csv"),
    "page": (["page"], "out.html"),
    "draw": (["draw", "weights", "--neuron", "1"], "out.png"),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_overwritten_by_chance(digits, name):
    command, output = WRITERS[name]
    (digits / output).write_text("precious")
    said = refused(run(*command, "--output", output, cwd=digits))
    assert (
        f"{output}: exists already; choose another output, or replace it with --overwrite" in said
    )
    assert (digits / output).read_text() == "precious"
    process = run(*command, "--output", output, "--overwrite", cwd=digits)
    assert process.returncode == 0, process
    assert output in process.stdout
    assert (digits / output).stat().st_size > 100


@pytest.mark.parametrize(
    "command",
    [["export", "out.onnx"], ["convert", "n.safetensors", "out.onnx"]],
)
def test_nothing_is_exported_over_a_file(digits, command):
    (digits / "out.onnx").write_text("precious")
    assert "out.onnx: exists already" in refused(run(*command, cwd=digits))
    assert (digits / "out.onnx").read_text() == "precious"
    process = run(*command, "--overwrite", cwd=digits)
    assert process.stdout == "out.onnx\n"
    assert (digits / "out.onnx").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["classify", "digits.npy", "--format", "csv"], "--format: is for a folder of shards"),
        (["classify", "digits.npy", "--shard-size", "9"], "--shard-size: is for a folder"),
        (["classify", "digits.npy", "--brightest"], "--brightest: is for --output and --json"),
        (["classify", "digits.npy", "--quiet"], "--quiet: is for --output only"),
        (["classify", "digits.npy", "--overwrite"], "--overwrite: is for an output file only"),
        (
            ["classify", "digits.npy", "--output", "out", "--overwrite"],
            "--overwrite: is for an output file only",
        ),
        (["classify", "digits.npy", "--output", "-", "--json"], "--json: is for a job that does"),
        (["classify", "digits.npy", "--output", "-", "--format", "xls"], "not .xls"),
        (["draw", "weights", "--quiet"], "--quiet: is for --output only"),
        (["draw", "image", "--colors", "safe"], "--colors: image does not take this option"),
        (["page", "--output", "-", "--open"], "--open: is for a page in a file only"),
        (["bench", "--images", "0"], "--images: expected one or more; got 0"),
    ],
)
def test_options_without_effect(digits, arguments, says):
    before = sorted(digits.iterdir())
    assert says in refused(run(*arguments, cwd=digits))
    assert sorted(digits.iterdir()) == before


@pytest.mark.compiled
def test_endings_in_any_case(digits):
    for command in (
        ["classify", "digits.npy", "--output", "OUT.CSV"],
        ["classify", "digits.npy", "--output", "OUT.Parquet"],
        ["page", "--output", "OUT.HTML"],
        ["export", "OUT.ONNX"],
        ["convert", "n.safetensors", "COPY.ONNX"],
        ["convert", "COPY.ONNX", "COPY.SafeTensors"],
        ["draw", "weights", "--neuron", "1", "--output", "OUT.PNG"],
    ):
        process = run(*command, cwd=digits)
        assert process.returncode == 0, process
        assert (digits / command[-1]).stat().st_size > 100
        assert process.stdout.splitlines()[-1] == command[-1]
    assert run("info", "COPY.SafeTensors", cwd=digits).returncode == 0


@pytest.mark.compiled
def test_quiet(digits):
    for command in (
        ["classify", "digits.npy", "--output", "out.csv"],
        ["page", "--output", "out.html"],
        ["export", "out.onnx"],
        ["convert", "n.safetensors", "copy.onnx"],
        ["draw", "weights", "--neuron", "1", "--output", "out.png"],
    ):
        process = run(*command, "--quiet", cwd=digits)
        assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.compiled
def test_quiet_training(tmp_path):
    process = run("train", "drawn", "--epochs", "1", "--quiet", cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert (tmp_path / "network.safetensors").exists()


@pytest.mark.process
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "npy"])
def test_standard_output(digits, form):
    command = [sys.executable, "-m", "jaxnet", "classify", "digits.npy", "--output"]
    subprocess.run([*command, f"out.{form}"], cwd=digits, check=True, capture_output=True)
    piped = [*command, "-", *([] if form == "csv" else ["--format", form])]
    process = subprocess.run(piped, cwd=digits, check=True, capture_output=True)
    assert process.stdout == (digits / f"out.{form}").read_bytes()
    assert b"images" in process.stderr  # the summary


def test_page_to_standard_output(tmp_path):
    process = run("page", "--output", "-", cwd=tmp_path)
    assert process.stdout == jaxnet.page(jaxnet.load(TRAINED)[0]).html
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def many_pictures(tmp_path):
    for n in range(23):
        page = np.full((40, 30), 255, np.uint8)
        page[5:35, 13:16] = 0  # a one
        Image.fromarray(page).save(tmp_path / f"{n:02}.png")
    labels = np.ones(23, np.uint8)
    labels[[4, 7]] = 9
    np.save(tmp_path / "labels.npy", labels)
    return tmp_path


@pytest.mark.compiled
def test_folder_of_many_pictures(many_pictures):
    process = run("classify", ".", "--labels", "labels.npy", cwd=many_pictures)
    answers = process.stdout.splitlines()[:23]
    expected = [f"{n:02}.png  1{'  ✗ 9' * (n in (4, 7))}" for n in range(23)]
    assert answers == expected
    assert re.search(r"images +23\b.*correct +91.30 % \(21\)", process.stdout, re.DOTALL)


@pytest.mark.compiled
def test_no_images(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 784), np.uint8))
    process = run("classify", "none.npy", cwd=tmp_path)
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr == "none.npy: no images\n"


@pytest.mark.process
def test_page_without_a_browser(tmp_path):
    process = run_alone("page", "--open", cwd=tmp_path, BROWSER="false", DISPLAY="")
    assert process.returncode == 0
    assert "No browser was found" in process.stderr
    assert process.stdout == "jaxnet.html\n"


@pytest.mark.process
def test_shards_say_how_to_go_on(tmp_path):
    np.save(tmp_path / "many.npy", np.zeros((600_000, 784), np.uint8))
    command = ["classify", "many.npy", "--output", "out", "--shard-size", "20000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxnet", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (tmp_path / "out" / "part-00001.parquet").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert said == "Interrupted; run the same command with --resume to continue.\n"
    assert run(*command, "--resume", cwd=tmp_path).returncode == 0


def test_progress_counts_from_where_it_began(monkeypatch):
    """The rate is that of the rows since then, the first of them included."""
    from rich.console import Console

    from jaxnet.cli import _progress

    now = [100.0]
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: now[0])
    console = Console(file=io.StringIO(), width=200)
    with _progress.progress(console, 10_000, hidden=False) as advance:
        now[0] += 20
        advance(4_000, 2_000)
    assert console.file.getvalue() == "4,000 of 10,000 images, 100 per second, 60 s left\n"


def test_names_of_the_networks():
    assert ", ".join(NAMES) == _options.NETWORKS
    assert ", ".join(network.SQUASHES) == _options.SQUASHES


def test_csv_of_control_characters(tmp_path):
    """A terminal that shows the file must not obey what a file's name says."""
    for name in ("a\x1b[31m\x9b.npy", "a\\x1b[31m\x9b.npy"):  # the second has a backslash
        np.save(tmp_path / name, np.zeros((1, 784), np.uint8))
    run("classify", "*.npy", "--output", "a.csv", cwd=tmp_path)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    assert names == ["a\\x1b[31m\\x9b.npy[0]", "a\\x5cx1b[31m\\x9b.npy[0]"]


def test_json_and_csv_of_formulas(tmp_path):
    np.save(tmp_path / "=1+1.npy", np.zeros((1, 784), np.uint8))
    run("classify", "=1+1.npy", "--output", "a.csv", cwd=tmp_path)
    with open(tmp_path / "a.csv", newline="") as file:
        assert next(csv.DictReader(file))["image"] == "'=1+1.npy[0]"
    line = run("classify", "=1+1.npy", "--json", cwd=tmp_path).stdout
    assert json.loads(line)["image"] == "=1+1.npy[0]"
