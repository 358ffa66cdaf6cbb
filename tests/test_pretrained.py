"""The trained networks: what they are, what they classify, and how they are made again."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import jaxnet
from jaxnet._pretrained import NAMES, path_of, pretrained
from jaxnet.data.synthetic import COMPONENTS, sample_components, sample_with_components
from jaxnet.formats._files import TRAINED
from tests.oracles import digits_of, matrix_form

SCRIPTS = Path(__file__).parents[1] / "examples" / "pretrained"


@pytest.fixture
def finish(monkeypatch):
    """What the three scripts share."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return import_module("finish")


def test_sizes():
    params, spec = jaxnet.load()
    assert spec.sizes == (784, 16, 16, 10)
    assert spec.squash == spec.last_squash == "sigmoid"
    assert jaxnet.count(params) == 13_002
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(pretrained()))
    assert {"trained on", "trained by", "chosen by", "test accuracy", "jaxnet"} <= set(spec.notes)


def in_numpy(name):
    """The network as its file has it, without jaxnet: weights and biases in NumPy."""
    arrays = load_file(path_of(name))
    return [(arrays[f"{n}.weights"], arrays[f"{n}.biases"]) for n in range(3)]


@pytest.mark.parametrize(
    ("name", "least"), [("free", 0.973), ("edges", 0.96), ("components", 0.94)]
)
def test_accuracy(mnist, name, least):
    """By plain NumPy, and as the file says."""
    images, labels = mnist["test"]
    accuracy = (digits_of(matrix_form(in_numpy(name), images / 255)[-1]) == labels).mean()
    assert accuracy >= least
    assert jaxnet.load(path_of(name))[1].notes["test accuracy"] == f"{100 * accuracy:.2f} %"


@pytest.mark.parametrize("name", NAMES)
def test_validation_accuracy(mnist, name):
    images, labels = (part[-5_000:] for part in mnist["train"])
    accuracy = (jaxnet.classify(pretrained(name), images).digits == labels).mean()
    said = float(jaxnet.load(path_of(name))[1].notes["validation accuracy"].removesuffix(" %"))
    # Calibration may, by rounding, turn one image in 5,000.
    assert abs(100 * accuracy - said) <= 0.021


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["edges", "components"])
def test_the_second_layer_is_edges(name):
    """Each row of weights is `edge` of five numbers, times a gain, and nothing else."""
    weights = pretrained(name)[0].weights
    found = jax.jit(jax.vmap(jaxnet.analysis.edge_fit))(weights)
    assert found.explained.min() > 0.99999
    grids = jax.vmap(
        lambda x, y, a, *size: jaxnet.design.edge(x, y, a, length=size[0], width=size[1])
    )
    again = found.gain[:, None] * grids(*found[:5])
    np.testing.assert_allclose(again, weights, atol=2e-3 * float(jnp.abs(weights).max()))
    assert len(np.unique(np.round(np.stack(found[:2], 1)), axis=0)) > 12  # at different places


@pytest.mark.compiled
def test_the_third_layer_is_components():
    """On drawings of a component alone, and within digits; in NumPy."""
    from sklearn.metrics import roc_auc_score

    images, which = map(np.asarray, sample_components(jax.random.key(100), 16_000))
    third = matrix_form(in_numpy("components"), images)[2]
    drawn, _, has = map(np.asarray, sample_with_components(jax.random.key(101), 4_000))
    within = matrix_form(in_numpy("components"), drawn)[2]
    for n, name in enumerate(COMPONENTS):
        own = which == n
        assert (third[own].argmax(1) == n).mean() >= 0.85, name
        assert (third[own, n] > 0.5).mean() >= 0.9, name
        assert (third[~own, n] < 0.5).mean() >= 0.9, name
        assert roc_auc_score(has[:, n], within[:, n]) >= 0.95, name


def test_unknown_name():
    with pytest.raises(ValueError, match="one of free, edges, components; got 'edge'"):
        pretrained("edge")


def test_calibrated_outputs(mnist):
    """Of the outputs between 0.4 and 0.6, about half should be right; and so on."""
    images, labels = mnist["test"]
    outputs = jaxnet.classify(pretrained(), images).activations
    right = labels[:, None] == np.arange(10)
    for low in np.arange(0, 1, 0.2):
        inside = (outputs >= low) & (outputs < low + 0.2)
        assert abs(right[inside].mean() - outputs[inside].mean()) < 0.1


@pytest.mark.compiled
@pytest.mark.parametrize("sizes", [(784, 16, 16, 10), (784, 10), (5, 4, 3, 2, 2)])
def test_tanh_to_sigmoid(finish, sizes):
    params = jax.tree.map(lambda a: a + 0.1, jaxnet.init(jax.random.key(0), sizes))
    x = jax.random.uniform(jax.random.key(1), sizes[:1])
    np.testing.assert_allclose(
        jaxnet.logits(finish.in_terms_of_sigmoid(params), x),
        jaxnet.logits(params, x, squash=jnp.tanh),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.compiled
def test_calibration(finish):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as users have
        images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
        images = (255 * images).astype(jnp.uint8)
        before = jax.tree.map(lambda leaf: leaf, pretrained())
        before = (*before[:-1], jaxnet.Layer(before[-1].weights * 3, before[-1].biases * 3 + 5))
        after = finish.calibrate(before, images, labels)
    old, new = (jaxnet.classify(params, images) for params in (before, after))
    np.testing.assert_array_equal(old.digits, new.digits)
    right = np.asarray(labels)[:, None] == np.arange(10)
    assert ((new.activations - right) ** 2).sum() < ((old.activations - right) ** 2).sum() / 2


def train(output, *arguments, script="free"):
    command = [sys.executable, SCRIPTS / f"{script}.py", "--output", output, *arguments]
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
@pytest.mark.parametrize("name", ["edges", "components"])
def test_the_scripts_of_edges_and_components(mnist, tmp_path, name):
    said = train(tmp_path / name, "--epochs", "2", script=name)
    params, spec = jaxnet.load(tmp_path / name)
    images, labels = mnist["test"]
    accuracy = (jaxnet.classify(params, images).digits == labels).mean()
    assert accuracy > 0.85
    assert spec.notes["test accuracy"] == f"{100 * accuracy:.2f} %"
    assert f"test accuracy: {100 * accuracy:.2f} %" in said
    fit = jax.vmap(jaxnet.analysis.edge_fit)
    assert fit(params[0].weights).explained.min() > 0.999


@pytest.mark.slow
def test_training_script_in_full(mnist, tmp_path):
    train(tmp_path / "network")
    images, labels = mnist["test"]
    ours, again = (
        (jaxnet.classify(jaxnet.load(path)[0], images).digits == labels).mean()
        for path in (TRAINED, tmp_path / "network")
    )
    assert abs(ours - again) <= 0.002
