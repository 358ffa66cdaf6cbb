"""The trained network: what it is, what it reads, and the steps that make it again."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet._pretrained import pretrained
from jaxnet._pretrained.train import calibrate, in_terms_of_sigmoid
from jaxnet.formats.safetensors import TRAINED


def test_sizes():
    params, spec = jaxnet.load()
    assert spec.sizes == (784, 16, 16, 10)
    assert spec.squash == spec.last_squash == "sigmoid"
    assert jaxnet.count(params) == 13_002
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(pretrained()))
    assert {"trained on", "trained by", "chosen by", "test accuracy", "jaxnet"} <= set(spec.notes)


def test_accuracy(mnist):
    images, labels = mnist["test"]
    accuracy = (jaxnet.classify(pretrained(), images).digits == labels).mean()
    assert accuracy >= 0.973
    said = jaxnet.load()[1].notes["test accuracy"]
    assert said == f"{100 * accuracy:.2f} %"


def test_held_out_accuracy(mnist):
    images, labels = (part[-5_000:] for part in mnist["train"])
    accuracy = (jaxnet.classify(pretrained(), images).digits == labels).mean()
    said = float(jaxnet.load()[1].notes["held-out accuracy"].removesuffix(" %"))
    # Calibration may, by rounding, turn one image in 5,000.
    assert abs(100 * accuracy - said) <= 0.021


def test_calibrated_outputs(mnist):
    """Of the outputs between 0.4 and 0.6, about half should be right; and so on."""
    images, labels = mnist["test"]
    outputs = jaxnet.classify(pretrained(), images).activations
    right = labels[:, None] == np.arange(10)
    for low in np.arange(0, 1, 0.2):
        inside = (outputs >= low) & (outputs < low + 0.2)
        assert abs(right[inside].mean() - outputs[inside].mean()) < 0.1


@pytest.mark.parametrize("sizes", [(784, 16, 16, 10), (784, 10), (5, 4, 3, 2, 2)])
def test_tanh_to_sigmoid(sizes):
    params = jax.tree.map(lambda a: a + 0.1, jaxnet.init(jax.random.key(0), sizes))
    x = jax.random.uniform(jax.random.key(1), sizes[:1])
    np.testing.assert_allclose(
        jaxnet.logits(in_terms_of_sigmoid(params), x),
        jaxnet.logits(params, x, squash=jnp.tanh),
        rtol=1e-4,
        atol=1e-4,
    )


def test_calibration():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as users have
        images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
        images = (255 * images).astype(jnp.uint8)
        before = jax.tree.map(lambda leaf: leaf, pretrained())
        before = (*before[:-1], jaxnet.Layer(before[-1].weights * 3, before[-1].biases * 3 + 5))
        after = calibrate(before, images, labels)
    old, new = (jaxnet.classify(params, images) for params in (before, after))
    np.testing.assert_array_equal(old.digits, new.digits)
    right = np.asarray(labels)[:, None] == np.arange(10)
    assert ((new.activations - right) ** 2).sum() < ((old.activations - right) ** 2).sum() / 2


def train(output, *arguments):
    command = [sys.executable, "-m", "jaxnet._pretrained.train", "--output", output, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_training_script(mnist, tmp_path):
    said = train(tmp_path / "network", "--starts", "2", "--epochs", "2")
    params, spec = jaxnet.load(tmp_path / "network")
    images, labels = mnist["test"]
    accuracy = (jaxnet.classify(params, images).digits == labels).mean()
    assert accuracy > 0.85
    assert spec.notes["test accuracy"] == f"{100 * accuracy:.2f} %"
    assert f"test accuracy: {100 * accuracy:.2f} %" in said


@pytest.mark.slow
def test_training_script_in_full(mnist, tmp_path):
    train(tmp_path / "network")
    images, labels = mnist["test"]
    ours, again = (
        (jaxnet.classify(jaxnet.load(path)[0], images).digits == labels).mean()
        for path in (TRAINED, tmp_path / "network")
    )
    assert abs(ours - again) <= 0.002
