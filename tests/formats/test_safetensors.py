"""Networks in safetensors files: exact round trips, and rejection of anything else."""

import json
import struct
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.network import SQUASHES

pytestmark = pytest.mark.core

HEADER = {"sizes": "4-3-2", "squash": "sigmoid", "last_squash": "sigmoid"}


def tensors(sizes=(4, 3, 2), dtype=np.float32):
    return {
        f"{n}.{name}": np.ones(shape, dtype)
        for n, (n_in, n_out) in enumerate(pairwise(sizes))
        for name, shape in (("weights", (n_out, n_in)), ("biases", (n_out,)))
    }


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("sizes", [(784, 16, 16, 10), (3, 2), (5,) * 12])
def test_round_trip(tmp_path, dtype, sizes):
    params = jaxnet.init(jax.random.key(0), sizes, dtype=dtype)
    notes = {"trained on": "nothing", "größe": "klein ✓"}
    path = tmp_path / "network.safetensors"
    jaxnet.save(path, params, squash="relu", last_squash="softmax", notes=notes)
    again, spec = jaxnet.load(path)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(params), strict=True):
        assert isinstance(ours, jax.Array)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert spec == (sizes, "relu", "softmax", notes)


@pytest.mark.compiled
def test_float64(tmp_path):
    with jax.enable_x64(True):
        params = jaxnet.init(jax.random.key(0), (3, 2), dtype=jnp.float64)
        jaxnet.save(tmp_path / "wide", params)
        np.testing.assert_array_equal(jaxnet.load(tmp_path / "wide")[0][0].weights, params[0][0])
    narrow = jaxnet.load(tmp_path / "wide")[0][0].weights
    assert narrow.dtype == jnp.float32
    np.testing.assert_array_equal(narrow, params[0][0].astype(jnp.float32))


@pytest.mark.compiled
def test_plain_safetensors(tmp_path, params):
    jaxnet.save(tmp_path / "network", params)
    plain = safetensors.numpy.load_file(tmp_path / "network")
    assert plain.keys() == {f"{n}.{name}" for n in range(3) for name in ("weights", "biases")}
    np.testing.assert_array_equal(plain["1.weights"], params[1].weights)


@pytest.mark.compiled
def test_squash_names(tmp_path):
    params = jaxnet.init(jax.random.key(0), (3, 2))
    for name, function in SQUASHES.items():
        jaxnet.save(tmp_path / "network", params, squash=name)
        assert jaxnet.load(tmp_path / "network")[1].squash == name
        assert function(jnp.linspace(-1, 1, 5)).shape == (5,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("1.biases"), "0.biases, 0.weights, 1.weights"),
        (lambda t: t.update(extra=np.ones(1)), "extra"),
        (lambda t: t.clear(), "arrays named ''"),
        (lambda t: t.update({"weights.0": t.pop("0.weights")}), "weights.0"),
        (lambda t: t.update({"1.weights": np.ones((2, 4), "f4")}), r"layer 1 .* \(out, 3\)"),
        (lambda t: t.update({"0.biases": np.ones(4, "f4")}), "layer 0"),
        (lambda t: t.update({"0.weights": np.ones(3, "f4")}), "layer 0"),
        (lambda t: t.update({"0.weights": np.ones((), "f4")}), "layer 0"),
        (lambda t: t.update({"0.weights": np.ones((5, 3, 4), "f4")}), "layer 0"),
        (lambda t: t.update(tensors((4, 0, 2))), "layer 0"),
        (lambda t: t.update(tensors(dtype=np.int32)), "holds I32, not floats"),
        (lambda t: t["1.biases"].fill(np.nan), r"1\.biases holds NaN or infinity"),
        (lambda t: t["0.weights"].fill(np.inf), r"0\.weights holds NaN or infinity"),
    ],
)
def test_foreign_file(tmp_path, change, says):
    path = tmp_path / "network"
    wrong = tensors()
    change(wrong)
    safetensors.numpy.save_file(wrong, path, HEADER)
    with pytest.raises(FileError, match=says) as raised:
        jaxnet.load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "header", [None, {}, {"squash": "sigmoid"}, {**HEADER, "squash": "os.system"}]
)
def test_missing_squash(tmp_path, header):
    safetensors.numpy.save_file(tensors(), tmp_path / "network", header)
    with pytest.raises(FileError, match=r"squash is .* not one of sigmoid, relu"):
        jaxnet.load(tmp_path / "network")


def test_wrong_sizes_in_the_header(tmp_path):
    safetensors.numpy.save_file(tensors(), tmp_path / "network", {**HEADER, "sizes": "4-3-3"})
    with pytest.raises(FileError, match="sizes 4-3-3, but its arrays have 4-3-2"):
        jaxnet.load(tmp_path / "network")


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I64", "BOOL", "C64", "U8"])
def test_other_types(tmp_path, dtype):
    size = {"I64": 8, "C64": 8}.get(dtype, 1)
    entry = {"dtype": dtype, "shape": [1, 1], "data_offsets": [0, size]}
    (tmp_path / "network").write_bytes(header_of({"0.weights": entry}) + bytes(size))
    with pytest.raises(FileError, match=f"'0.weights' holds {dtype}, not floats"):
        jaxnet.load(tmp_path / "network")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 0.5, -1])
def test_truncated_bytes(tmp_path, params, keep):
    path = tmp_path / "network"
    jaxnet.save(path, params)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    # Without its first nine bytes, nothing says what the file is meant to be.
    says = (
        "not a whole safetensors file" if len(path.read_bytes()) > 8 else "networks are read from"
    )
    with pytest.raises(FileError, match=says):
        jaxnet.load(path)


@pytest.mark.compiled
def test_bad_network_is_not_saved(tmp_path, params):
    path = tmp_path / "network"
    path.write_bytes(b"precious")
    broken = (params[1], params[0])
    infinite = jax.tree.map(lambda leaf: leaf / 0, params)
    ensemble = jax.tree.map(lambda leaf: leaf[None], params)
    for wrong in (broken, infinite, ensemble, ()):
        with pytest.raises(ValueError, match="Expected a network that can be loaded"):
            jaxnet.save(path, wrong)
    with pytest.raises(ValueError, match=r"Expected a squash .* got 'sine'"):
        jaxnet.save(path, params, squash="sine")
    with pytest.raises(ValueError, match="names other than squash"):
        jaxnet.save(path, params, notes={"squash": "relu"})
    assert path.read_bytes() == b"precious"


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        jaxnet.load(tmp_path / "nothing")


def test_folder(tmp_path):
    with pytest.raises((FileError, OSError)):
        jaxnet.load(tmp_path)


def test_pickle(tmp_path):
    import pickle

    (tmp_path / "network").write_bytes(pickle.dumps(tensors()))
    with pytest.raises(FileError):
        jaxnet.load(tmp_path / "network")


def header_of(entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


entries = st.dictionaries(
    st.sampled_from(["0.weights", "0.biases", "1.weights", "__metadata__", ""]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "I64", "BOOL", "C64", "X", "F4"]),
            "shape": st.lists(st.integers(-1, 2**63), max_size=3) | st.just([1, 1]),
            "data_offsets": st.lists(st.integers(0, 20), min_size=2, max_size=2),
        }
    )
    | st.just(HEADER)
    | st.none(),
)


@pytest.mark.compiled
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,  # some begin as pickles do, which are read in another process
    max_examples=300,
)
@given(
    st.binary(max_size=100)
    | st.tuples(entries.map(header_of), st.binary(max_size=20)).map(b"".join)
)
def test_arbitrary_bytes(tmp_path, content):
    path = tmp_path / "arbitrary"
    path.write_bytes(content)
    try:
        jaxnet.load(path)
    except FileError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ("text", "text"),
        (3, "3"),
        (0.9744, "0.9744"),
        (10**30, "1" + "0" * 30),
        (True, "True"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.array(0.25), "0.25"),
        (jnp.float32(0.75), "0.75"),
        (jnp.bfloat16(1.5), "1.5"),
    ],
)
def test_notes_of_numbers(tmp_path, params, note, text):
    """A number is saved as its text, in every format that has notes."""
    from jaxnet.formats import torch
    from jaxnet.formats._parts import with_spec

    jaxnet.save(tmp_path / "a.safetensors", params, notes={"what": note})
    torch.save_state_dict(tmp_path / "b.safetensors", params, notes={"what": note})
    assert with_spec(params, "sigmoid", "sigmoid", {"what": note})[1].notes == {"what": text}
    for name in "ab":
        assert jaxnet.load(tmp_path / f"{name}.safetensors")[1].notes == {"what": text}


@pytest.mark.parametrize("note", [[1, 2], None, b"bytes", np.ones(2), {"a": 1}, np.array("text")])
def test_other_notes(tmp_path, params, note):
    with pytest.raises(TypeError, match=r"Expected notes of text or numbers; got a .* for 'what'"):
        jaxnet.save(tmp_path / "a.safetensors", params, notes={"what": note})
    assert not (tmp_path / "a.safetensors").exists()
