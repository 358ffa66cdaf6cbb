"""Networks that people wrote from scratch with NumPy, as they save them."""

import json
import pickle
import subprocess
import sys
from itertools import pairwise

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.formats import load
from tests.subprocesses import run

SIZES = (20, 7, 7, 5)
RNG = np.random.default_rng(0)
WEIGHTS = [RNG.normal(size=(n, m)) for m, n in pairwise(SIZES)]
BIASES = [RNG.normal(size=n) for n in SIZES[1:]]
SIGMOIDS = {"squash": "sigmoid", "last_squash": "sigmoid"}


def same(found):
    params, spec = found
    assert spec.sizes == SIZES
    for (w, b), weights, biases in zip(params, WEIGHTS, BIASES, strict=True):
        np.testing.assert_array_equal(w, weights.astype(np.float32))
        np.testing.assert_array_equal(b, biases.astype(np.float32))


def numbered(weights, biases, names=("W", "b"), start=1):
    pairs = enumerate(zip(weights, biases, strict=True), start)
    return {f"{name}{n}": a for n, pair in pairs for name, a in zip(names, pair, strict=True)}


COLUMNS = [b[:, None] for b in BIASES]


@pytest.mark.process
@pytest.mark.parametrize(
    "arrays",
    [
        numbered(WEIGHTS, BIASES),
        numbered(WEIGHTS, COLUMNS),
        numbered([w.T for w in WEIGHTS], [b[None] for b in BIASES], ("weights_", "bias_"), 0),
        numbered(WEIGHTS, BIASES, ("layer.weight", "layer.bias")),
        dict(reversed(numbered(WEIGHTS, BIASES, start=9).items())),  # 9, 10, 11
        {"w_hidden": WEIGHTS[0], "w_middle": WEIGHTS[1], "w_out": WEIGHTS[2]}
        | {"b_hidden": BIASES[0], "b_middle": BIASES[1], "b_out": BIASES[2]},
        {f"arr_{n}": [*WEIGHTS, *COLUMNS][n // 2 + 3 * (n % 2)] for n in range(6)},  # in turn
        {f"arr_{n}": a for n, a in enumerate([*WEIGHTS, *BIASES])},
        {"w_hidden": WEIGHTS[0], "w_middle": WEIGHTS[1], "w_out": WEIGHTS[2]}
        | {"b_out": BIASES[2], "b_middle": BIASES[1], "b_hidden": BIASES[0]},  # paired by name
        numbered(WEIGHTS, BIASES) | {"learning_rate": np.array(0.1), "sizes": np.array(SIZES)},
    ],
    ids=lambda arrays: ",".join(arrays)[:40],
)
def test_npz(tmp_path, arrays):
    np.savez(tmp_path / "w.npz", **arrays)
    same(load(tmp_path / "w.npz", **SIGMOIDS))


@pytest.mark.parametrize("ending", ["npz", "json", "pkl"])
def test_own_files_with_these_endings(tmp_path, ending):
    """`save` used to write its own format under any ending."""
    jaxnet.save(tmp_path / "n.safetensors", jaxnet.pretrained())
    path = (tmp_path / "n.safetensors").rename(tmp_path / f"n.{ending}")
    assert load(path)[1].sizes == (784, 16, 16, 10)


@pytest.mark.process
def test_npz_without_biases(tmp_path):
    np.savez(tmp_path / "w.npz", *WEIGHTS)
    params, _ = load(tmp_path / "w.npz", squash="relu", last_squash="softmax")
    assert not any(b.any() for _, b in params)
    with pytest.raises(FileError, match="do not name the squashing functions; pass squash="):
        load(tmp_path / "w.npz")


@pytest.mark.process
@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"W1": WEIGHTS[0], "W2": np.ones((5, 6))}, r"in one way; got W1 \(7, 20\), W2 \(5, 6\)"),
        ({"W1": np.eye(5), "b1": np.ones(5)}, "in one way"),  # either orientation
        (numbered(WEIGHTS, BIASES[::-1]), "in one way"),
        (
            numbered(WEIGHTS, BIASES) | {"X": np.ones((9, 20)), "y": np.ones(9)},
            "as W1 and b1; got",
        ),
        (
            {"fc1.weight": np.ones((7, 20)), "bn.gamma": np.ones(7)},
            "as W1 and b1; got",
        ),
        ({"b": np.ones(5)}, "weights of layers, arrays of two axes; found none"),
        (numbered(WEIGHTS, [b * np.nan for b in BIASES]), "NaN or infinity"),
    ],
)
def test_what_does_not_fit(tmp_path, arrays, says):
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(FileError, match=says) as raised:
        load(tmp_path / "w.npz", **SIGMOIDS)
    assert str(tmp_path / "w.npz") in str(raised.value)


@pytest.mark.process
def test_one_output_and_other_orders(tmp_path):
    """As Rashid's book names them, and a last layer that is a single row."""
    np.savez(tmp_path / "w.npz", who=np.ones((5, 10)), wih=np.ones((10, 20)))
    assert load(tmp_path / "w.npz", **SIGMOIDS)[1].sizes == (20, 10, 5)
    np.savez(tmp_path / "w.npz", W1=np.ones((16, 20)), W2=np.ones((1, 16)))
    assert load(tmp_path / "w.npz", **SIGMOIDS)[1].sizes == (20, 16, 1)
    square = [np.full((16, 16), float(n)) for n in range(1, 12)]
    arrays = {f"W{n}": w for n, w in enumerate(square, 1)} | {"W12": np.ones((5, 16))}
    (tmp_path / "w.json").write_text(
        json.dumps({name: a.tolist() for name, a in arrays.items()}, sort_keys=True)
    )
    params, _ = load(tmp_path / "w.json", **SIGMOIDS)
    assert [float(w[0, 0]) for w, _ in params] == [*range(1, 12), 1]


@pytest.mark.process
def test_a_squash_that_is_not_known_is_not_assumed(tmp_path):
    data = {"weights": [w.tolist() for w in WEIGHTS], "biases": [b.tolist() for b in BIASES]}
    (tmp_path / "net.json").write_text(json.dumps({**data, "activation": "relu"}))
    (tmp_path / "net.pkl").write_bytes(pickle.dumps([*zip(WEIGHTS, BIASES, strict=True)]))
    for name in ("net.json", "net.pkl"):
        with pytest.raises(FileError, match="do not name the squashing functions"):
            load(tmp_path / name)
    (tmp_path / "net.json").write_text(json.dumps(data))
    with pytest.raises(FileError, match="pass last_squash="):
        load(tmp_path / "net.json", squash="relu")


@pytest.mark.process
@pytest.mark.parametrize("biases", [COLUMNS, BIASES])
def test_json_of_nielsens_book(tmp_path, biases):
    """As `Network.save` of his network2.py writes it; its neurons are sigmoids."""
    data = {"sizes": SIZES, "weights": [w.tolist() for w in WEIGHTS]}
    data |= {"biases": [b.tolist() for b in biases], "cost": "CrossEntropyCost"}
    (tmp_path / "net.json").write_text(json.dumps(data))
    found = load(tmp_path / "net.json")
    same(found)
    assert (found[1].squash, found[1].last_squash) == ("sigmoid", "sigmoid")


def as_python_2_wrote_it(array):
    """An array in protocol 0, with the bytes as a str, which no Python 3 writes."""
    rows, columns = array.shape
    content = repr(array.astype("<f8").tobytes())[1:]
    return (
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        f"(I1\n(I{rows}\nI{columns}\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR"
        f"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS{content}\ntb"
    )


def python_2(weights, biases):
    lists = [
        "(l" + "".join(as_python_2_wrote_it(a) + "a" for a in arrays)
        for arrays in (weights, biases)
    ]
    return f"({lists[0]}{lists[1]}t.".encode("latin1")


@pytest.mark.process
@pytest.mark.parametrize("name", ["pretrained_weights_and_biases", "net.pkl", "net.pickle"])
@pytest.mark.parametrize("protocol", ["python 2", 0, 2, 4, 5])
def test_pickle_as_the_videos_author_published_it(tmp_path, name, protocol):
    """A pair of lists: arrays of shape (out, in), and of shape (out, 1)."""
    content = (
        python_2(WEIGHTS, COLUMNS)
        if protocol == "python 2"
        else pickle.dumps((WEIGHTS, COLUMNS), protocol=protocol)
    )
    (tmp_path / name).write_bytes(content)
    found = load(tmp_path / name)
    same(found)
    assert found[1].by_layer == ("sigmoid",) * 3


@pytest.mark.process
def test_commands_take_a_pickle(tmp_path):
    """As it is, without an ending."""
    net = jaxnet.pretrained()
    content = python_2([np.asarray(w) for w, _ in net], [np.asarray(b)[:, None] for _, b in net])
    (tmp_path / "pretrained_weights_and_biases").write_bytes(content)
    done = run("convert", tmp_path / "pretrained_weights_and_biases", tmp_path / "n.safetensors")
    assert done.returncode == 0, done.stderr
    assert "assumed to be of sigmoids" in done.stderr
    params, spec = load(tmp_path / "n.safetensors")
    assert spec.notes == {"squashes": "assumed"}
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(net), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Runs:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.process
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Runs(eval, "open('ran', 'w')"), r"holds builtins\.eval, which could run code"),
        (Runs(subprocess.call, ["touch", "ran"]), r"holds subprocess\.call"),
        (([Runs(print, "x")], COLUMNS), r"holds builtins\.print"),
        (Runs(getattr, "x", "y"), r"holds builtins\.getattr"),
        (Runs(np.load, "x"), r"holds numpy\..*load, which could run code"),
        (Runs(np.ndarray, (10**12,)), "not a whole"),
        (Runs(np.dtype, "f8"), "found none"),
        (Runs(np.zeros, 10**12), r"holds numpy.*zeros"),
        (3, "found none"),
        ([["text"]], "found none"),
        ("text", "found none"),
    ],
)
def test_no_code_is_run(tmp_path, monkeypatch, value, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(FileError, match=says) as raised:
        load(tmp_path / "net.pkl", **SIGMOIDS)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.process
def test_a_pickle_of_scikit_learn(tmp_path):
    network = pytest.importorskip("sklearn.neural_network")
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(network.MLPClassifier()))
    with pytest.raises(FileError, match=r"load it there and pass it to jaxnet\.formats\.from_sk"):
        load(tmp_path / "net.pkl")


@pytest.mark.process
@pytest.mark.parametrize("keep", [0, 1, 20, 500, 0.9])
@pytest.mark.parametrize("ending", ["pkl", "npz", "json"])
def test_damaged(tmp_path, ending, keep):
    path = tmp_path / f"net.{ending}"
    if ending == "npz":
        np.savez(path, **numbered(WEIGHTS, BIASES))
    elif ending == "json":
        path.write_text(json.dumps({"weights": [w.tolist() for w in WEIGHTS]}))
    else:
        path.write_bytes(pickle.dumps((WEIGHTS, COLUMNS)))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.9 else keep])
    with pytest.raises(FileError) as raised:
        load(path, **SIGMOIDS)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.process
def test_a_list_in_itself(tmp_path):
    value = []
    value.append(value)
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(FileError, match="not a whole"):
        load(tmp_path / "net.pkl", **SIGMOIDS)


@pytest.mark.process
@pytest.mark.parametrize("module", ["_onnx_graphs", "_hdf5", "_scratch_files"])
def test_the_other_process_is_light(module):
    """It does without JAX, or each file would take a second more."""
    code = (
        "import sys; from jaxnet._util import apart; "
        f"apart.answer('jaxnet.formats.{module}:read'); sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"x", stdout=subprocess.DEVNULL)
    assert done.returncode == 0
