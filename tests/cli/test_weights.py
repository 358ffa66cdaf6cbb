"""`--weights` takes every format that `jaxnet convert` reads, and names it where it cannot."""

import json
import pickle

import jax
import numpy as np
import pytest
import safetensors.numpy

import jaxnet
from jaxnet.formats._files import FORMATS
from tests.subprocesses import refused, run

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
h5py = pytest.importorskip("h5py")
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")

# Keras itself triggers this warning when it saves JAX arrays.
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
SQUASHES = ("--squash", "relu", "--last-squash", "softmax")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One network in every format, made by its own package where jaxnet does not write it."""
    folder = tmp_path_factory.mktemp("networks")
    params = jaxnet.init(jax.random.key(0), (784, 8, 10))
    for ending, form in FORMATS.items():
        if form.write:
            known = {"squash": "relu", "last_squash": "softmax"}
            jaxnet.save(folder / f"digits{ending}", params, **known)
    state = {
        f"model.{name}.{kind}": torch.tensor(np.asarray(array))
        for name, layer in zip(("fc1", "out"), params, strict=True)
        for kind, array in zip(("weight", "bias"), layer, strict=True)
    }
    torch.save({"state_dict": state, "epoch": 3}, folder / "digits.ckpt")
    jaxnet.formats.to_keras(params, squash="relu", last_squash="softmax").save(folder / "digits.h5")
    kernels = {f"Dense_{n}.kernel": np.asarray(w).T.copy() for n, (w, _) in enumerate(params)}
    biases = {f"Dense_{n}.bias": np.asarray(b) for n, (_, b) in enumerate(params)}
    safetensors.numpy.save_file(kernels | biases, folder / "flax.safetensors")
    jaxnet.save(folder / "without ending", params, squash="relu", last_squash="softmax")
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(1), 20)
    np.save(folder / "images.npy", (255 * np.asarray(images)).astype(np.uint8))
    (folder / "digits.txt").write_text("no network")
    plain = {f"W{n}": np.asarray(w) for n, (w, _) in enumerate(params)}
    plain |= {f"b{n}": np.asarray(b) for n, (_, b) in enumerate(params)}
    np.savez(folder / "digits.npz", **plain)
    (folder / "digits.json").write_text(json.dumps({k: a.tolist() for k, a in plain.items()}))
    for ending in ("pkl", "pickle"):
        (folder / f"digits.{ending}").write_bytes(pickle.dumps(plain))
    (folder / "empty.bin.gz").write_bytes(b"")
    return folder


def digits_of(folder, weights):
    process = run("classify", "images.npy", "--json", "--weights", weights, cwd=folder)
    assert process.returncode == 0, process.stderr
    return [json.loads(line)["digit"] for line in process.stdout.splitlines()]


def test_every_format(folder):
    expected = digits_of(folder, "without ending")
    assert len({*expected}) > 2
    for ending in FORMATS:
        name = f"digits{ending}"
        if ending not in (".safetensors", ".onnx", ".keras", ".h5"):  # of arrays alone
            process = run("classify", "images.npy", "--weights", name, cwd=folder)
            said = refused(process)
            assert said.startswith(
                f"jaxnet: {name}: its arrays do not name the squashing functions"
            )
            assert "jaxnet convert FILE network.safetensors --squash NAME" in said
            converted = f"from{ending}.safetensors"
            assert run("convert", name, converted, *SQUASHES, cwd=folder).returncode == 0
            name = converted
        assert digits_of(folder, name) == expected


def test_flax_arrays(folder):
    said = refused(run("info", "flax.safetensors", cwd=folder))
    assert "--squash NAME --last-squash NAME" in said
    assert run("convert", "flax.safetensors", "f.onnx", *SQUASHES, cwd=folder).returncode == 0
    assert digits_of(folder, "f.onnx") == digits_of(folder, "without ending")


@pytest.mark.parametrize("name", ["digits.txt", "images.npy", "empty.bin.gz"])
def test_other_files(folder, name):
    said = refused(run("info", name, cwd=folder))
    endings = ", ".join(FORMATS)
    assert said == (f"jaxnet: {name}: networks are read from {endings}, not this.\n")


@pytest.mark.parametrize("command", ["info", "export", "page", "draw", "probe", "bench"])
def test_every_command(folder, tmp_path, command):
    """An ONNX file, of which the others know as much as `classify`."""
    arguments = {
        "info": ("digits.onnx",),
        "export": (tmp_path / "out.onnx", "--opset", "13", "--weights", "digits.h5"),
        "page": ("--output", tmp_path / "out.html", "--weights", "digits.onnx"),
        "draw": ("weights", "--neuron", "3", "--weights", "digits.keras"),
        "probe": ("--json", "--weights", "digits.onnx"),
        "bench": ("--quick", "--weights", "digits.onnx"),
    }[command]
    process = run(command, *arguments, cwd=folder)
    assert process.returncode == 0, process.stderr


def test_opset(folder, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "old.onnx"
    assert run("export", path, "--opset", "7", cwd=folder).returncode == 0
    assert onnx.load(path).opset_import[0].version == 7
    for arguments, says in (
        ((path, "--overwrite", "--opset", "6"), "an opset from 7 to"),
        ((path, "--overwrite", "--opset", "9" * 20), "for this network; got 99999999999999999999"),
        ((tmp_path / "a.stablehlo", "--opset", "13"), "--opset: is for .onnx only."),
    ):
        assert says in refused(run("export", *arguments, cwd=folder))
