"""Test configuration: four CPU devices, strict dtype and rank promotion, fixtures."""

import os
import re
import signal
from collections import defaultdict
from importlib.metadata import version
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import jax
import pytest

from jaxnet._util.files import FileError
from jaxnet.data import load_mnist

NEEDED = {"browser": "axe_playwright_python", "test_peers.py": "equinox"}
collect_ignore = [path for path, package in NEEDED.items() if not find_spec(package)]

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")  # a GPU's default is coarser


def pytest_configure(config):
    """Shares one compilation cache among all test runs; `make clean` empties it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = str(Path(__file__).parents[1] / "build" / "compiled")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # An entry read while another process writes it is just compiled again.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


def pytest_addoption(parser):
    parser.addoption(
        "--every",
        type=int,
        default=1,
        help="run every n-th case of tests with several that are marked compiled or process",
    )


def pytest_collection_modifyitems(config, items):
    """Leaves out all but every n-th case of a long test; those marked `each` are left whole."""
    seen = defaultdict(int)

    def is_kept(item):
        marks = {mark.name for mark in item.iter_markers()}
        if "each" in marks or not marks & {"compiled", "process"}:
            return True
        name = item.nodeid.partition("[")[0]
        seen[name] += 1
        return (seen[name] - 1) % config.option.every == 0

    kept = [is_kept(item) for item in items]
    left_out = [item for item, keep in zip(items, kept, strict=True) if not keep]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item, keep in zip(items, kept, strict=True) if keep]


def pytest_ignore_collect(collection_path, config):
    """Skips files that the marker expression rules out as a whole, before they are imported."""
    expression = config.option.markexpr
    if not expression or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    whole = re.search(r"^pytestmark = .*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"\w+", expression))
    of_all = words & set(re.findall(r"mark\.(\w+)", whole[0] if whole else ""))
    of_some = words & set(re.findall(r"mark\.(\w+)", text)) - of_all
    # A single test may have any of its file's marks in addition to those of the whole file.
    for n in range(len(of_some) + 1):
        for marks in combinations(of_some, n):
            try:
                if eval(expression, {}, defaultdict(bool, dict.fromkeys([*of_all, *marks], True))):
                    return None
            except (SyntaxError, TypeError):
                return None  # pytest says what is wrong with it
    return True


def pytest_report_header():
    return ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "scipy", "optax"))


@pytest.fixture(autouse=True, scope="module")
def _clear_caches():
    """Frees what a module has compiled, so that a process stays small."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def mnist():
    """MNIST's train and test sets, if available locally; the tests never download."""
    try:
        return {split: load_mnist(split, mirrors=()) for split in ("train", "test")}
    except FileError as error:
        pytest.skip(str(error))


@pytest.fixture
def params():
    """A random network with nonzero biases."""
    import jaxnet

    key, *keys = jax.random.split(jax.random.key(0), 4)
    return tuple(
        layer._replace(biases=jax.random.normal(k, layer.biases.shape))
        for k, layer in zip(keys, jaxnet.init(key), strict=True)
    )


@pytest.fixture
def x():
    return jax.random.uniform(jax.random.key(1), (784,))


@pytest.fixture
def images():
    return jax.random.uniform(jax.random.key(2), (7, 784))


def pytest_sessionfinish(session, exitstatus):
    """Fails a CI run that skips tests, but for lack of MNIST, or of packages in light runs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    expression = session.config.option.markexpr
    light = "core" in expression or "not compiled" in expression
    reasons = ("MNIST", "could not import") if light else ("MNIST",)
    for report in reporter.stats.get("skipped", []) if os.environ.get("CI") else []:
        if not any(reason in str(report.longrepr) for reason in reasons):
            reporter.write_line(f"\nskipped in CI: {report.nodeid}: {report.longrepr}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
