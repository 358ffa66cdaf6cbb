"""Conversion to and from other packages, checked against what each of them computes."""

import os
import pickle
import sys
from importlib import import_module
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import formats
from jaxnet._util.files import FileError
from jaxnet.formats import _affine
from jaxnet.formats._files import check_ending
from jaxnet.formats._parts import from_steps, jax_step
from jaxnet.formats._squashes import FOREIGN, check_table
from jaxnet.formats.torch import load_state_dict, save_state_dict
from jaxnet.network import SQUASHES
from tests.oracles import matrix_form

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
eqx = pytest.importorskip("equinox")
nnx = pytest.importorskip("flax.nnx")
linen = pytest.importorskip("flax.linen")
sklearn_network = pytest.importorskip("sklearn.neural_network")
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

# Keras itself triggers this warning when it saves JAX arrays.
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

ALL = set(SQUASHES)
PACKAGES = {
    "torch": SimpleNamespace(
        give=formats.to_torch,
        take=formats.from_torch,
        run=lambda model, x: model(torch.tensor(x)).detach().numpy(),
        squashes=ALL,
        last=ALL,
    ),
    "keras": SimpleNamespace(
        give=formats.to_keras,
        take=formats.from_keras,
        run=lambda model, x: np.asarray(model(x)),
        squashes=ALL - {"gelu", "leaky_relu"},
        last=ALL - {"gelu", "leaky_relu"},
    ),
    "nnx": SimpleNamespace(
        give=formats.to_nnx,
        take=formats.from_nnx,
        run=lambda model, x: model(x),
        squashes=ALL,
        last=ALL,
    ),
    "equinox": SimpleNamespace(
        give=formats.to_equinox,
        take=formats.from_equinox,
        run=lambda model, x: jax.vmap(model)(x),
        squashes=ALL,
        last=ALL,
    ),
    "sklearn": SimpleNamespace(
        give=formats.to_sklearn,
        take=formats.from_sklearn,
        run=lambda model, x: model.predict_proba(x),
        squashes={"sigmoid", "relu", "tanh", "identity"},
        last={"sigmoid", "softmax", "identity"},
    ),
}
CASES = [  # every squash of each package as hidden and as last, never the same twice
    (name, squash, last[(n + 1) % len(last)])
    for name, package in PACKAGES.items()
    for last in [[squash for squash in SQUASHES if squash in package.last]]
    for n, squash in enumerate(squash for squash in SQUASHES if squash in package.squashes)
]


@pytest.fixture(autouse=True)
def rank_promotion():
    """Other packages rely on rank promotion when they add biases."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).uniform(-3, 3, (9, 20)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    return jaxnet.init(jax.random.key(0), (20, 7, 6, 5))


def forward(params, spec, x):
    return jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)


def same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PACKAGES)
def test_pretrained_network(name):
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 20)
    package, params = PACKAGES[name], jaxnet.pretrained()
    theirs = package.run(package.give(params), np.asarray(images))
    np.testing.assert_allclose(theirs, matrix_form(params, images)[-1], atol=1e-5)


@pytest.mark.parametrize(("name", "squash", "last_squash"), CASES)
def test_round_trip(name, squash, last_squash, small, x):
    package = PACKAGES[name]
    model = package.give(small, squash=squash, last_squash=last_squash)
    again, spec = package.take(model)
    assert spec == ((20, 7, 6, 5), squash, last_squash, {})
    same(small, again)
    np.testing.assert_allclose(package.run(model, x), forward(small, spec, x), atol=1e-5)


@pytest.mark.parametrize("name", PACKAGES)
def test_single_layer(name, x):
    package = PACKAGES[name]
    params = jaxnet.init(jax.random.key(0), (20, 5))
    again, spec = package.take(package.give(params))
    assert (spec.sizes, spec.last_squash) == ((20, 5), "sigmoid")
    same(params, again)


@pytest.mark.parametrize("name", PACKAGES)
def test_unsupported_squash(name, small):
    package, params = PACKAGES[name], small
    for squash in {*ALL - package.squashes, "sine"}:
        with pytest.raises(ValueError, match=f"squash.*{squash}"):
            package.give(params, squash=squash)
    for squash in {*ALL - package.last, "sine"}:
        with pytest.raises(ValueError, match=f"squash.*{squash}"):
            package.give(params, last_squash=squash)
    with pytest.raises(ValueError, match="NaN or infinity"):
        package.give(jax.tree.map(lambda leaf: leaf + jnp.nan, params))


def torchs():
    torch.manual_seed(0)
    nn = torch.nn
    inner = nn.Sequential(nn.Linear(20, 7), nn.SiLU(), nn.Dropout(0.5))
    return nn.Sequential(nn.Flatten(), inner, nn.Linear(7, 6), nn.SiLU(), nn.Linear(6, 5))


def kerass():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            *(keras.Input((20,)), layers.Flatten(), layers.Dense(7, "relu"), layers.Dropout(0.5)),
            *(layers.Dense(6), layers.ReLU(), layers.Dense(5), layers.Softmax()),
        ]
    )


def nnxs():
    def linear(n_in, n_out):
        return nnx.Linear(n_in, n_out, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(1))

    return nnx.Sequential(linear(20, 7), nnx.gelu, linear(7, 6), nnx.gelu, linear(6, 5))


def mlp():
    return eqx.nn.MLP(20, 5, 6, 2, final_activation=lambda z: z, key=jax.random.key(0))


def test_variants_of_each_model(x):
    """Models that the packages initialized themselves."""
    for model, name, sizes, squashes in (
        (torchs().eval(), "torch", (20, 7, 6, 5), ("silu", "identity")),
        (kerass(), "keras", (20, 7, 6, 5), ("relu", "softmax")),
        (nnxs(), "nnx", (20, 7, 6, 5), ("gelu", "identity")),
        (mlp(), "equinox", (20, 6, 6, 5), ("relu", "identity")),
    ):
        params, spec = PACKAGES[name].take(model)
        assert spec == (sizes, *squashes, {})
        theirs = PACKAGES[name].run(model, x)
        np.testing.assert_allclose(theirs, forward(params, spec, x), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", ["logistic", "relu"])
def test_fitted_by_scikit_learn(n_classes, activation, x):
    """With two classes there is one output, the probability of the second."""
    y = np.array([3, 5, 8])[np.arange(9) % n_classes]
    model = sklearn_network.MLPClassifier((7, 6), activation=activation, random_state=0)
    for _ in range(20):
        model.partial_fit(x, y, classes=np.unique(y))
    params, spec = formats.from_sklearn(model)
    assert spec.last_squash == ("sigmoid" if n_classes == 2 else "softmax")
    ours, theirs = forward(params, spec, x), model.predict_proba(x)
    np.testing.assert_allclose(ours, theirs[:, -ours.shape[1] :], atol=1e-5)


def test_scikit_learn_predictions():
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 200)
    digits = formats.to_sklearn(jaxnet.pretrained()).predict(np.asarray(images))
    np.testing.assert_array_equal(digits, jaxnet.classify(jaxnet.pretrained(), images).digits)
    with pytest.raises(ValueError, match="at least three outputs, or one with sigmoid; got 2"):
        formats.to_sklearn(jaxnet.init(jax.random.key(0), (20, 2)))


def test_single_output():
    """scikit-learn, ONNX Runtime, StableHLO and jaxnet apply the same threshold."""
    onnxruntime = pytest.importorskip("onnxruntime")
    params = jaxnet.init(jax.random.key(3), (784, 16, 1))
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), 200)
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, images)
    params = (params[0], jaxnet.Layer(params[1].weights, -jnp.median(z)[None]))
    expected = (jax.vmap(jaxnet.forward, in_axes=(None, 0))(params, images)[:, 0] > 0.5).astype(int)
    assert 0.4 < expected.mean() < 0.6
    images = np.asarray(images)
    np.testing.assert_array_equal(jaxnet.classify(params, images).digits, expected)
    np.testing.assert_array_equal(formats.to_sklearn(params).predict(images), expected)
    again, _ = formats.from_sklearn(formats.to_sklearn(params))
    np.testing.assert_array_equal(jaxnet.classify(again, images).digits, expected)
    session = onnxruntime.InferenceSession(formats.onnx.export(params))
    np.testing.assert_array_equal(session.run(["digits"], {"images": images})[0], expected)
    program = jax.export.deserialize(bytearray(formats.stablehlo.export(params)))
    np.testing.assert_array_equal(program.call(images)[0], expected)


def test_gradients(x):
    params = jaxnet.init(jax.random.key(0), (20, 7, 5))
    y = jax.random.uniform(jax.random.key(1), (9, 5))

    def cost(run):
        return lambda model: ((run(model) - y) ** 2).sum()

    ours = jax.grad(cost(lambda p: jax.vmap(lambda x: jaxnet.forward(p, x))(x)))(params)

    model = formats.to_torch(params)
    ((model(torch.tensor(x)) - torch.tensor(np.asarray(y))) ** 2).sum().backward()
    theirs = [(model[n].weight.grad.numpy(), model[n].bias.grad.numpy()) for n in (0, 2)]
    close(ours, theirs)

    theirs = eqx.filter_grad(cost(lambda m: jax.vmap(m)(x)))(formats.to_equinox(params)).layers
    close(ours, [(theirs[n].weight, theirs[n].bias) for n in (0, 2)])

    theirs = nnx.grad(cost(lambda m: m(x)))(formats.to_nnx(params))["layers"]
    close(ours, [(theirs[n]["kernel"][...].T, theirs[n]["bias"][...]) for n in (0, 2)])

    linens = compact(jax.nn.sigmoid)
    run_linen = cost(lambda variables: jax.nn.sigmoid(linens.apply(variables, x)))
    gradient = jax.grad(run_linen)(formats.to_linen(params))
    layers = [gradient["params"][f"Dense_{n}"] for n in (0, 1)]
    close(ours, [(layer["kernel"].T, layer["bias"]) for layer in layers])


def close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def compact(squash, sizes=(7, 5)):
    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            for n in sizes[:-1]:
                x = squash(linen.Dense(n)(x))
            return linen.Dense(sizes[-1])(x)

    return Network()


def test_linen_round_trip(x):
    model = compact(linen.relu, (7,) * 11 + (5,))  # Dense_10 sorts after Dense_9
    variables = model.init(jax.random.key(0), x)
    params, spec = formats.from_linen(variables, squash="relu", last_squash="identity")
    np.testing.assert_allclose(forward(params, spec, x), model.apply(variables, x), atol=1e-5)
    again = formats.to_linen(params)
    np.testing.assert_array_equal(model.apply(again, x), model.apply(variables, x))

    row = linen.Sequential([linen.Dense(7), linen.tanh, linen.Dense(5)])
    variables = row.init(jax.random.key(0), x)
    params, spec = formats.from_linen(variables, squash="tanh", last_squash="identity")
    np.testing.assert_allclose(forward(params, spec, x), row.apply(variables, x), atol=1e-5)


def test_from_x_copies():
    """PyTorch and scikit-learn change their arrays in place."""
    for name, change in (
        ("torch", lambda model: [p.data.zero_() for p in model.parameters()]),
        ("sklearn", lambda model: [a.fill(0) for a in model.coefs_ + model.intercepts_]),
    ):
        package = PACKAGES[name]
        original = jaxnet.init(jax.random.key(0), (20, 7, 5))
        model = package.give(original)
        params, _ = package.take(model)
        change(model)
        same(params, jaxnet.init(jax.random.key(0), (20, 7, 5)))
        same(original, params)


def test_global_random_state_is_untouched():
    def states():
        numpys = np.random.get_state()[1]  # noqa: NPY002
        return np.concatenate([torch.get_rng_state().numpy(), numpys])

    before = states()
    for package in PACKAGES.values():
        package.give(jaxnet.init(jax.random.key(0), (20, 7, 5)))
    np.testing.assert_array_equal(states(), before)


def test_training_mode_is_kept():
    model = torchs()
    model[1][2].eval()
    formats.from_torch(model)
    assert [m.training for m in model] == [True] * 5
    assert not model[1][2].training


def torch_row(*parts):
    return lambda: torch.nn.Sequential(*parts)


def keras_row(*parts, n_in=20):
    return lambda: keras.Sequential([keras.Input((n_in,)), *parts])


T, K = torch.nn, keras.layers


class Turned(T.Module):
    """Reads pictures in columns, if they are pictures."""

    def forward(self, x):
        return x.transpose(1, 2) if x.ndim > 2 else x


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("torch", torch_row(T.Linear(20, 7), T.Conv1d(7, 7, 1), T.Linear(7, 5)), r"Conv1d\(7"),
        ("torch", torch_row(T.Linear(20, 7), T.PReLU(), T.Linear(7, 5)), "squashed by.*PReLU"),
        ("torch", torch_row(T.Linear(20, 7), T.BatchNorm1d(6), T.Linear(7, 5)), "does not take"),
        ("torch", torch_row(T.Linear(20, 7), T.ReLU6(), T.Linear(7, 5)), "squashed by.*ReLU6"),
        ("torch", torch_row(T.Linear(20, 7), T.GELU(), T.Linear(7, 5)), "GELU"),
        ("torch", torch_row(T.Linear(20, 7), T.LeakyReLU(0.02), T.Linear(7, 5)), "LeakyReLU"),
        ("torch", torch_row(T.Linear(20, 7), T.Softmax(0), T.Linear(7, 5)), "Softmax"),
        ("torch", torch_row(T.Linear(20, 7), T.MaxPool1d(2), T.Linear(7, 5)), "MaxPool1d"),
        ("torch", torch_row(T.Linear(20, 7), T.Linear(6, 5)), r"Linear.*does not take \(7,\)"),
        ("torch", torch_row(T.Linear(20, 7), T.ReLU(), T.Tanh()), "one squash after each"),
        (
            "torch",
            torch_row(T.ReLU(), T.Linear(20, 5)),
            r"one squash after each; got ReLU\(\) alone",
        ),
        (
            "torch",
            torch_row(T.Linear(20, 7), T.ReLU(), T.Linear(7, 6), T.Tanh(), T.Linear(6, 5)),
            "same squash in all hidden layers; got relu, tanh",
        ),
        ("torch", torch_row(T.Conv1d(1, 2, 5), T.Flatten(), T.Linear(32, 5)), "fit together"),
        (
            "torch",
            torch_row(T.Linear(20, 7), T.LogSoftmax(1), T.Linear(7, 5)),
            "log_softmax between layers",
        ),
        ("torch", torch_row(T.Linear(20, 7), T.Threshold(0.4, 0.0), T.Linear(7, 5)), "Threshold"),
        ("torch", torch_row(Turned(), T.Flatten(), T.Linear(784, 5)), "of one shape"),
        ("torch", torch_row(T.LazyLinear(5)), "has not seen an image yet"),
        ("torch", torch_row(T.Linear(20, 7), T.LSTM(7, 5)), "got LSTM|LSTM.*does not take"),
        ("torch", torch_row(), "at least one layer"),
        ("torch", lambda: T.Linear(20, 5), "Expected a torch.nn.Sequential; got a Linear"),
        ("keras", keras_row(K.Dense(7), K.LayerNormalization(), K.Dense(5)), "LayerNormalization"),
        ("keras", keras_row(K.Dense(7, "gelu"), K.Dense(5)), "squashed by.*gelu"),
        ("keras", keras_row(K.Dense(7), K.ReLU(max_value=6), K.Dense(5)), "ReLU"),
        ("keras", lambda: keras.Sequential([K.Dense(5)]), "got a Sequential not built"),
        ("keras", lambda: keras.Input((3,)), "Expected a keras.Sequential or .* got a KerasTensor"),
        (
            "nnx",
            lambda: nnx.Sequential(nnx.Conv(1, 1, 3, rngs=nnx.Rngs(0))),
            "Is a Flatten missing",
        ),
        ("nnx", lambda: nnx.Sequential(nnx.relu6), "got relu6"),
        ("nnx", lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)), "a flax.nnx.Sequential; got a Linear"),
        ("equinox", lambda: eqx.nn.Sequential([eqx.nn.LayerNorm(784)]), "got LayerNorm"),
        ("equinox", lambda: eqx.nn.MLP(2, 2, 2, 1, jnp.sin, key=jax.random.key(0)), "got sin"),
        ("equinox", lambda: "an MLP", "an equinox.nn.MLP or .* got a str"),
        ("sklearn", lambda: sklearn_network.MLPClassifier((3,)), "Expected a fitted MLPClassifier"),
        ("sklearn", lambda: sklearn_network, "Expected a fitted MLPClassifier"),
    ],
)
def test_unsupported_models(name, make, says):
    with pytest.raises((TypeError, ValueError), match=says) as raised:
        PACKAGES[name].take(make())
    assert len(str(raised.value).splitlines()) == 1


def normalized(n):
    """A batch normalization that has seen other means and variances than 0 and 1."""
    layer = T.BatchNorm1d(n)
    with torch.no_grad():
        for array in (layer.running_mean, layer.weight, layer.bias):
            array.copy_(torch.randn(n))
        layer.running_var.copy_(torch.rand(n) + 0.1)
    return layer


@pytest.mark.parametrize(
    ("make", "shape", "sizes", "squashes"),
    [
        (
            torch_row(T.Linear(20, 7), normalized(7), T.ReLU(), normalized(7), T.Linear(7, 5)),
            *((20,), (20, 7, 5), ("relu", "identity")),
        ),
        (
            torch_row(T.Linear(20, 7, bias=False), T.Sigmoid(), T.Linear(7, 5, bias=False)),
            *((20,), (20, 7, 5), ("sigmoid", "identity")),
        ),
        (
            torch_row(T.Flatten(), T.Linear(784, 7), T.Tanh(), T.Linear(7, 5), T.LogSoftmax(1)),
            *((1, 28, 28), (784, 7, 5), ("tanh", "softmax")),
        ),
        (  # the layers of a product
            torch_row(T.Linear(20, 3), T.Linear(3, 7), T.ReLU(), T.Linear(7, 5)),
            *((20,), (20, 7, 5), ("relu", "identity")),
        ),
        (
            torch_row(T.Conv2d(1, 2, 3, stride=2), T.ReLU(), T.Flatten(), T.Linear(338, 5)),
            *((1, 28, 28), (784, 338, 5), ("relu", "identity")),
        ),
    ],
)
def test_what_is_affine_is_a_layer(make, shape, sizes, squashes):
    torch.manual_seed(0)
    model = make().eval()
    params, spec = formats.from_torch(model)
    assert spec == (sizes, *squashes, {})
    images = torch.rand(9, *shape)
    with torch.no_grad():
        theirs = model(images).numpy()
    theirs = np.exp(theirs) if squashes[1] == "softmax" else theirs
    x = images.numpy().reshape(9, -1)
    np.testing.assert_allclose(forward(params, spec, x), theirs, atol=1e-5)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_state_dict_in_pytorch(tmp_path, ending, x):
    params = jaxnet.init(jax.random.key(0), (20, 7, 5))
    path = tmp_path / f"network.{ending}"
    save_state_dict(path, params, squash="relu", last_squash="identity")
    model = torch.nn.Sequential(torch.nn.Linear(20, 7), torch.nn.ReLU(), torch.nn.Linear(7, 5))
    if ending == "pt":
        state = torch.load(path, weights_only=True)
    else:
        state = safetensors_torch.load_file(path)
    model.load_state_dict(state)
    spec = formats.from_torch(model)[1]
    theirs = PACKAGES["torch"].run(model, x)
    np.testing.assert_allclose(theirs, forward(params, spec, x), atol=1e-5)
    same(
        params,
        formats.from_state_dict(load_state_dict(path)[0], squash="relu", last_squash="relu")[0],
    )


class Fc(torch.nn.Module):
    """A typical module with named layers, declared out of order."""

    def __init__(self):
        super().__init__()
        self.fc2 = torch.nn.Linear(7, 5)
        self.fc1 = torch.nn.Linear(20, 7)

    def forward(self, x):
        return self.fc2(torch.sigmoid(self.fc1(x)))


@pytest.mark.parametrize("ending", ["safetensors", "pt", "pth"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_state_dict_from_pytorch(tmp_path, ending, dtype, x):
    torch.manual_seed(0)
    model = Fc().to(getattr(torch, dtype))
    path = tmp_path / f"network.{ending}"
    save = safetensors_torch.save_file if ending == "safetensors" else torch.save
    save(model.state_dict(), path)
    params, spec = jaxnet.load(path, squash="sigmoid", last_squash="identity")
    ours = forward(params, spec, jnp.asarray(x, params[0].weights.dtype))
    theirs = PACKAGES["torch"].run(model.float(), x)
    np.testing.assert_allclose(ours, theirs, atol=3e-2 if ours.dtype == jnp.bfloat16 else 1e-5)
    with pytest.raises(FileError, match=r"pass last_squash=, one of sigmoid"):
        jaxnet.load(path, squash="sigmoid")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.update({"1.running_mean": torch.ones(7)}), "no other arrays; got .*running"),
        (lambda s: s.pop("2.bias"), "a weight and a bias for each layer"),
        (lambda s: s.update({"0.weight": torch.ones(7, 20, 1)}), r"params\[0\] of shapes"),
        (lambda s: s.update({"2.weight": torch.ones(5, 8)}), r"params\[1\] of shapes"),
        (lambda s: s.update({"0.weight": torch.ones(7, 20, dtype=torch.int32)}), "floating-point"),
        (lambda s: s.update({"0.bias": torch.ones(7) / 0}), "NaN or infinity"),
        (
            lambda s: s.update({"last.weight": torch.ones(5, 8), "last.bias": s.pop("2.bias")}),
            "a weight and a bias for each layer",
        ),
        (lambda s: s.clear(), "at least one layer"),
    ],
)
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_bad_state_dicts(tmp_path, change, says, ending):
    model = torch.nn.Sequential(torch.nn.Linear(20, 7), torch.nn.ReLU(), torch.nn.Linear(7, 5))
    state, path = dict(model.state_dict()), tmp_path / f"network.{ending}"
    change(state)
    with pytest.raises((TypeError, ValueError), match=says):
        formats.from_state_dict(state, squash="relu", last_squash="relu")
    (safetensors_torch.save_file if ending == "safetensors" else torch.save)(state, path)
    if state:  # an empty file could be in either naming
        with pytest.raises(FileError, match=says):
            jaxnet.load(path, squash="relu", last_squash="relu")


class Mischief:
    def __reduce__(self):
        return os.mkdir, (os.environ["MISCHIEF"],)


def test_no_code_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MISCHIEF", str(tmp_path / "done"))
    path = tmp_path / "network.pt"
    torch.save({"0.weight": torch.ones(2, 2), "0.bias": Mischief()}, path)
    with pytest.raises(FileError, match=r"contains more than arrays, .* not loaded; save"):
        load_state_dict(path)
    path.write_bytes(pickle.dumps(Mischief()))
    with pytest.raises(FileError):
        load_state_dict(path)
    torch.save(torchs(), path)
    with pytest.raises(FileError, match=r"save model\.state_dict\(\)"):
        load_state_dict(path)
    torch.save({"model": {}, "epoch": 3}, path)
    with pytest.raises(FileError, match="not a plain state dict"):
        load_state_dict(path)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("ending", ["pt", "safetensors", "keras", "onnx"])
@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_damaged_files(tmp_path, ending, keep):
    path = tmp_path / f"network.{ending}"
    jaxnet.save(path, jaxnet.pretrained())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(FileError, match=rf"network\.{ending}: not a ") as raised:
        jaxnet.load(path, squash="relu", last_squash="relu")
    assert len(str(raised.value).splitlines()) == 1


def test_keras_file_round_trip(tmp_path, x):
    model = kerass()
    model.save(tmp_path / "theirs.keras")
    params, spec = jaxnet.load(tmp_path / "theirs.keras")
    jaxnet.save(tmp_path / "ours.keras", params, **spec.squashes)
    again = keras.saving.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)
    unsafe = keras.Sequential([keras.Input((20,)), K.Lambda(lambda z: z), K.Dense(5)])
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(FileError, match=r"squashed by .* got Lambda"):
        jaxnet.load(tmp_path / "unsafe.keras")
    keras.Sequential([keras.Input((20, 1)), K.Conv1D(3, 3)]).save(tmp_path / "convolution.keras")
    with pytest.raises(FileError, match=r"convolution\.keras: .* got Conv1D"):
        jaxnet.load(tmp_path / "convolution.keras")


def test_convert_round_trip(tmp_path):
    """A chain through all formats preserves every bit and, where stored, the notes."""
    params = jaxnet.init(jax.random.key(0), (20, 7, 5))
    home = tmp_path / "home.safetensors"
    jaxnet.save(home, params, squash="tanh", last_squash="softmax", notes={"from": "home"})
    squashes = {"squash": "tanh", "last_squash": "softmax"}
    here, notes = home, {"from": "home"}
    endings = (
        ".onnx",
        ".safetensors",
        ".safetensors",
        ".keras",
        ".pt",
        ".onnx",
        ".pth",
        ".safetensors",
    )
    for n, ending in enumerate(endings):
        write = save_state_dict if n == 1 else jaxnet.save
        there = tmp_path / f"{n}{ending}"
        params, spec = jaxnet.load(here, **squashes)
        write(there, params, **spec.squashes, notes=spec.notes)
        notes = {} if ending in (".keras", ".pt", ".pth") else notes
        again, spec = jaxnet.load(there, **squashes)
        same(params, again)
        assert spec == ((20, 7, 5), "tanh", "softmax", notes)
        here = there


def test_contradicting_squash(tmp_path):
    path = tmp_path / "network.safetensors"
    jaxnet.save(path, jaxnet.init(jax.random.key(0), (20, 5)))
    with pytest.raises(FileError, match="the file says sigmoid, not relu"):
        jaxnet.load(path, last_squash="relu")


@pytest.mark.parametrize("name", ["network.txt", "network.stablehlo", "network"])
def test_unknown_ending(tmp_path, name):
    with pytest.raises(FileError, match=r"between \.safetensors, \.onnx, \.pt, \.pth, \.bin,"):
        check_ending(tmp_path / name)
    (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(FileError, match=r"read from \.safetensors, \.onnx, .*, not this"):
        jaxnet.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("n.pt", b"\n<!DOCTYPE html><html>", "a web page, not a network; download the file"),
        ("n.keras", b"version https://git-lfs.github.com/spec/v1\noid", "run git lfs pull"),
        ("n.bin", np.ones(1000, "f4").tobytes(), "Raw numbers have neither names nor shapes"),
        ("n.mat", b"MATLAB 5.0", r"scipy\.io\.loadmat"),
        ("n.tflite", b"\0\0\0\0TFL3", "the Keras model that it was made of"),
    ],
)
def test_what_people_take_for_a_network(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=says) as raised:
        jaxnet.load(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_one_squash_alone(tmp_path):
    torch.save(torch.nn.Linear(20, 5).state_dict(), tmp_path / "n.pt")
    with pytest.raises(FileError, match=r"pass last_squash=, one of .*; identity, where there is"):
        jaxnet.load(tmp_path / "n.pt", squash="relu")


@pytest.mark.parametrize("name", ["network.h5", "network.ckpt"])
def test_endings_that_are_only_read(tmp_path, name):
    with pytest.raises(FileError, match=r"only read; write one of \.safetensors, .*\.bin, \.keras"):
        jaxnet.save(tmp_path / name, jaxnet.pretrained())


@pytest.mark.parametrize(
    ("call", "missing", "command"),
    [
        (formats.to_torch, "torch", "pip install torch"),
        (formats.to_keras, "keras", "pip install keras"),
        (formats.to_nnx, "flax", "pip install flax"),
        (formats.to_equinox, "equinox", "pip install equinox"),
        (formats.to_sklearn, "sklearn", "pip install scikit-learn"),
        (formats.onnx.export, "onnx", r"pip install 'jaxnet-digits\[onnx\]'"),
        (
            lambda _: import_module("jaxnet.formats.keras").load("digits.keras"),
            *("h5py", r"pip install 'jaxnet-digits\[keras\]'"),
        ),
        (formats.stablehlo.export, "flatbuffers", r"pip install 'jaxnet-digits\[stablehlo\]'"),
    ],
)
def test_missing_package(call, missing, command, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])  # nothing can be imported from here
    with pytest.raises(ModuleNotFoundError, match=f"This needs {missing}: {command}"):
        call(jaxnet.pretrained())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("tanh"), "only one of two tables has tanh"),
        (lambda t: t.update(step=t["tanh"]), "only one of two tables has step"),
        (lambda t: t.update(tanh=t["tanh"]._replace(keras=None)), "tanh needs either `keras`"),
        (lambda t: t.update(gelu=t["gelu"]._replace(keras="gelu")), "gelu needs either `keras`"),
        (lambda t: t.update(relu=t["relu"]._replace(onnx=())), "relu needs `onnx`"),
        (lambda t: t.update(relu=t["relu"]._replace(javascript="")), "relu needs .*`javascript`"),
    ],
)
def test_incomplete_squash_table(change, says):
    """With no name, Keras would apply the identity."""
    table = dict(FOREIGN)
    change(table)
    with pytest.raises(ImportError, match=says):
        check_table(table)


def test_squash_by_its_values():
    layer = _affine.dense("layer", np.ones((3, 4)), np.ones(3))
    for name, function in SQUASHES.items():
        mine = jax_step("mine", function)
        assert from_steps([layer, mine], (4,))[1].last_squash == name
    for other in (
        jax.nn.relu6,
        jnp.sin,
        jnp.abs,
        lambda z: z**2,
        lambda z: jnp.max(z, keepdims=True),
    ):
        with pytest.raises(ValueError, match=r"got mine|separately; mine mixes"):
            from_steps([layer, jax_step("mine", other)], (4,))


def test_layers_that_look_like_something_else():
    """A diagonal matrix is a layer, no scale of pixels; two outputs of ReLU are two outputs."""
    nn = torch.nn
    torch.manual_seed(0)
    small, swap = nn.Linear(20, 20), nn.Linear(20, 20, bias=False)
    pair = nn.Linear(1, 2)
    with torch.no_grad():
        small.weight.copy_(0.01 * torch.eye(20))
        swap.weight.copy_(torch.eye(20).flip(0))
        pair.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        pair.bias.copy_(torch.tensor([1.0, 0.0]))
    for model in (
        nn.Sequential(small, nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 5)),
        nn.Sequential(small, nn.ReLU(), swap, nn.ReLU(), nn.Linear(20, 5)),
        nn.Sequential(nn.Linear(20, 1), nn.ReLU(), pair),
        nn.Sequential(nn.Linear(20, 1), nn.Sigmoid(), pair, nn.Softmax(1)),
    ):
        x = torch.rand(9, 20)
        with torch.no_grad():
            theirs = model(x).numpy()
        params, spec = formats.from_torch(model)
        np.testing.assert_allclose(forward(params, spec, x.numpy()), theirs, atol=1e-5)


def test_a_hook_that_computes_the_weights():
    with pytest.warns(FutureWarning, match="weight_norm"):
        layer = torch.nn.utils.weight_norm(torch.nn.Linear(20, 7))
    model = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Linear(7, 5))
    with torch.no_grad():
        layer.weight_g.mul_(3)  # `weight` follows when the layer is called
    with pytest.raises(ValueError, match=r"as torch\.nn\.utils\.remove_weight_norm does"):
        formats.from_torch(model)
    torch.nn.utils.remove_weight_norm(layer)
    params, spec = formats.from_torch(model)
    x = torch.rand(9, 20)
    theirs = model(x).detach().numpy()
    np.testing.assert_allclose(forward(params, spec, x.numpy()), theirs, atol=1e-5)


def test_pixels_are_not_guessed_from_what_was_learned():
    """A small slope of a batch normalization is no scale of pixels from 0 to 255."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(784), torch.nn.Linear(784, 5)).eval()
    with torch.no_grad():
        model[0].weight.fill_(0.02)
    params, spec = formats.from_torch(model)
    x = torch.rand(9, 784)
    theirs = model(x).detach().numpy()
    np.testing.assert_allclose(forward(params, spec, x.numpy()), theirs, atol=1e-5)


def test_float64_is_kept():
    with jax.enable_x64(True):
        model = torch.nn.Sequential(torch.nn.Linear(20, 7), torch.nn.ReLU()).double()
        params, _ = formats.from_torch(model)
        assert params[0].weights.dtype == np.float64
        np.testing.assert_array_equal(params[0].weights, model[0].weight.detach().numpy())


def test_layers_without_a_squash_between():
    """They stay layers in a linear network; beside a squash they are one."""
    rng = np.random.default_rng(0)
    arrays = [(rng.normal(size=(3, 4)), rng.normal(size=3)), (rng.normal(size=(2, 3)), np.ones(2))]
    one, two = (_affine.dense("layer", w, b) for w, b in arrays)
    assert from_steps([one, two], (4,))[1] == ((4, 3, 2), "identity", "identity", {})
    last = _affine.dense("layer", np.eye(2), np.ones(2))
    params, spec = from_steps([one, two, _affine.squash("relu"), last], (4,))
    assert spec == ((4, 2, 2), "relu", "identity", {})
    (w0, b0), (w1, b1) = arrays
    np.testing.assert_allclose(params[0].weights, w1 @ w0, rtol=1e-6)
    np.testing.assert_allclose(params[0].biases, w1 @ b0 + b1, rtol=1e-6)
