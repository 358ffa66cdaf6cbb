"""Arrays by name, as PyTorch's and Flax's users save them: their order, wrappers, and lies."""

from collections import OrderedDict
from pathlib import PurePosixPath

import jax
import numpy as np
import pytest
import safetensors.numpy

import jaxnet
from jaxnet import formats
from jaxnet._util.files import FileError
from jaxnet.formats import flax
from jaxnet.formats._files import UnknownSquash
from jaxnet.formats._order import in_order
from jaxnet.formats.torch import load_state_dict
from tests.oracles import float64

torch = pytest.importorskip("torch")

SQUASHES = {"squash": "relu", "last_squash": "identity"}


class Classifier(torch.nn.Module):
    """As tutorials write it: fc1, fc2, out."""

    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(20, 7)
        self.fc2 = torch.nn.Linear(7, 6)
        self.out = torch.nn.Linear(6, 5)

    def forward(self, x):
        return self.out(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Square(torch.nn.Module):
    """Layers of one size, so that only their declaration tells their order."""

    def __init__(self):
        super().__init__()
        self.stem, self.body, self.head = (torch.nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        return self.head(torch.relu(self.body(torch.relu(self.stem(x)))))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Classifier()


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).uniform(-3, 3, (9, 20)).astype(np.float32)


def relu_network(layers, x):
    """In float64: ReLU between the layers, nothing at the end."""
    a = np.asarray(x, np.float64)
    for n, (w, b) in enumerate(float64(layers)):
        a = a @ w.T + b
        a = np.maximum(a, 0) if n < len(layers) - 1 else a
    return a


def layers_of(model, *names):
    return [
        (getattr(model, name).weight.detach().numpy(), getattr(model, name).bias.detach().numpy())
        for name in names
    ]


def same(params, layers):
    assert len(params) == len(layers)
    for ours, theirs in zip(jax.tree.leaves(tuple(params)), jax.tree.leaves(layers), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def prefixed(state, prefix):
    return OrderedDict((prefix + name, array) for name, array in state.items())


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "net."])
def test_fc1_fc2_out(tmp_path, model, x, ending, prefix):
    path, state = tmp_path / f"network.{ending}", prefixed(model.state_dict(), prefix)
    if ending == "safetensors":
        safetensors.numpy.save_file({k: v.numpy() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    params, spec = jaxnet.load(path, **SQUASHES)
    layers = layers_of(model, "fc1", "fc2", "out")
    same(params, layers)
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)
    np.testing.assert_allclose(ours, relu_network(layers, x), atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(ours, model(torch.tensor(x)), atol=1e-5)


@pytest.mark.parametrize("shuffled", [[2, 0, 1], [1, 2, 0]])
def test_order_by_shapes(model, shuffled):
    """Declared in another order than used."""
    names = [["fc1", "fc2", "out"][n] for n in shuffled]
    state = {f"{n}.{kind}": model.state_dict()[f"{n}.{kind}"] for n in names for kind in KINDS}
    params, _ = formats.from_state_dict(state, **SQUASHES)
    same(params, layers_of(model, "fc1", "fc2", "out"))


KINDS = ("weight", "bias")


def test_order_as_declared(tmp_path):
    """PyTorch's files keep the order of declaration; safetensors files do not."""
    torch.manual_seed(0)
    square = Square()
    torch.save(square.state_dict(), tmp_path / "square.pt")
    params, _ = jaxnet.load(tmp_path / "square.pt", **SQUASHES)
    same(params, layers_of(square, "stem", "body", "head"))
    arrays = {name: array.numpy() for name, array in square.state_dict().items()}
    safetensors.numpy.save_file(arrays, tmp_path / "square.safetensors")
    with pytest.raises(FileError, match=r"square\.safetensors: .*fit together in several") as said:
        jaxnet.load(tmp_path / "square.safetensors", **SQUASHES)
    assert "Number them, as in fc1, fc2, fc3." in str(said.value)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"b.10.c2": (1, 1), "b.9.c2": (1, 1)}, ["b.9.c2", "b.10.c2"]),
        ({"out": (5, 6), "fc": (6, 20)}, ["fc", "out"]),
        ({"fc1": (6, 6), "fc2": (6, 6), "out": (5, 6)}, ["fc1", "fc2", "out"]),
        ({"fc2": (6, 6), "fc1": (6, 6), "out": (5, 6)}, ["fc1", "fc2", "out"]),
        ({"in": (6, 9), "a": (6, 6), "b": (6, 6), "out": (5, 6)}, ["in", "a", "b", "out"]),
        ({}, []),
    ],
)
def test_in_order(shapes, expected):
    assert in_order(shapes, declared=True) == expected


@pytest.mark.parametrize(
    ("shapes", "declared", "says"),
    [
        ({"in": (6, 9), "a": (6, 6), "b": (6, 6), "out": (5, 6)}, False, "in several"),
        ({"a": (6, 6), "in": (6, 9), "b": (6, 6), "out": (5, 6)}, True, "in several"),
        ({"a": (5, 6), "b": (7, 8)}, True, "no such order for a, b"),
        ({"fc2": (6, 9), "fc1": (5, 6), "out": (4, 5)}, True, "no such order"),
        ({"a": (5, 6), "b": (5,)}, True, r"\(out, in\) in each layer"),
        ({chr(97 + n // 26) + chr(97 + n % 26): (2, 2) for n in range(99)}, False, "several"),
        # Two stars around one neuron: their branches would take forever to search.
        (
            {chr(97 + n // 26) + chr(97 + n % 26): ((1, n), (n, 1))[n % 2] for n in range(4, 99)},
            True,
            "no such order|names that give",
        ),
    ],
)
def test_no_single_order(shapes, declared, says):
    with pytest.raises(ValueError, match=says) as said:
        in_order(shapes, declared=declared)
    assert len(str(said.value)) < 400


def lightning(model):
    """The entries of a checkpoint of PyTorch Lightning 2."""
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 20)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": prefixed(model.state_dict(), "model."),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.001, "hidden": [7, 6]},
    }


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("best.pt", lambda m: {"model_state_dict": m.state_dict(), "epoch": 3, "loss": 0.1}),
        (
            "best.pth",
            lambda m: {
                "optimizer_state_dict": torch.optim.Adam(m.parameters()).state_dict(),
                "state_dict": m.state_dict(),
            },
        ),
        ("best.pt", lambda m: {"model": prefixed(m.state_dict(), "module."), "args": {"lr": 1}}),
        ("epoch=3.ckpt", lightning),
    ],
)
def test_wrapped(tmp_path, name, wrap):
    torch.manual_seed(1)
    model = Classifier()
    torch.save(wrap(model), tmp_path / name)
    params, _ = jaxnet.load(tmp_path / name, **SQUASHES)
    same(params, layers_of(model, "fc1", "fc2", "out"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"state_dict": {"loss.weight": torch.ones(5)}}, "a weight and a bias for each layer"),
        ({"state_dict": 3, "epoch": 1}, r"not a plain state dict; save model\.state_dict\(\)"),
        ({"weights": {"fc1.weight": torch.ones(2, 2)}}, "not a plain state dict"),
        ({"state_dict": {"a.weight": [1.0]}}, "not a plain state dict"),
        ([1, 2], "not a plain state dict"),
        ({"state_dict": {}, "path": PurePosixPath("a")}, "more than arrays, which could run code"),
        (
            {"state_dict": {"a.weight": torch.zeros(1).expand(10**5, 10**5)}},
            "larger than the file",
        ),
    ],
)
def test_bad_checkpoints(tmp_path, content, says):
    path = tmp_path / "network.ckpt"
    torch.save(content, path)
    with pytest.raises(FileError, match=says) as said:
        jaxnet.load(path, **SQUASHES)
    assert len(str(said.value).splitlines()) == 1


def flat(tree, sep):
    """What `flax.traverse_util.flatten_dict` makes of variables."""
    return {
        sep.join(path): np.ascontiguousarray(array)
        for layer, arrays in tree["params"].items()
        for path, array in (
            (("params", layer, "kernel"), arrays["kernel"]),
            (("params", layer, "bias"), arrays["bias"]),
        )
    }


@pytest.mark.parametrize("sep", [".", "/", ",", "_"])
@pytest.mark.parametrize("named", [False, True])
def test_flax_arrays(tmp_path, x, sep, named):
    """Kernels are transposed; names have any separator, and numbers or not."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(size=(n_out, n_in)).astype("f4"), rng.normal(size=n_out).astype("f4"))
        for n_in, n_out in ((20, 7), (7, 6), (6, 5))
    ]
    names = ("stem", "body", "head") if named else ("Dense_0", "Dense_1", "Dense_2")
    tree = {n: {"kernel": w.T, "bias": b} for n, (w, b) in zip(names, layers, strict=True)}
    path = tmp_path / "network.safetensors"
    safetensors.numpy.save_file(flat({"params": tree}, sep), path)
    params, spec = jaxnet.load(path, **SQUASHES)
    same(params, layers)
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)
    np.testing.assert_allclose(ours, relu_network(layers, x), atol=1e-4)
    with pytest.raises(UnknownSquash, match="arrays alone do not name"):
        jaxnet.load(path, squash="relu")


@pytest.mark.compiled
def test_saved_by_flax(tmp_path, x):
    linen = pytest.importorskip("flax.linen")
    traverse = pytest.importorskip("flax.traverse_util")
    from safetensors.flax import save_file

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.Dense(7)(x))
            return linen.Dense(5, name="out")(x)

    with jax.numpy_rank_promotion("allow"):
        variables = Network().init(jax.random.key(0), x)
        theirs = Network().apply(variables, x)
    save_file(traverse.flatten_dict(variables, sep="."), tmp_path / "linen.safetensors")
    params, spec = jaxnet.load(tmp_path / "linen.safetensors", **SQUASHES)
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_bad_flax_arrays(tmp_path):
    for arrays, says in (
        ({"a.kernel": np.ones((2, 2))}, "a kernel and a bias for each layer, .* got a.kernel"),
        ({"a.kernel": np.ones((2, 2)), "b.bias": np.ones(2)}, "a kernel and a bias"),
        ({"a.kernel": np.ones((2, 3)), "a.bias": np.ones(2)}, "shapes"),
    ):
        with pytest.raises(ValueError, match=says):
            flax.from_arrays(arrays, **SQUASHES)


def test_a_stride_of_zero_stays_small(tmp_path):
    """A file of a few bytes may claim a matrix of any size."""
    path = tmp_path / "network.pt"
    torch.save({"state_dict": {"0.weight": torch.zeros(1).expand(1, 10**9)}}, path)
    with pytest.raises(FileError, match="larger than the file"):
        load_state_dict(path)
