"""Four devices, strict types, strict ranks: the conditions under which everything is tested."""

import os
from importlib.metadata import version
from tempfile import TemporaryDirectory

import jax
import pytest

from jaxnet.data import load_mnist
from jaxnet.files import FileError

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")  # a GPU's default is coarser


def pytest_configure(config):
    """What one process of a run has compiled, all the others take from a folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = TemporaryDirectory(prefix="jaxnet-compiled-")
        config.add_cleanup(folder.cleanup)
        jax.config.update("jax_compilation_cache_dir", folder.name)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # Read while another process writes it, an entry is compiled once more, and no harm done.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


def pytest_report_header():
    return ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "scipy", "optax"))


@pytest.fixture(scope="session")
def mnist():
    """MNIST's two halves by name, where they are at hand; the tests never download."""
    try:
        return {split: load_mnist(split, mirrors=()) for split in ("train", "test")}
    except FileError as error:
        pytest.skip(str(error))


@pytest.fixture
def params():
    """A random network with biases that are not zero."""
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
    """In CI a test may be skipped for want of MNIST, and in `make core` for want of an extra."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    core = "@tests/core.txt" in session.config.invocation_params.args
    reasons = ("MNIST", "could not import") if core else ("MNIST",)
    for report in reporter.stats.get("skipped", []) if os.environ.get("CI") else []:
        if not any(reason in str(report.longrepr) for reason in reasons):
            reporter.write_line(f"\nskipped in CI: {report.nodeid}: {report.longrepr}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
