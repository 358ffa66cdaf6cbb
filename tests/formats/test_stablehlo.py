"""StableHLO: programs that run without jaxnet and state how long they are supported."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.formats.stablehlo import export, load
from jaxnet.network import SQUASHES
from tests.oracles import matrix_form

KINDS = {
    "any-uint8": {"image_dtype": np.uint8},
    "any-float32": {},
    "seven-uint8": {"image_dtype": np.uint8, "batch": 7},
    "seven-float32": {"batch": 7},
}


def reader(tmp_path, content):
    path = tmp_path / "network.stablehlo"
    path.write_bytes(content)
    return load(path)


@pytest.fixture(scope="module")
def exported():
    """The trained network, exported with each set of options."""
    return {name: export(jaxnet.pretrained(), **options) for name, options in KINDS.items()}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 784), np.uint8)


@pytest.mark.process
def test_without_jaxnet(tmp_path, exported, pixels):
    for name, content in exported.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "uint8.npy", pixels)
    np.save(tmp_path / "float32.npy", pixels.astype(np.float32) / np.float32(255))
    code = """
import sys
sys.modules["jaxnet"] = None
import jax.export, numpy as np
for name in sys.argv[1:]:
    batch, dtype = name.split("-")
    with open(name, "rb") as file:
        run = jax.export.deserialize(bytearray(file.read())).call
    images = np.load(dtype + ".npy")
    digits, activations = run(images)
    np.savez(name, digits, activations)
    if batch == "any":
        assert run(images[:3])[1].shape == (3, 10)
        try:
            run(images[:0])
        except ValueError as error:
            assert "Expected value >= 1 for dimension variable 'n'" in str(error)
assert not [name for name in sys.modules if name.startswith("jaxnet.")]
"""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *exported],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    expected = matrix_form(jaxnet.pretrained(), pixels / 255)[-1]
    for name in exported:
        digits, activations = np.load(tmp_path / f"{name}.npz").values()
        np.testing.assert_array_equal(digits, expected.argmax(1))
        np.testing.assert_allclose(activations, expected, atol=1e-5)


@pytest.mark.compiled
def test_mnist_against_jaxnet(mnist, tmp_path, exported):
    images, _ = mnist["test"]
    answers = jaxnet.classify(jaxnet.pretrained(), images)
    digits, activations = reader(tmp_path, exported["any-uint8"])[0](images)
    np.testing.assert_array_equal(digits, answers.digits)
    np.testing.assert_allclose(activations, answers.activations, atol=1e-5)


@pytest.mark.compiled
def test_every_platform(exported):
    for content in exported.values():
        program = jax.export.deserialize(bytearray(content))
        assert program.platforms == ("cpu", "cuda", "tpu")
        assert "jaxnet" not in str(program.in_tree) + str(program.out_tree)
    only = export(jaxnet.pretrained(), platforms=["tpu"])
    assert jax.export.deserialize(bytearray(only)).platforms == ("tpu",)


def test_versions_and_lifetime(tmp_path, exported):
    _, about = reader(tmp_path, exported["any-uint8"])
    program = jax.export.deserialize(bytearray(exported["any-uint8"]))
    assert about == json.loads(program.fun_name)
    assert about.pop("sha256")
    assert about == {
        "sizes": "784-16-16-10",
        "squash": "sigmoid",
        "last_squash": "sigmoid",
        "jaxnet": "0.1.0",
        "jax": jax.__version__,
        "calling_convention_version": str(program.calling_convention_version),
        "lifetime": "run by JAX up to 6 months newer and 3 weeks older",
    }
    # Readable without JAX, or with a JAX that no longer supports the format.
    assert f'"jax": "{jax.__version__}"'.encode() in exported["any-uint8"]


@pytest.mark.compiled
@pytest.mark.parametrize("name", SQUASHES)
def test_every_squash(tmp_path, name):
    params = jaxnet.init(jax.random.key(0), (20, 7, 5))
    images = np.random.default_rng(0).uniform(-9, 9, (6, 20)).astype(np.float32)
    read, about = reader(tmp_path, export(params, squash=name, last_squash=name))
    assert (about["squash"], about["last_squash"]) == (name, name)
    squash = SQUASHES[name]
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, squash=squash, last_squash=squash))(images)
    np.testing.assert_allclose(read(images)[1], ours, atol=1e-6)


@pytest.mark.parametrize("kind", ["any-uint8", "any-float32"])
def test_no_images(tmp_path, exported, kind, pixels):
    read, _ = reader(tmp_path, exported[kind])
    images = pixels if "uint8" in kind else pixels.astype(np.float32)
    nothing, something = read(images[:0]), read(images)
    for none, some in zip(nothing, something, strict=True):
        assert none.shape == (0, *some.shape[1:])
        assert none.dtype == some.dtype


def test_inside_a_larger_program(tmp_path, exported, pixels):
    read, _ = reader(tmp_path, exported["any-uint8"])
    brightest = jax.jit(lambda images: read(images)[1].max(1))
    np.testing.assert_allclose(brightest(pixels), read(pixels)[1].max(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "images", "says"),
    [
        ("any-uint8", np.zeros((3, 784), np.float32), r"in uint8 of shape \(n, 784\); got float32"),
        ("any-uint8", np.zeros((3, 28, 28), np.uint8), r"\(n, 784\); got uint8\[3, 28, 28\]"),
        ("any-float32", np.zeros(784, np.float32), r"got float32\[784\]"),
        ("seven-float32", np.zeros((6, 784), np.float32), r"\(7, 784\); got float32\[6, 784\]"),
        ("seven-uint8", np.zeros((0, 784), np.uint8), r"\(7, 784\); got uint8\[0, 784\]"),
    ],
)
def test_bad_images(tmp_path, exported, kind, images, says):
    with pytest.raises(ValueError, match=says):
        reader(tmp_path, exported[kind])[0](images)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"squash": "sine"}, "got 'sine'"),
        ({"image_dtype": np.int32}, "uint8 or floats; got int32"),
        ({"batch": 0}, "a batch of 1 to 2,147,483,647 images; got 0"),
        ({"platforms": ("gpu",)}, r"platforms of cpu, cuda, rocm, tpu; got \('gpu',\)"),
        ({"platforms": ()}, "platforms of"),
    ],
)
def test_unsupported_exports(params, options, says):
    with pytest.raises(ValueError, match=says):
        export(params, **options)
    with pytest.raises(ValueError, match="NaN or infinity"):
        export(jax.tree.map(lambda leaf: leaf / 0, params))


@pytest.mark.compiled
def test_half_precision(tmp_path):
    params = jaxnet.init(jax.random.key(0), (20, 5), dtype=jnp.bfloat16)
    read, _ = reader(tmp_path, export(params, image_dtype=jnp.bfloat16))
    assert read(jnp.ones((2, 20), jnp.bfloat16))[1].dtype == jnp.bfloat16


@pytest.mark.parametrize("keep", [0, 8, 1000, 0.5, 0.99])
def test_truncated_bytes(tmp_path, exported, keep):
    whole = exported["any-uint8"]
    with pytest.raises(FileError, match="export it again"):
        reader(tmp_path, whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])


def test_changed_weight(tmp_path, exported):
    content = bytearray(exported["any-uint8"])
    at = content.find(np.asarray(jaxnet.pretrained()[2].biases).tobytes())
    assert at > 0
    content[at] ^= 1
    with pytest.raises(FileError, match="its checksum does not match"):
        reader(tmp_path, content)


def test_file_of_another_version(tmp_path, exported):
    program = jax.export.deserialize(bytearray(exported["any-uint8"]))
    for change in (
        {"calling_convention_version": jax.export.minimum_supported_calling_convention_version - 1},
        {"calling_convention_version": jax.export.maximum_supported_calling_convention_version + 1},
        {"fun_name": program.fun_name[:-1]},
    ):
        content = bytes(dataclasses.replace(program, **change).serialize())
        with pytest.raises(FileError, match=rf"made by JAX {jax.__version__} and read by"):
            reader(tmp_path, content)


@pytest.mark.parametrize("content", [b"garbage" * 99, bytes(1000), b"PK\3\4" * 99])
def test_foreign_files(tmp_path, content):
    with pytest.raises(FileError, match="not a complete StableHLO file from jaxnet"):
        reader(tmp_path, content)
