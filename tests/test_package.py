"""The package as a stranger gets it: a clone, a wheel, and what importing it does."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, **options):
    process = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=600, **options
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.mark.process
def test_wheel_contents(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "jaxnet/_pretrained/network.safetensors" in names
    assert "jaxnet/py.typed" in names
    assert "jaxnet/_page/web/page.html" in names
    assert {name.split("/")[0] for name in names} == {
        "jaxnet",
        wheel.name.split("-py3")[0] + ".dist-info",
    }
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "jaxnet").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == there


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    """An empty environment with the wheel alone, and what it says it needs."""
    folder = tmp_path_factory.mktemp("alone")
    run(sys.executable, "-m", "venv", folder)
    constraints = ROOT / "tests" / "constraints.txt"
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", "-c", constraints, wheel)
    return folder / "bin"


@pytest.mark.slow
def test_wheel_without_extras(alone, tmp_path):
    code = """
import jax, jaxnet
images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
print((jaxnet.classify(jaxnet.pretrained(), images).digits == labels).mean())
"""
    assert float(run(alone / "python", "-W", "error", "-c", code, cwd=tmp_path)) > 0.9


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import sys, jaxnet.__main__ as m; sys.argv = ['jaxnet']; m.main()", "cli"),
        ("import jaxnet; jaxnet.data.read_image(jaxnet.__file__)", "images"),
        ("import jaxnet; jaxnet.data.load_mnist('test')", "mnist"),
        ("import jaxnet.plot", "plot"),
        ("import jaxnet; jaxnet.formats.onnx.export(jaxnet.pretrained())", "onnx"),
        ("import jaxnet.estimator", "sklearn"),
    ],
)
@pytest.mark.slow
def test_missing_extra_is_named(alone, tmp_path, code, extra):
    environment = {k: v for k, v in os.environ.items() if k != "JAXNET_DATA"}
    process = subprocess.run(
        [alone / "python", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert process.returncode != 0
    assert f"pip install 'jaxnet-digits[{extra}]'" in process.stderr.splitlines()[-1]


@pytest.mark.slow
def test_make_run_in_a_fresh_clone(tmp_path):
    """README's first command, in a fresh clone, with nothing installed but Python and make."""
    run("git", "clone", "--quiet", ROOT, tmp_path / "clone")
    environment = {k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}
    environment |= {
        k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "REQUESTS_"))
    }
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    command = ["make", "run", f"PYTHON={python}"]
    first = run(*command, cwd=tmp_path / "clone", env=environment)
    assert len(re.findall("→ [0-9]", first)) == 10
    assert run("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""
    again = run(*command, cwd=tmp_path / "clone", env=environment)
    assert "pip install" in first
    assert "pip install" not in again


@pytest.mark.core
@pytest.mark.process
def test_import_has_no_side_effects():
    code = """
import os, sys, logging, warnings, threading, random
import jax, jax.extend, numpy, optax, chex  # the second adds a flag to JAX 0.10.1
def state():
    return (dict(os.environ), dict(jax.config.values), warnings.filters[:],
            logging.root.handlers[:], threading.active_count(), random.getstate(),
            numpy.random.get_state()[1].tolist())
before = state()
import jaxnet
assert state() == before
from jax._src import xla_bridge
assert not xla_bridge._backends, "a device was started"
for name in ("PIL", "pooch", "rich", "typer", "matplotlib", "hypothesis", "onnx", "sklearn",
             "torch", "keras", "flax", "equinox"):
    assert name not in sys.modules, name
"""
    run(sys.executable, "-W", "error", "-c", code)


@pytest.mark.process
def test_types_reach_a_users_checker(tmp_path):
    """A right program passes, and wrong calls fail where types can tell."""
    (tmp_path / "right.py").write_text(
        "import jax\nimport jaxnet\n"
        "params: jaxnet.Params = jaxnet.init(jax.random.key(0))\n"
        "digit: jax.Array = jaxnet.predict(params, jax.numpy.zeros(784))\n"
        "weights: jax.Array = params[0].weights\n"
    )
    (tmp_path / "wrong.py").write_text(
        "import jax\nimport jaxnet\n"
        "params = jaxnet.init(jax.random.key(0))\n"
        "jaxnet.forward(jax.numpy.zeros(784), params)\n"
        "jaxnet.forward(params, jax.numpy.zeros(784), activation=jax.nn.relu)\n"
        "params[0].bias\n"
        "jaxnet.save('file', params, squash=0.5)\n"
    )
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    run(*pyright, tmp_path / "right.py")
    process = subprocess.run([*pyright, tmp_path / "wrong.py"], capture_output=True, text=True)
    lines = {int(line) for line in re.findall(r"wrong\.py:(\d+):\d+ - error", process.stdout)}
    assert lines == {4, 5, 6, 7}


def test_files_in_git():
    files = run("git", "ls-files", cwd=ROOT).split()
    top = {name.split("/")[0] for name in files if not name.startswith(".")}
    expected = {"pyproject.toml", "jaxnet", "tests", "examples", "README.md", "Makefile", "LICENSE"}
    assert top == expected
    assert max((ROOT / name).stat().st_size for name in files) < 200_000
    assert not [name for name in files if name.endswith((".gz", ".npy", ".pkl", ".ipynb"))]
