"""`classify_on_device` under jit and other transformations, against float64."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy.special import softmax

import jaxnet
from jaxnet.inference import _on_device, _quantize, classify_on_device
from tests.oracles import digits_of, float64, matrix_form

pytestmark = pytest.mark.compiled

N = 5_000  # more than two tiles of a CPU's floats


@pytest.fixture(scope="module")
def many():
    images = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
    images[:1], images[1:2] = 0, 255  # as dark and as bright as can be
    return images


@pytest.fixture(params=[True, False], ids=["bytes", "floats"])
def by_bytes(request, monkeypatch):
    """Whether the CPU multiplies bytes, as this one or as another would."""
    with monkeypatch.context() as patch:
        for module in (_quantize, _on_device):
            patch.setattr(module, "multiplies_bytes", lambda: request.param)
        jax.clear_caches()
        yield request.param
    jax.clear_caches()


def check(answers, expected, *, atol=2e-6):
    digits, activations = map(np.asarray, answers)
    assert digits.dtype == np.int32
    np.testing.assert_allclose(activations, expected, atol=atol)
    ordered = np.sort(expected, 1)
    sure = ordered[:, -1] - ordered[:, -2] > atol if expected.shape[1] > 1 else ...
    np.testing.assert_array_equal(digits[sure], digits_of(expected)[sure])


@pytest.mark.parametrize("compiled", [jax.jit, lambda f: f], ids=["jit", "eager"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_against_float64(params, many, by_bytes, compiled, dtype):
    images = many if dtype == np.uint8 else (many / 255).astype(dtype)
    answers = compiled(classify_on_device)(params, images)
    assert all(isinstance(part, jax.Array) for part in answers)
    check(answers, matrix_form(params, many / 255)[-1])


@pytest.mark.parametrize("n", [0, 1, 2, 2_047, 2_048, 2_049])
def test_numbers_of_images(params, many, by_bytes, n):
    check(jax.jit(classify_on_device)(params, many[:n]), matrix_form(params, many[:n] / 255)[-1])


def test_more_than_a_tile_of_bytes(params):
    images = np.random.default_rng(1).integers(0, 256, (_on_device._CPU_TILE + 5, 784), np.uint8)
    check(jax.jit(classify_on_device)(params, images), matrix_form(params, images / 255)[-1])


@pytest.mark.parametrize("sizes", [(784, 10), (784, 1), (784, 16, 1), (784, 30, 20, 16, 3)])
def test_sizes(many, by_bytes, sizes):
    params = jaxnet.init(jax.random.key(0), sizes)
    if sizes[-1] == 1:  # its threshold in the middle
        a = matrix_form(params, many / 255)[-1]
        bias = -jnp.log(np.float32(np.median(a / (1 - a))))[None]
        params = (*params[:-1], params[-1]._replace(biases=bias))
    answers = jax.jit(classify_on_device)(params, many)
    expected = matrix_form(params, many / 255)[-1]
    if sizes[-1] == 1:
        assert 0.4 < np.asarray(answers.digits).mean() < 0.6
        sure = abs(expected[:, 0] - 0.5) > 1e-5
        answers, expected = jax.tree.map(lambda part: part[sure], (answers, expected))
    check(answers, expected)


@pytest.mark.parametrize("squash", ["sigmoid", "softmax", "relu", jnp.tanh, jax.nn.softmax])
@pytest.mark.parametrize("last_squash", ["softmax", jax.nn.softmax, "identity"])
def test_squashes(params, many, squash, last_squash):
    """A softmax mixes the neurons of one image, never those of several."""
    numpys = {
        **{"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)},
        **{"softmax": partial(softmax, axis=1), jax.nn.softmax: partial(softmax, axis=1)},
        **{jnp.tanh: np.tanh, "identity": lambda z: z},
    }
    options = {"squash": squash, "last_squash": last_squash}
    *hidden, (w, b) = float64(params)
    a = many[:300] / 255
    for weights, biases in hidden:
        a = numpys[squash](a @ weights.T + biases)
    expected = numpys[last_squash](a @ w.T + b)
    answers = jax.jit(partial(classify_on_device, **options))(params, many[:300])
    check(answers, expected, atol=2e-5)
    host = jaxnet.classify(params, many[:300], **options)
    check(host, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("dtype", "atol"), [(jnp.bfloat16, 0.05), (jnp.float16, 5e-3), (np.float32, 2e-6)]
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_types_of_params(params, many, by_bytes, dtype, atol, kind):
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
    images = many[:500] if kind == np.uint8 else (many[:500] / 255).astype(kind)
    answers = jax.jit(classify_on_device)(params, images)
    assert answers.activations.dtype == dtype
    expected = matrix_form(params, many[:500] / 255)[-1]
    np.testing.assert_allclose(answers.activations.astype(float), expected, atol=atol)
    assert (answers.digits == expected.argmax(1)).mean() > 0.8


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_float64(many, by_bytes, kind):
    with jax.enable_x64(True):
        wide = jaxnet.init(jax.random.key(0), dtype=jnp.float64)
        images = many if kind == np.uint8 else many / 255
        answers = jax.jit(classify_on_device)(wide, images)
        assert answers.activations.dtype == np.float64
        check(answers, matrix_form(wide, many / 255)[-1], atol=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(3, 400), (0, 0), (15, 783)])
@pytest.mark.parametrize("compiled", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_weights_not_finite_give_nan(params, many, by_bytes, wrong, at, compiled):
    w = np.array(params[0].weights)
    w[at] = wrong
    odd = (params[0]._replace(weights=w), *params[1:])
    with np.errstate(invalid="ignore", over="ignore"):  # infinity times a black pixel
        exact = matrix_form(odd, many[:50] / 255)[-1]
    activations = np.asarray(compiled(classify_on_device)(odd, many[:50]).activations)
    # Where bytes are multiplied, a neuron with an infinite weight is NaN for all images.
    nan = np.ones(exact.shape, bool) if by_bytes else np.isnan(exact)
    np.testing.assert_array_equal(np.isnan(activations), nan)
    np.testing.assert_allclose(activations[~nan], exact[~nan], atol=2e-6)


@pytest.mark.parametrize("times", [1e4, 1e6])
def test_outlier_weight(params, many, by_bytes, times):
    """As exact as float32 allows where one weight exceeds all others of its neuron."""
    w = np.array(params[0].weights)
    w[:, 400] = times * abs(w).max(1)
    images = many.copy()
    images[:, 400] = 0  # so that the small weights alone decide
    odd = (params[0]._replace(weights=w), *params[1:])
    check(jax.jit(classify_on_device)(odd, images), matrix_form(odd, images / 255)[-1], atol=1e-5)


def test_neurons_without_weights(params, many, by_bytes):
    w = np.array(params[0].weights)
    w[[0, 7]] = 0
    odd = (params[0]._replace(weights=w), *params[1:])
    check(jax.jit(classify_on_device)(odd, many), matrix_form(odd, many / 255)[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_vmap_over_networks(many, by_bytes, dtype):
    images = many[:300] if dtype == np.uint8 else (many[:300] / 255).astype(dtype)
    ensemble = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), 3))
    answers = jax.jit(jax.vmap(classify_on_device, in_axes=(0, None)))(ensemble, images)
    for n in range(3):
        params = jax.tree.map(lambda leaf, n=n: leaf[n], ensemble)
        one = jax.tree.map(lambda part, n=n: part[n], answers)
        check(one, matrix_form(params, many[:300] / 255)[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_vmap_over_batches(params, many, by_bytes, dtype):
    images = many[:300] if dtype == np.uint8 else (many[:300] / 255).astype(dtype)
    answers = jax.jit(jax.vmap(classify_on_device, in_axes=(None, 0)))(
        params, images.reshape(3, 100, 784)
    )
    flat = jax.tree.map(lambda part: part.reshape(300, *part.shape[2:]), answers)
    check(flat, matrix_form(params, many[:300] / 255)[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_over_images(params, many, by_bytes, dtype, check_vma):
    images = many[:4_096] if dtype == np.uint8 else (many[:4_096] / 255).astype(dtype)
    mesh = jax.make_mesh((4,), ("images",))
    each = jax.shard_map(
        classify_on_device,
        mesh=mesh,
        in_specs=(P(), P("images")),
        out_specs=P("images"),
        check_vma=check_vma,
    )
    there = jax.device_put(images, jax.NamedSharding(mesh, P("images")))
    answers = jax.jit(each)(params, there)
    assert answers.digits.sharding.spec == P("images")
    check(answers, matrix_form(params, many[:4_096] / 255)[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_sharded_images(monkeypatch, params, many, by_bytes, dtype, kind):
    monkeypatch.setattr(_on_device, "_CPU_TILE", 1_000)
    images = many[:4_096] if dtype == np.uint8 else (many[:4_096] / 255).astype(dtype)
    mesh = jax.make_mesh((4,), ("images",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        there = jax.device_put(images, jax.NamedSharding(mesh, P("images")))
        answers = jax.jit(classify_on_device)(params, there)
    check(answers, matrix_form(params, many[:4_096] / 255)[-1])


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd, jax.jacrev])
def test_no_derivative(params, many, by_bytes, transform):
    """Neither where the CPU multiplies bytes nor where it does not."""

    def cost(params):
        return classify_on_device(params, many[:5]).activations.sum()

    says = r"no derivative of classify_on_device.* take that of jax\.vmap\(forward, in_axes"
    for f in (transform(cost), jax.jit(transform(cost))):
        with pytest.raises(TypeError, match=says):
            f(params)


def test_in_a_loop(params, many):
    batches = many[:300].reshape(3, 100, 784)
    answers = jax.jit(lambda p, x: jax.lax.map(partial(classify_on_device, p), x))(params, batches)
    expected = matrix_form(params, many[:300] / 255)[-1]
    np.testing.assert_allclose(answers.activations.reshape(300, 10), expected, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_export_for_any_number_of_images(params, many, by_bytes, dtype):
    (n,) = jax.export.symbolic_shape("n")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    exported = jax.export.export(jax.jit(lambda *arguments: tuple(classify_on_device(*arguments))))(
        shapes, jax.ShapeDtypeStruct((n, 784), dtype)
    )
    call = jax.export.deserialize(exported.serialize()).call
    for count in (1, 3, N):
        images = many[:count] if dtype == np.uint8 else (many[:count] / 255).astype(dtype)
        check(call(params, images), matrix_form(params, many[:count] / 255)[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_lowers_for_accelerators(params, many, dtype):
    images = jax.ShapeDtypeStruct((300, 784), dtype)
    trace = jax.jit(classify_on_device).trace(params, images)
    for platform in ("cuda", "tpu"):
        text = trace.lower(lowering_platforms=(platform,)).as_text()
        assert ("xi8>" in text) == (dtype == np.uint8)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros(784, np.uint8), r"\(n, pixels\); got \(784,\)"),
        (np.zeros((5, 783), np.uint8), r"shape \(784,\) .* got float32\[783\]"),
        (np.zeros((5, 784), np.int32), "uint8 or floats; got int32"),
    ],
)
def test_bad_images(params, images, says):
    with pytest.raises(ValueError, match=says):
        jax.jit(classify_on_device)(params, images)


def test_wide_images_do_not_overflow(by_bytes):
    w = np.full((2, 70_000), 1e-5, np.float32) * np.float32([[1], [-1]])
    params = (jaxnet.Layer(w, np.zeros(2, np.float32)),)
    white = np.full((64, 70_000), 255, np.uint8)
    a = jax.jit(classify_on_device)(params, white).activations
    np.testing.assert_allclose(a, [[1 / (1 + np.exp(-0.7)), 1 / (1 + np.exp(0.7))]] * 64, 1e-5)
