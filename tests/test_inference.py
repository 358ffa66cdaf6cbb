"""Many images, against float64, whatever their number and their kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import inference, program
from tests import reading_hosts
from tests.helpers import matrix_form
from tests.processes import as_hosts


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).integers(0, 256, (40_000, 784), np.uint8)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 2047, 2048, 2049, 16_384, 16_385, 40_000])
def test_any_number_of_images(params, many, n):
    answers = jaxnet.classify(params, many[:n])
    expected = matrix_form(params, many[:n] / 255)[-1]
    assert answers.digits.shape == (n,)
    assert answers.activations.shape == (n, 10)
    np.testing.assert_allclose(answers.activations, expected, atol=2e-6)
    # Random networks on random images nearly tie at times; float32 may then choose the other.
    assert (answers.digits != expected.argmax(1)).sum() <= n / 1000


def test_every_answer_on_mnist_is_that_of_float64(mnist):
    params, (images, _) = jaxnet.pretrained(), mnist["test"]
    expected = matrix_form(params, images / 255)[-1]
    answers = jaxnet.classify(params, images)
    np.testing.assert_array_equal(answers.digits, expected.argmax(1))
    np.testing.assert_allclose(answers.activations, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "most_that_differ", "accuracy"),
    [("float32", 0, 0.9744), ("bfloat16", 10, 0.9735), ("int8", 60, 0.972)],
)
@pytest.mark.parametrize("brightest", [False, True])
def test_precisions_cost_what_is_said(mnist, precision, most_that_differ, accuracy, brightest):
    params, (images, labels) = jaxnet.pretrained(), mnist["test"]
    exact = matrix_form(params, images / 255)[-1]
    digits, a = jaxnet.classify(params, images, precision=precision, brightest=brightest)
    assert (digits != exact.argmax(1)).sum() <= most_that_differ
    assert (digits == labels).mean() >= accuracy
    assert a.shape == ((10_000,) if brightest else (10_000, 10))
    # In the mean: an activation of one image may change by half where another is brightest.
    error = {"float32": 1e-6, "bfloat16": 1e-3, "int8": 2e-2}[precision]
    assert abs(a - (exact.max(1) if brightest else exact)).mean() < error


@pytest.mark.parametrize("wrong", ["float16", "Float32", ""])
def test_other_precisions_are_refused(params, many, wrong):
    with pytest.raises(ValueError, match=f"float32, bfloat16, int8; got '{wrong}'"):
        jaxnet.classify(params, many[:5], precision=wrong)


def test_eight_bits_want_bytes(params, many):
    with pytest.raises(ValueError, match="uint8 for the precision int8; got floats"):
        jaxnet.classify(params, many[:5] / 255, precision="int8")


def test_bytes_floats_and_jax_arrays_are_the_same_images(params, many):
    expected = jaxnet.classify(params, many[:100]).activations
    for images in (
        many[:100] / np.float32(255),
        many[:100] / 255,
        (many[:100] / 255).astype(np.float32)[::-1][::-1],
        jnp.asarray(many[:100]),
        jnp.asarray(many[:100]).astype(jnp.float32) / 255,
    ):
        np.testing.assert_allclose(jaxnet.classify(params, images).activations, expected, atol=1e-6)


def test_memory_mapped(params, many, tmp_path):
    np.save(tmp_path / "many.npy", many)
    mapped = np.load(tmp_path / "many.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        jaxnet.classify(params, mapped).digits, jaxnet.classify(params, many).digits
    )


def test_other_squashes(params, many):
    answers = jaxnet.classify(params, many[:10], squash=jax.nn.relu, last_squash=jax.nn.softmax)
    np.testing.assert_allclose(answers.activations.sum(1), 1, atol=1e-6)
    for image, digit in zip(many[:10], answers.digits, strict=True):
        x = jnp.asarray(image, jnp.float32) / 255
        assert jaxnet.predict(params, x, squash=jax.nn.relu) == digit


def test_a_squash_of_the_last_layer_sees_one_image_at_a_time(params, many):
    def softmax(z):
        return jnp.exp(z) / jnp.exp(z).sum()

    answers = jaxnet.classify(params, many[:10], last_squash=softmax)
    np.testing.assert_allclose(answers.activations.sum(1), 1, atol=1e-6)


def test_saturated_outputs_are_told_apart():
    params = (jaxnet.Layer(jnp.zeros((3, 2)), jnp.array([90.0, 100.0, 95.0])),)
    assert jaxnet.classify(params, np.zeros((1, 2), np.uint8)).digits == 1


def test_few_compilations_serve_every_number(params, many):
    before = program.read._cache_size()
    for n in (8_193, 10_000, 16_384, 30_000):  # pieces of 8,193 to 16,384 images
        jaxnet.classify(params, many[:n])
    assert program.read._cache_size() - before <= 1


def test_a_stream_is_lazy_and_in_order(params, many):
    taken = []

    def batches():
        for n in range(4):
            taken.append(n)
            yield many[100 * n : 100 * n + 50 + n]

    answers = inference.stream(params, batches())
    assert taken == []
    first = next(answers)
    assert taken == [0]
    rest = [first, *answers]
    assert [len(part.digits) for part in rest] == [50, 51, 52, 53]
    np.testing.assert_array_equal(rest[2].digits, jaxnet.classify(params, many[200:252]).digits)


@pytest.mark.parametrize("n", [0, 1, 3, 5_000, 32_769, 40_000])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_two_devices_read_what_one_reads(params, many, n, dtype):
    images = many[:n] if dtype == np.uint8 else many[:n] / np.float32(255)
    one = jaxnet.classify(params, images)
    mesh = jax.make_mesh((2, 1), ("rows", "columns"))
    for devices in (jax.devices(), mesh):
        two = jaxnet.classify(params, images, devices=devices)
        np.testing.assert_array_equal(two.digits, one.digits)
        np.testing.assert_allclose(two.activations, one.activations, atol=1e-6)


def test_each_device_has_its_share_of_the_work(params, many):
    mesh = inference._mesh(jax.devices())
    layer = program.first(params[0], "float32", in_bytes=True, split=True)
    squashes = {"squash": jax.nn.sigmoid, "last_squash": jax.nn.sigmoid}
    lowered = program.read.lower(
        layer, params[1:], many[:4096], **squashes, brightest=False, tile=1024, mesh=mesh
    )
    compiled = lowered.compile().as_text()
    assert "s8[1024,784]" in compiled or "s8[2,1024,784]" in compiled
    assert not [op for op in ("all-reduce", "all-gather", "all-to-all") if op in compiled]


@pytest.mark.parametrize("n_hosts", [2, 4])
def test_hosts_read_together_what_one_reads(n_hosts, many, tmp_path):
    np.save(tmp_path / "images.npy", many[:10_001])
    as_hosts(reading_hosts, n_hosts, tmp_path)
    parts = [np.load(tmp_path / f"{n}.npz") for n in range(n_hosts)]
    expected = jaxnet.classify(jaxnet.pretrained(), many[:10_001])
    for name in expected._fields:
        got = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(got, getattr(expected, name), atol=1e-6)


@pytest.mark.parametrize(("index", "count"), [(3, 3), (-1, 2), (0, 0)])
def test_no_such_share(index, count):
    with pytest.raises(ValueError, match=f"from 0 to {count - 1}; got {index}"):
        inference.share(10, index, count)


def test_no_devices(params, many):
    with pytest.raises(ValueError, match=r"as jax.local_devices\(\); got \[\]"):
        jaxnet.classify(params, many[:5], devices=[])


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((5, 28, 28), np.uint8), r"\(n, pixels\); got \(5, 28, 28\)"),
        (np.zeros(784, np.uint8), r"\(n, pixels\); got \(784,\)"),
        (np.zeros((5, 783), np.uint8), r"shape \(784,\) .* got float32\[783\]"),
        (np.zeros((5, 784), np.int64), "uint8 or floats; got int64"),
        (np.zeros((5, 784), bool), "uint8 or floats; got bool"),
    ],
)
def test_what_are_not_images_is_refused(params, images, says):
    with pytest.raises(ValueError, match=says):
        jaxnet.classify(params, images)


@pytest.mark.parametrize("wrong", [(), lambda: None])
def test_what_is_no_network_is_refused(wrong, many):
    with pytest.raises(TypeError, match="tuple of Layer"):
        jaxnet.classify(wrong, many[:5])


def test_an_ensemble_is_refused_with_the_right_call(params, many):
    ensemble = jax.tree.map(lambda leaf: leaf[None], params)
    with pytest.raises(ValueError, match=r"in_axes=\(0, None\)"):
        jaxnet.classify(ensemble, many[:5])
