"""What is meant for a GPU, as far as a CPU can test it: the benchmark, and the programs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid

from jaxnet.inference import _program, _quantize
from tests.benchmarks import gpu
from tests.oracles import matrix_form

SQUASHES = {"squash": sigmoid, "last_squash": sigmoid, "brightest": False}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (300, 784), np.uint8)


@pytest.fixture
def on_accelerator(monkeypatch):
    """Takes the branch of each program that is not the CPU's."""
    with monkeypatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", lambda *args, default, cpu: default(*args))
        jax.clear_caches()
        yield
    jax.clear_caches()


@pytest.mark.process
def test_benchmark_on_cpu(tmp_path):
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "gpu"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAXNET_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=root,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    lines, table = process.stdout.split("\n\n")
    lines = [json.loads(line) for line in lines.splitlines()]
    assert {line["device"] for line in lines} == {"cpu"}
    checks = [line for line in lines if line["name"].startswith("agreement")]
    figures = [line for line in lines if line not in checks]
    assert len(checks) == len([line for line in figures if "device memory" in line["name"]]) == 8
    assert all(line["holds"] and line["same_digits"] > 0.99 for line in checks)
    assert all(line["peer"] > 0 and np.isfinite(line["ours"]) for line in figures)
    assert len(table.splitlines()) == 1 + len(figures)


def test_benchmark_reports_wrong_answers(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "failed", [])
    expected = np.array([3, 1]), np.array([[0.5, 0.25], [0.0, 1.0]])
    gpu.check("right", (expected[0], expected[1] + 1e-6), expected, 1e-5, 1)
    gpu.check("wrong digit", (expected[0] + [0, 1], expected[1]), expected, 1e-5, 1)
    gpu.check("wrong activation", (expected[0], expected[1] + 1e-4), expected, 1e-5, 1)
    gpu.check("no number", (expected[0], expected[1] * np.nan), expected, 1e-5, 1)
    assert gpu.failed == ["wrong digit", "wrong activation", "no number"]
    holds = [json.loads(line)["holds"] for line in capsys.readouterr().out.splitlines()]
    assert holds == [True, False, False, False]


@pytest.mark.process
def test_unknown_benchmark():
    process = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "tpu"], capture_output=True, text=True
    )
    assert process.returncode == 1
    assert "no benchmark named tpu" in process.stderr


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_uint8_to_floats_is_exact(on_accelerator, dtype):
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(_program._floats(jnp.asarray(every), dtype), every)


def test_int8_products_for_accelerators_are_exact(on_accelerator, images):
    weights = np.random.default_rng(1).integers(-127, 128, (784, 48), np.int8)
    expected = images.astype(int) @ weights.astype(int)
    np.testing.assert_array_equal(_quantize.times_bytes(images, weights), expected)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("precision", "form", "tolerance"),
    [("float32", _quantize.Bytes, 2e-6), ("bfloat16", _quantize.Floats, 0.01)],
)
def test_accelerator_program_against_float64(
    on_accelerator, params, images, precision, form, tolerance
):
    layer = _quantize.prepare(params[0], precision, is_uint8=True, on_cpu=False)
    assert isinstance(layer, form)
    digits, activations = _program.classify_chunk(layer, params[1:], images, **SQUASHES)
    expected = matrix_form(params, images / 255)[-1]
    np.testing.assert_allclose(activations, expected, atol=tolerance)
    assert (digits == expected.argmax(1)).mean() > 0.98


@pytest.mark.compiled
def test_outlier_uses_floats_for_accelerators(params):
    w = np.array(params[0].weights)
    w[3, 5] = 10_000
    layer = _quantize.prepare(params[0]._replace(weights=w), "float32", is_uint8=True, on_cpu=False)
    assert isinstance(layer, _quantize.Floats)


@pytest.mark.parametrize("precision", _quantize.PRECISIONS)
def test_no_float_copy_for_gpus(params, precision):
    """XLA fuses a conversion from int8 into the product, and none from uint8."""
    layer = _quantize.prepare(params[0], precision, is_uint8=True, on_cpu=False)
    images = jax.ShapeDtypeStruct((300, 784), jnp.uint8)
    traced = _program.classify_chunk.trace(layer, params[1:], images, **SQUASHES)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    operations = re.findall(r"(\S+) %\S+ : \(tensor<300x784xui8>\)", text)
    assert operations == ["stablehlo.bitcast_convert"]
