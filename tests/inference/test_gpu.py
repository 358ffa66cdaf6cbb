"""The example's GPU kernel, interpreted where there is no GPU: against float64."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

import jaxnet
from tests.oracles import digits_of, matrix_form

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
SPEC = spec_from_file_location(
    "gpu_kernel", Path(__file__).parents[2] / "examples" / "gpu_kernel.py"
)
gpu_kernel = module_from_spec(SPEC)
SPEC.loader.exec_module(gpu_kernel)


def classify(params, images):
    return gpu_kernel.classify(params, images, interpret=jax.default_backend() != "gpu")


@pytest.mark.full
@pytest.mark.parametrize("n", [1, 127, 129, 300])
def test_numbers_of_images(params, n):
    images = np.random.default_rng(0).integers(0, 256, (n, 784), np.uint8)
    expected = matrix_form(params, images / 255)[-1]
    digits, activations = classify(params, images)
    np.testing.assert_allclose(activations, expected, atol=2e-6)
    np.testing.assert_array_equal(digits, digits_of(expected))


@pytest.mark.full
def test_all_outputs_dark(params):
    """The padding beside the ten outputs never wins."""
    *hidden, (w, b) = params
    dark = (*hidden, jaxnet.Layer(w, b - 100))
    images = np.random.default_rng(0).integers(0, 256, (20, 784), np.uint8)
    digits, _ = classify(dark, images)
    np.testing.assert_array_equal(digits, classify(params, images)[0])


def test_lowers_for_a_gpu(params):
    """Lowering needs no GPU; the kernel is in the program that XLA's compiler is given."""
    device = AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=None, platform="gpu")
    images = jax.ShapeDtypeStruct((300, 784), "uint8")
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        trace = gpu_kernel.classify.trace(params, images, interpret=False)
        assert "triton" in trace.lower(lowering_platforms=("cuda",)).as_text()
