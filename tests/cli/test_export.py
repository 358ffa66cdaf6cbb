"""`export` and `convert`: real files, real readers, and mistakes."""

import jax
import jax.export
import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.formats._files import TRAINED
from tests.oracles import matrix_form
from tests.subprocesses import refused, run, run_alone

onnxruntime = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def command():
    """Runs the command line in this process, and raises what a process would print."""
    from jaxnet.cli import app

    return lambda *arguments: app([*map(str, arguments)], standalone_mode=False)


@pytest.fixture(scope="module")
def pixels():
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 20)
    return np.asarray(255 * images).astype(np.uint8)


@pytest.fixture(scope="module")
def expected(pixels):
    return matrix_form(jaxnet.pretrained(), pixels / 255)[-1]


def test_onnx_runtime(tmp_path, pixels, expected):
    process = run("export", "digits.onnx", "--uint8", cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "digits.onnx\n", "")
    session = onnxruntime.InferenceSession(tmp_path / "digits.onnx")
    digits, activations = session.run(None, {"images": pixels})
    np.testing.assert_array_equal(digits, expected.argmax(1))
    np.testing.assert_allclose(activations, expected, atol=1e-5)
    notes = jaxnet.load()[1].notes
    assert notes.items() <= session.get_modelmeta().custom_metadata_map.items()


def test_stablehlo_in_jax(tmp_path, pixels, expected):
    process = run("export", "digits.stablehlo", "--batch", 20, cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "digits.stablehlo\n", "")
    content = (tmp_path / "digits.stablehlo").read_bytes()
    program = jax.export.deserialize(bytearray(content))
    digits, activations = program.call(pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(digits, expected.argmax(1))
    np.testing.assert_allclose(activations, expected, atol=1e-5)
    assert b".py" not in content  # no source paths


def test_pytorch_round_trip(tmp_path, command, capsys):
    first, there, back = (tmp_path / name for name in ("a.safetensors", "b.pt", "c.safetensors"))
    jaxnet.save(first, jaxnet.pretrained(), squash="relu", notes={"trained on": "digits"})
    command("convert", first, there)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(784, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU()),
        torch.nn.Linear(16, 10),
    )
    model.load_state_dict(torch.load(there, weights_only=True))
    with pytest.raises(FileError, match=r"b\.pt: .* pass squash= and last_squash="):
        command("convert", there, back)
    assert not back.exists()
    command("convert", there, back, "--squash", "relu", "--last-squash", "sigmoid")
    again, spec = jaxnet.load(back)
    assert spec == ((784, 16, 16, 10), "relu", "sigmoid", {})
    for a, b in zip(jax.tree.leaves(jaxnet.pretrained()), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert capsys.readouterr().out.split() == [str(there), str(back)]


def test_pytorch_names_in_safetensors(tmp_path, command):
    import safetensors.torch

    command("convert", TRAINED, tmp_path / "network.safetensors", "--pytorch")
    state = safetensors.torch.load_file(tmp_path / "network.safetensors")
    assert set(state) == {f"{n}.{kind}" for n in (0, 2, 4) for kind in ("weight", "bias")}
    command("convert", tmp_path / "network.safetensors", tmp_path / "again.safetensors")
    (ours, spec), (theirs, said) = map(jaxnet.load, (TRAINED, tmp_path / "again.safetensors"))
    assert said == spec
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keras_backend(tmp_path):
    """Keras defaults to TensorFlow, which is rarely installed beside JAX."""
    pytest.importorskip("keras")
    process = run_alone(
        "convert", TRAINED, "digits.keras", cwd=tmp_path, KERAS_HOME=tmp_path / "keras"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "digits.keras\n", "")
    assert (tmp_path / "digits.keras").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "digits.txt"], r"digits\.txt: the output must end in \.onnx or \.stablehlo"),
        (["export", "nowhere/digits.onnx"], "there is no folder nowhere"),
        (["export", "digits.onnx", "--batch", 0], "a batch of 1 to 2,147,483,647 images; got 0"),
        (
            ["export", "digits.stablehlo", "--batch", -1],
            "a batch of 1 to 2,147,483,647 images; got -1",
        ),
        (
            ["export", "digits.onnx", "--batch", "99999999999999999999"],
            "a batch of 1 to 2,147,483,647 images; got 99999999999999999999",
        ),
        (["convert", "in.safetensors", "out.npz"], r"out\.npz: networks are converted between"),
        (
            ["convert", "in.safetensors", "out.h5"],
            r"out\.h5: \.h5 files are only read; write one of",
        ),
        (["convert", "in.npz", "out.onnx"], r"in\.npz: networks are converted between"),
        (["convert", "in.safetensors", "in.safetensors"], "this is one of the inputs"),
        (["convert", "in.safetensors", "./in.safetensors"], "this is one of the inputs"),
        (["convert", "in.safetensors", "out.onnx", "--pytorch"], "PyTorch's names are for"),
        (["convert", "in.safetensors", "out.onnx", "--squash", "relu"], "says sigmoid, not relu"),
        (["convert", "text.safetensors", "out.onnx"], "not a whole safetensors file"),
        (["convert", "text.onnx", "out.safetensors"], r"text\.onnx: not a whole ONNX file"),
        (["convert", "text.pt", "out.safetensors"], r"text\.pt: contains more than arrays"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, command, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.safetensors").write_bytes(TRAINED.read_bytes())
    for ending in ("safetensors", "onnx", "pt"):
        (tmp_path / f"text.{ending}").write_text("There once was a network.")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=says) as raised:
        command(*arguments)
    assert len(str(raised.value).splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_missing_file(tmp_path):
    said = refused(run("convert", "nothing.safetensors", "network.onnx", cwd=tmp_path))
    assert said == "jaxnet: nothing.safetensors: No such file or directory\n"
