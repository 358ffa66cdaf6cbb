"""The kernel, interpreted where there is no GPU: against float64, and lowered for what has one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import identity, relu, softmax
from jax.sharding import AbstractDevice, AbstractMesh

import jaxnet
from jaxnet.inference import gpu
from tests.oracles import digits_of, float64, matrix_form

pytestmark = pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
KINDS = {"cuda": "NVIDIA H100 80GB HBM3", "rocm": "gfx942"}


def read(params, images, **options):
    options["interpret"] = jax.default_backend() != "gpu"
    return jax.jit(partial(gpu.classify, **options))(params, images)


def lowered(params, images, platform="cuda", **options):
    """The program that XLA's GPU compiler is given; lowering needs no GPU."""
    device = AbstractDevice(device_kind=KINDS[platform], num_cores=None, platform="gpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        trace = jax.jit(partial(gpu.classify, **options)).trace(params, images)
        return trace.lower(lowering_platforms=(platform,)).as_text()


def network(*sizes, seed=0):
    key, *keys = jax.random.split(jax.random.key(seed), len(sizes))
    return tuple(
        layer._replace(biases=jax.random.normal(k, layer.biases.shape))
        for k, layer in zip(keys, jaxnet.init(key, sizes), strict=True)
    )


def pixels(n, n_in=784):
    return np.random.default_rng(0).integers(0, 256, (n, n_in), np.uint8)


@pytest.mark.full
def test_against_float64():
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 300)
    images = np.asarray(255 * images).astype(np.uint8)
    expected = matrix_form(jaxnet.pretrained(), images / 255)[-1]
    digits, activations = read(jaxnet.pretrained(), images)
    assert digits.dtype == jnp.int32
    np.testing.assert_array_equal(digits, digits_of(expected))
    np.testing.assert_allclose(activations, expected, atol=5e-6)
    answers = jaxnet.classify(jaxnet.pretrained(), images)
    np.testing.assert_array_equal(digits, answers.digits)
    np.testing.assert_allclose(activations, answers.activations, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(
    ("sizes", "n"),
    [
        ((784, 16, 16, 10), 256),
        ((784, 60, 10), 100),
        ((6, 4, 3), 33),
        ((784, 10), 1),
        ((64, 64, 17, 1), 129),
    ],
)
def test_sizes_and_numbers_of_images(sizes, n):
    params, images = network(*sizes), pixels(n, sizes[0])
    expected = matrix_form(params, images / 255)[-1]
    digits, activations = read(params, images)
    assert digits.shape == (n,)
    assert activations.shape == (n, sizes[-1])
    np.testing.assert_allclose(activations, expected, atol=2e-6)
    np.testing.assert_array_equal(digits, digits_of(expected))


def test_no_images():
    digits, activations = read(network(784, 16, 10), pixels(0))
    assert (digits.dtype, digits.shape) == (jnp.int32, (0,))
    assert (activations.dtype, activations.shape) == (jnp.float32, (0, 10))


@pytest.mark.full
def test_relu_and_softmax():
    params, images = network(784, 20, 10), pixels(40)
    (w1, b1), (w2, b2) = float64(params)
    z = np.maximum(images / 255 @ w1.T + b1, 0) @ w2.T + b2
    digits, activations = read(params, images, squash=relu, last_squash=softmax)
    expected = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(activations, expected, rtol=1e-5)
    np.testing.assert_array_equal(digits, z.argmax(1))


@pytest.mark.parametrize(
    ("biases", "digit"),
    [
        ([90, 100, 95], 1),  # all squashed to 1
        ([-200, -150, -170], 1),  # all squashed to 0, and below the padding's sums
        ([3, 7, 7], 1),  # as bright as each other
        ([-np.inf] * 3, 0),
    ],
)
def test_first_of_tied_logits(biases, digit):
    params = (jaxnet.Layer(jnp.zeros((3, 2)), jnp.array(biases, jnp.float32)),)
    digits, activations = read(params, pixels(5, 2))
    assert digits.tolist() == [digit] * 5
    assert np.isfinite(activations).all()


def test_squash_undefined_at_zero():
    def inverse(z):
        return 1 / z

    params, images = network(6, 4, 3), pixels(9, 6)
    (w1, b1), (w2, b2) = float64(params)
    z = 1 / (images / 255 @ w1.T + b1) @ w2.T + b2
    activations = read(params, images, squash=inverse, last_squash=identity)[1]
    np.testing.assert_allclose(activations, z, rtol=1e-4)


def test_more_exact_than_float32():
    """One pixel at a time, so that nothing is added up: all that is lost is in the product."""
    random = np.random.default_rng(0)
    w = random.normal(size=(16, 100)) * 2.0 ** random.integers(-20, 1, (16, 100))
    layer = jaxnet.Layer(jnp.asarray(w, "float32"), jnp.zeros(16))
    images = np.diag(np.arange(1, 101, dtype=np.uint8))
    z = read((layer,), images, last_squash=identity)[1]
    expected = images / 255 @ np.asarray(layer.weights, np.float64).T
    np.testing.assert_allclose(z, expected, rtol=2.0**-22, atol=2.0**-31 * abs(w).max())


def test_outlier_weight():
    params, images = network(784, 16, 10), pixels(50)
    images[:, 0] = 0  # or its product would round the sum itself
    large = params[0].weights.at[:, 0].set(2000)
    params = (params[0]._replace(weights=large), params[1])
    expected = matrix_form(params, images / 255)[-1]
    np.testing.assert_allclose(read(params, images)[1], expected, atol=2e-5)


def test_weight_not_finite():
    w = jnp.array([[np.inf, 1.0], [0.5, np.nan], [1.0, 2.0]], jnp.float32)
    a = read((jaxnet.Layer(w, jnp.zeros(3)),), np.full((4, 2), 255, np.uint8))[1]
    np.testing.assert_allclose(a, [[np.nan, np.nan, 1 / (1 + np.exp(-3))]] * 4, atol=1e-6)


def test_zero_weights():
    params = (jaxnet.Layer(jnp.zeros((3, 6)), jnp.array([0.0, 2.0, 1.0])),)
    digits, a = read(params, pixels(5, 6))
    assert digits.tolist() == [1] * 5
    np.testing.assert_allclose(a, [1 / (1 + np.exp([0.0, -2.0, -1.0]))] * 5, atol=1e-6)


def test_x64_enabled():
    params, images = network(784, 16, 10), pixels(20)
    expected = matrix_form(params, images / 255)[-1]
    with jax.enable_x64(True):
        digits, activations = read(params, images)
        assert (digits.dtype, activations.dtype) == (jnp.int32, jnp.float32)
        np.testing.assert_allclose(activations, expected, atol=2e-6)


@pytest.mark.full
def test_vmap_over_an_ensemble():
    members = [network(30, 5, 4, seed=seed) for seed in range(3)]
    ensemble, images = jax.tree.map(lambda *a: jnp.stack(a), *members), pixels(20, 30)
    answers = jax.vmap(read, in_axes=(0, None))(ensemble, images)
    for params, digits, activations in zip(members, *answers, strict=True):
        expected = matrix_form(params, images / 255)[-1]
        np.testing.assert_allclose(activations, expected, atol=2e-6)
        np.testing.assert_array_equal(digits, digits_of(expected))


def test_compiles_once():
    compiled = jax.jit(partial(gpu.classify, interpret=jax.default_backend() != "gpu"))
    for seed in range(3):
        compiled(network(6, 4, 3, seed=seed), pixels(20, 6) + np.uint8(seed))
    assert compiled._cache_size() == 1


@pytest.mark.full
@pytest.mark.parametrize(
    ("sizes", "platform"),
    [((784, 16, 16, 10), "cuda"), ((784, 16, 16, 10), "rocm"), ((6, 64, 3), "cuda")],
)
def test_lowered_for_gpus_without_a_float_copy(sizes, platform):
    text = lowered(network(*sizes), pixels(300, sizes[0]), platform)
    assert text.count("__gpu$xla.gpu.triton") == 1
    assert f"tensor<300x{sizes[0]}xui8>" in text
    assert f"tensor<300x{sizes[0]}xf32>" not in text


@pytest.mark.parametrize("squash", [relu, jnp.tanh, jax.nn.gelu, jax.nn.softplus, jax.nn.elu])
def test_other_squashes_lowered_for_gpus(squash):
    text = lowered(network(784, 16, 10), pixels(16), squash=squash, last_squash=softmax)
    assert "__gpu$xla.gpu.triton" in text


@pytest.mark.full
def test_independent_of_matmul_precision():
    def program(precision):
        images = jax.ShapeDtypeStruct((16, 784), "uint8")
        with jax.default_matmul_precision(precision):
            return str(jax.make_jaxpr(gpu.classify)(network(784, 16, 10), images))

    exact = program("highest")
    assert "dot_general" in exact
    assert program("bfloat16") == exact
    assert program("tensorfloat32") == exact


def mixed(z):
    return z / z.sum()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": np.zeros((5, 28, 28), np.uint8)}, r"\(n, pixels\) .* got uint8\[5, 28, 28\]"),
        ({"images": np.zeros((5, 784), np.float32)}, "in uint8; got float32"),
        ({"images": np.zeros((5, 783), np.uint8)}, r"shape \(784,\) .* got float32\[783\]"),
        ({"images": jax.ShapeDtypeStruct((2**22, 784), jnp.uint8)}, r"fewer than 2\*\*31 pixels"),
        (
            {"params": network(70_000, 2), "images": jax.ShapeDtypeStruct((5, 70_000), jnp.uint8)},
            "66052 pixels an image at most",
        ),
        ({"params": jaxnet.init(jax.random.key(0), dtype="bfloat16")}, "float32; got bfloat16"),
        ({"params": jaxnet.init(jax.random.key(0), (784, 65, 10))}, "64 .* one of 65"),
        ({"squash": softmax}, "elementwise; got softmax"),
        ({"squash": jnp.cumsum}, "elementwise; got cumsum"),
        ({"squash": mixed}, "elementwise; got mixed"),
    ],
)
def test_bad_arguments(changes, says):
    arguments = {"params": network(784, 16, 10), "images": pixels(5)} | changes
    with pytest.raises(ValueError, match=says):
        lowered(**arguments)


def test_derivative():
    def brightness(params):
        return read(params, pixels(5, 6))[1].sum()

    with pytest.raises(TypeError, match=r"jax\.vmap\(forward"):
        jax.grad(brightness)(network(6, 4, 3))
