"""Many images, against float64, whatever their number and their kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import inference, program
from tests.helpers import matrix_form


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
