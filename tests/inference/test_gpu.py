"""The example's GPU kernel against float64; interpreted where there is no GPU."""

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


def some(n):
    images = np.random.default_rng(0).integers(0, 256, (n, 784), np.uint8)
    images[:1], images[1:2] = 0, 255  # as dark and as bright as can be
    return images


@pytest.mark.compiled
@pytest.mark.parametrize("n", [1, 127, 128, 129, 300])
def test_numbers_of_images(params, n):
    images = some(n)
    expected = matrix_form(params, images / 255)[-1]
    digits, activations = classify(params, images)
    assert activations.shape == (n, 10)
    np.testing.assert_allclose(activations, expected, atol=2e-6)
    np.testing.assert_array_equal(digits, digits_of(expected))


def test_dark_outputs_beat_the_padding(params):
    *hidden, (w, b) = params
    dark = (*hidden, jaxnet.Layer(w, b - 100))
    np.testing.assert_array_equal(classify(dark, some(20))[0], classify(params, some(20))[0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_not_finite(params, wrong):
    w = np.array(params[0].weights)
    w[3, 400] = wrong
    assert np.isnan(classify((params[0]._replace(weights=w), *params[1:]), some(5))[1]).all()


def test_neurons_without_weights_and_with_an_outlier(params):
    w = np.array(params[0].weights)
    w[2], w[3, 400] = 0, 1e4 * abs(w[3]).max()
    odd = (params[0]._replace(weights=w), *params[1:])
    expected = matrix_form(odd, some(20) / 255)[-1]
    np.testing.assert_allclose(classify(odd, some(20))[1], expected, atol=2e-6)


@pytest.mark.compiled
def test_lowers_for_a_gpu(params):
    """Lowering needs no GPU; the kernel is in the program that XLA's compiler is given."""
    device = AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=None, platform="gpu")
    images = jax.ShapeDtypeStruct((300, 784), "uint8")
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        trace = gpu_kernel.classify.trace(params, images, interpret=False)
        assert "triton" in trace.lower(lowering_platforms=("cuda",)).as_text()
