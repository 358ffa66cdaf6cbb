"""Floats in every layout in memory: answers against float64, and the check of their range."""

import re
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import inference
from tests.oracles import matrix_form


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).integers(0, 256, (40_000, 784), np.uint8)


def shifted(images, n_bytes):
    """A copy that begins so many bytes after a multiple of 64."""
    space = np.zeros(images.nbytes + 128, np.uint8)
    lead = -space.ctypes.data % 64 + n_bytes
    copy = space[lead : lead + images.nbytes].view(images.dtype).reshape(images.shape)
    copy[:] = images
    assert copy.ctypes.data % 64 == n_bytes
    return copy


LAYOUTS = {
    "aligned": lambda x: shifted(x, 0),
    "16 bytes off": lambda x: shifted(x, 16),
    "columns": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, 0)[::2],
    "every second column": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "float16": lambda x: x.astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "on the device": jnp.asarray,
}
LENGTHS = (1, 100, 2_048, 2_049, 5_000)


@pytest.fixture(scope="module")
def floats(many):
    return many[: LENGTHS[-1]] / np.float32(255)


@pytest.mark.compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("large_first", [False, True])
def test_layouts_of_floats(params, floats, layout, large_first):
    """The same answers however floats lie, in batches shorter and longer than a chunk."""
    classify = inference.classifier(params)
    if large_first:
        classify(LAYOUTS[layout](np.tile(floats, (2, 1))))
    for n in LENGTHS:
        images = LAYOUTS[layout](floats[:n])
        expected = matrix_form(params, np.asarray(images, np.float64))[-1]
        before, answers = np.array(images), classify(images)
        assert len(answers.digits) == n
        np.testing.assert_allclose(answers.activations, expected, atol=2e-6)
        assert (answers.digits != expected.argmax(1)).sum() <= n / 1000
        np.testing.assert_array_equal(images, before)


# Of these layouts, only float64 holds 1e300.
WRONG = [*product([np.nan, np.inf, -np.inf, -0.01, 1.01], LAYOUTS), (1e300, "float64")]


@pytest.mark.compiled
@pytest.mark.parametrize(("wrong", "layout"), WRONG)
def test_one_value_out_of_range(params, floats, layout, wrong):
    """It is refused in any image, and its value named; without the check, others' answers stay."""
    classify = inference.classifier(params)
    loose = inference.classifier(params, check_range=False)
    expected = matrix_form(params, floats)[-1]
    for n in (1, 100, LENGTHS[-1]):
        for at in {0, n // 2, n - 1}:
            bad = floats[:n].copy() if wrong != 1e300 else floats[:n].astype(np.float64)
            bad[at, (0, 400, 783)[at % 3]] = wrong
            bad = LAYOUTS[layout](bad)
            with pytest.raises(ValueError, match="Expected images as floats from 0") as error:
                classify(bad)
            first, last = map(int, re.search(r"images (\d+) to (\d+)", str(error.value)).groups())
            assert 0 <= first <= at <= last < n
        others = np.arange(n) != at
        answers = loose(bad).activations[others]
        np.testing.assert_allclose(answers, expected[:n][others], atol=1e-3)
    # One bad batch leaves nothing behind.
    np.testing.assert_allclose(
        classify(LAYOUTS[layout](floats[:100])).activations, expected[:100], atol=1e-3
    )


@pytest.mark.parametrize("n", [5, 5_000])
def test_masked_images_are_refused(params, floats, n):
    masked = np.ma.masked_array(floats[:n], floats[:n] > 0.5)
    with pytest.raises(ValueError, match=r"without a mask; .* Use images\.filled\(0\)"):
        jaxnet.classify(params, masked)
    jaxnet.classify(params, masked.filled(0))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n", [100, 5_000])
def test_transfer_guard(params, many, floats, dtype, n):
    """Images on a device are classified where implicit transfers are forbidden."""
    images = jax.device_put(many[:n] if dtype == np.uint8 else floats[:n])
    with jax.transfer_guard("disallow"):
        digits = jaxnet.classify(params, images).digits
    np.testing.assert_array_equal(digits, jaxnet.classify(params, many[:n]).digits)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: 255 * x, r"got 0 to 255, in images 0 to 99\. For floats from 0 to 255, divide"),
        (lambda x: (x - 0.1307) / 0.3081, r"got -0\.424[23] to 2\.82[12].* pass check_range=False"),
        (lambda x: -x, "got -1 to 0"),
        (lambda x: np.where(x > 0.5, np.nan, x), "got nan to nan"),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        np.float32,
        np.float64,
        np.float16,
        jnp.asarray,
        lambda x: np.asfortranarray(x, np.float32),
        lambda x: np.float32(x)[::-1],
        lambda x: np.repeat(np.float32(x), 2, axis=1)[:, ::2],
    ],
)
def test_floats_out_of_range(params, many, spoil, says, kind):
    images = many[:100].astype(np.float32) / 255
    images[0, :2] = 0, 1
    jaxnet.classify(params, kind(images))
    with pytest.raises(ValueError, match=says):
        jaxnet.classify(params, kind(spoil(images)))
    spoiled = jaxnet.classify(params, kind(spoil(images)), check_range=False)
    assert len(spoiled.digits) == 100


@pytest.mark.compiled
def test_bad_image_deep_in_a_batch(params, many):
    images = many.astype(np.float32) / 255
    images[30_000, 17] = 1.5
    with pytest.raises(ValueError, match=r"0 to 1\.5, in images"):
        jaxnet.classify(params, images)


@pytest.mark.compiled
def test_rounding_out_of_range_is_allowed(params, many):
    images = (many[:50] / 255).astype(np.float32)
    images[3, 5], images[4, 6], images[5, 7] = -1e-6, 1 + 1e-6, -0.0
    jaxnet.classify(params, images)
