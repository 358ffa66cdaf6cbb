"""Keras files: read without Keras, folded where a model rescales its images, and not trusted."""

import io
import json
import zipfile

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet import formats
from jaxnet._util.files import FileError

h5py = pytest.importorskip("h5py")
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

# Keras itself triggers this warning when it saves JAX arrays.
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
K = keras.layers
ENDINGS = ("keras", "h5")


@pytest.fixture(autouse=True)
def rank_promotion():
    """Keras relies on rank promotion when it adds biases."""
    with jax.numpy_rank_promotion("allow"):
        yield


def row(*layers, shape=(28, 28), **options):
    return keras.Sequential([keras.Input(shape, **options), *layers])


def functional(*layers, shape=(28, 28)):
    images = value = keras.Input(shape)
    for layer in layers:
        value = layer(value)
    return keras.Model(images, value)


def randomized(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=a.shape, scale=0.1) for a in model.get_weights()])
    return model


def saved(model, path):
    model.save(path)
    return path


def forward(params, spec, x):
    return jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)


X = np.random.default_rng(0).random((9, 28, 28)).astype(np.float32)


def dense_relu_softmax(weights, x):
    """In float64, from what `get_weights` gives: two layers of ReLU, softmax at the end."""
    (w0, b0, w1, b1, w2, b2), a = (
        [np.asarray(a, np.float64) for a in weights],
        x.reshape(len(x), -1).astype(np.float64),
    )
    z = np.maximum(np.maximum(a @ w0 + b0, 0) @ w1 + b1, 0) @ w2 + b2
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("make", "white", "offset"),
    [  # white is what the model takes for a white pixel
        (lambda f: f(K.Rescaling(1 / 255), K.Flatten()), 255, 0),
        (lambda f: f(K.Flatten(), K.Rescaling(1 / 255)), 255, 0),
        (lambda f: f(K.Rescaling(1 / 127.5, offset=-1), K.Flatten()), 255, -1),
        (lambda f: f(K.Rescaling(2.0, offset=-1), K.Flatten()), 1, -1),
        (lambda f: f(K.Rescaling(1 / 0.3081, offset=-0.1307 / 0.3081), K.Flatten()), 1, None),
        (lambda f: f(K.Rescaling(1 / 255), K.Rescaling(3.0), K.Flatten()), 255, 0),
        (lambda f: f(K.Flatten(), K.Dropout(0.2)), 1, 0),
        (lambda f: f(K.Reshape((784,)), K.GaussianNoise(0.1)), 1, 0),
        (lambda f: f(K.Reshape((-1,))), 1, 0),
    ],
)
@pytest.mark.parametrize("kind", [row, functional])
def test_front(tmp_path, ending, make, white, offset, kind):
    """The network takes 0 to 1 and answers as the model does, which may take 0 to 255."""

    def whole(*front):
        tail = (K.Dense(7), K.ReLU(), K.Dropout(0.5), K.Dense(6, "relu"), K.Dense(5), K.Softmax())
        return randomized(kind(*front, *tail))

    model = make(whole)
    theirs = np.asarray(model(X * white))
    params, spec = jaxnet.load(saved(model, tmp_path / f"m.{ending}"))
    assert spec == ((784, 7, 6, 5), "relu", "softmax", {})
    np.testing.assert_allclose(forward(params, spec, X.reshape(9, 784)), theirs, atol=2e-5)
    live, _ = formats.from_keras(model)
    for ours, again in zip(jax.tree.leaves(params), jax.tree.leaves(live), strict=True):
        np.testing.assert_array_equal(ours, again)
    if offset == 0:  # of what is plain, an oracle without Keras, and not a bit changed
        weights = model.get_weights()
        tripled = 3.0 if sum("resc" in layer.name for layer in model.layers) == 2 else 1.0
        np.testing.assert_allclose(theirs, dense_relu_softmax(weights, X * tripled), atol=2e-5)
        expected = weights[0].T * np.float64(tripled)  # of which halves may be rounded either way
        np.testing.assert_allclose(params[0].weights, expected, rtol=0 if tripled == 1 else 1e-7)


def test_bytes_without_rescaling(tmp_path):
    """A model whose input is uint8 takes 0 to 255, whatever it does with them."""
    model = randomized(row(K.Flatten(), K.Dense(5), dtype="uint8"))
    images = (255 * X).astype(np.uint8)
    params, spec = jaxnet.load(saved(model, tmp_path / "m.keras"))
    ours = forward(params, spec, images.reshape(9, 784).astype(np.float32) / np.float32(255))
    a = images.reshape(9, 784).astype(np.float64)
    w, b = (np.asarray(a, np.float64) for a in model.get_weights())
    np.testing.assert_allclose(ours, a @ w + b, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("ending", ENDINGS)
def test_nested_and_named(tmp_path, ending):
    inner = keras.Sequential([K.Dense(7, "relu", name="dense_7"), K.Dense(6, "relu")], name="body")
    model = randomized(row(K.Flatten(), inner, K.Dense(5, "softmax", name="dense")))
    params, spec = jaxnet.load(saved(model, tmp_path / f"m.{ending}"))
    assert spec.sizes == (784, 7, 6, 5)
    ours = forward(params, spec, X.reshape(9, 784))
    np.testing.assert_allclose(ours, dense_relu_softmax(model.get_weights(), X), atol=2e-5)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("squash", ["sigmoid", "relu", "tanh", "elu", "silu", "softplus"])
def test_every_squash(tmp_path, ending, squash):
    model = randomized(row(K.Dense(7, squash), K.Activation("linear"), K.Dense(5), shape=(20,)))
    params, spec = jaxnet.load(saved(model, tmp_path / f"m.{ending}"))
    assert (spec.squash, spec.last_squash) == (squash, "identity")
    x = X.reshape(9, 784)[:, :20] * 6 - 3
    np.testing.assert_allclose(forward(params, spec, x), model(x), atol=1e-5)


@pytest.mark.parametrize("layer", [lambda: K.ELU(), lambda: K.LeakyReLU(0.01), lambda: K.ReLU()])
@pytest.mark.parametrize("ending", ENDINGS)
def test_activation_layers(tmp_path, ending, layer):
    model = randomized(row(K.Dense(7), layer(), K.Dense(5), shape=(20,)))
    params, spec = jaxnet.load(saved(model, tmp_path / f"m.{ending}"))
    x = X.reshape(9, 784)[:, :20] * 6 - 3
    np.testing.assert_allclose(forward(params, spec, x), model(x), atol=1e-5)


IMAGE = K.Reshape((28, 28, 1))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "layers",
    [
        lambda: (K.Flatten(), K.Dense(7, use_bias=False), K.BatchNormalization(), K.ReLU()),
        lambda: (K.Flatten(), K.BatchNormalization(), K.Dense(7, "relu"), K.BatchNormalization()),
        lambda: (K.Flatten(), K.Dense(7), K.Rescaling(2.0), K.ReLU(), K.Dropout(0.5)),
        lambda: (
            K.Normalization(axis=None, mean=0.13, variance=0.09),
            K.Flatten(),
            K.Dense(7, "relu"),
        ),
        lambda: (
            K.Normalization(
                axis=1, mean=[n / 28 for n in range(28)], variance=[1.0 + n for n in range(28)]
            ),
            *(K.Flatten(), K.Dense(7, "relu")),
        ),
        lambda: (K.Flatten(), K.Dense(1, "sigmoid"), K.Dense(1, "sigmoid")),
        lambda: (K.Permute((2, 1)), K.Flatten(), K.GaussianNoise(0.1), K.Dense(7, "relu")),
        lambda: (K.Dense(2), K.Permute((2, 1)), K.Flatten(), K.Dense(7, "relu")),
        lambda: (IMAGE, K.RandomRotation(0.1), K.RandomZoom(0.1), K.Flatten(), K.Dense(7, "relu")),
        lambda: (IMAGE, K.Conv2D(2, 3, activation="relu"), K.Flatten()),
        lambda: (IMAGE, K.Conv2D(2, (3, 4), strides=2, padding="same"), K.ReLU(), K.Flatten()),
        lambda: (IMAGE, K.AveragePooling2D(2), K.Flatten(), K.Dense(7, "relu")),
        lambda: (
            K.Rescaling(1.0, offset=[float(n) for n in range(28)]),
            K.Flatten(),
            K.Dense(7, "relu"),
        ),
        lambda: (
            K.Reshape((1, 28, 28)),
            K.Flatten(data_format="channels_first"),
            K.Dense(7, "relu"),
        ),
    ],
)
def test_what_is_affine_is_a_layer(tmp_path, ending, layers):
    model = row(*layers(), K.Dense(5, "softmax"))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=a.shape, scale=0.1) for a in model.get_weights()]
    named = zip(model.weights, arrays, strict=True)
    model.set_weights([a**2 + 0.1 if "variance" in v.path else a for v, a in named])
    with jax.numpy_dtype_promotion("standard"):  # on which some of Keras's layers rely
        theirs = np.asarray(model(X, training=False))
    path = saved(model, tmp_path / f"m.{ending}")
    for params, spec in (jaxnet.load(path), formats.from_keras(model)):
        np.testing.assert_allclose(forward(params, spec, X.reshape(9, 784)), theirs, atol=2e-6)


def branching():
    images = keras.Input((20,))
    left, right = K.Dense(7)(images), K.Dense(7)(images)
    return keras.Model(images, K.Dense(5)(K.Add()([left, right])))


def skipping():
    images = keras.Input((20,))
    hidden = K.Dense(20)(images)
    return keras.Model(images, K.Dense(5)(K.Add()([images, hidden])))


def twice():
    images, layer = keras.Input((20,)), K.Dense(20)
    return keras.Model(images, layer(layer(images)))


def two_outputs():
    images = keras.Input((20,))
    hidden = K.Dense(7)(images)
    return keras.Model(images, [hidden, K.Dense(5)(hidden)])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (branching, "branches at"),
        (skipping, "branches at"),
        (twice, "branches at"),
        (two_outputs, "one input and one output"),
        (lambda: row(K.Dense(5)), r"values of shape \(28, 5\)\. Is a Flatten missing"),
        (lambda: row(K.Dense(7, "gelu"), K.Dense(5), shape=(2,)), "gelu, which is exact"),
        (lambda: row(K.Dense(7, "leaky_relu"), K.Dense(5), shape=(2,)), "a slope of 0.2"),
        (lambda: row(K.Dense(7), K.ReLU(6), K.Dense(5), shape=(2,)), "got ReLU"),
        (lambda: row(K.Dense(7), K.LeakyReLU(0.3), K.Dense(5), shape=(2,)), "got LeakyReLU"),
        (lambda: row(K.Dense(7), K.ELU(0.5), K.Dense(5), shape=(2,)), "got ELU"),
        (lambda: row(K.LayerNormalization(), K.Dense(5), shape=(2,)), "got LayerNormalization"),
        (
            lambda: row(
                K.Normalization(axis=None, mean=33.0, variance=6000.0), K.Flatten(), K.Dense(5)
            ),
            "pass pixels=255",
        ),
        (lambda: row(IMAGE, K.RandomCrop(28, 28), K.Flatten(), K.Dense(5)), "got RandomCrop"),
        (
            lambda: row(K.Reshape((28, 28, 1)), K.MaxPooling2D(), K.Flatten(), K.Dense(5)),
            "got MaxP",
        ),
        (
            lambda: row(K.Dense(7, "relu"), K.Dense(6, "tanh"), K.Dense(5), shape=(2,)),
            "same squash",
        ),
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_unsupported(tmp_path, ending, make, says):
    path = saved(make(), tmp_path / f"m.{ending}")
    with pytest.raises(FileError, match=says) as said:
        jaxnet.load(path)
    assert str(path) in str(said.value)
    assert len(str(said.value).splitlines()) == 1


def test_a_layer_of_ones_own():
    """What it computes counts, not its attribute `activation`."""

    class Center(K.Layer):
        activation = staticmethod(keras.activations.relu)

        def call(self, x):
            return self.activation(x - 0.5)

    with pytest.raises(ValueError, match="got Center"):
        formats.from_keras(row(K.Dense(7), Center(), K.Dense(5), shape=(20,)))


@pytest.mark.parametrize("make", [branching, skipping, twice, two_outputs])
def test_unsupported_in_memory(make):
    with pytest.raises(ValueError, match=r"branches at|one input and one output"):
        formats.from_keras(make())


def test_as_keras_2_wrote_it(tmp_path):
    """The layout of TensorFlow 2.0 to 2.15, by hand: other names, and other configurations."""
    rng = np.random.default_rng(0)
    layers = [
        {
            "class_name": "Flatten",
            "config": {
                "name": "flatten",
                "batch_input_shape": [None, 28, 28],
                "data_format": "channels_last",
            },
        },
        {"class_name": "Dense", "config": {"name": "dense", "activation": "swish"}},
        {"class_name": "Dense", "config": {"name": "dense_1", "activation": "softmax"}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    sizes, arrays = {"dense": (784, 7), "dense_1": (7, 5)}, {}
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        for name, (n_in, n_out) in sizes.items():
            group = file.create_group(f"model_weights/{name}/{name}")
            arrays[name] = [rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)]
            for kind, array in zip(("kernel:0", "bias:0"), arrays[name], strict=True):
                group[kind] = array.astype("f4")
    params, spec = jaxnet.load(tmp_path / "m.h5")
    assert spec == ((784, 7, 5), "silu", "softmax", {})
    for layer, name in zip(params, sizes, strict=True):
        np.testing.assert_array_equal(layer.weights, arrays[name][0].T.astype("f4"))
        np.testing.assert_array_equal(layer.biases, arrays[name][1].astype("f4"))


def test_weights_alone(tmp_path):
    row(K.Dense(5), shape=(20,)).save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(FileError, match=r"its weights alone; save it whole, with model\.save"):
        jaxnet.load(tmp_path / "m.weights.h5")


def archive(path, config, weights):
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("config.json", config)
        new.writestr("model.weights.h5", weights)
    return path


def with_weights(change):
    """An HDF5 file of one dense layer, changed."""
    with h5py.File(content := io.BytesIO(), "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = np.ones((20, 5), "f4"), np.ones(5, "f4")
        change(group)
    return content.getvalue()


def replace(group, name, **options):
    del group[name]
    group.create_dataset(name, **options)


def link(group, to):
    del group["0"]
    group["0"] = to


DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 5, "activation": "relu"}}
HUGE = (
    '{"class_name":"Sequential","config":{"layers":[{"class_name":"InputLayer","config":%s},%s]}}'
)


@pytest.mark.parametrize(
    ("inputs", "dense"),
    [
        ('{"batch_shape":[null,20]}', json.dumps(DENSE).replace('"units": 5', '"\\u0075nits":1e9')),
        ('{"batch_shape":[null,99999999999]}', json.dumps(DENSE)),
        ('{"\\u0062atch_shape":[null,99999999999]}', json.dumps(DENSE)),
    ],
)
def test_what_a_configuration_declares_takes_no_memory(tmp_path, inputs, dense):
    """Only the arrays count, however the sizes are written."""
    path = archive(tmp_path / "m.keras", HUGE % (inputs, dense), with_weights(lambda _: None))
    assert jaxnet.load(path)[1].sizes == (20, 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: replace(g, "0", shape=(10**6, 10**6), dtype="f4"), "too much memory"),
        (lambda g: replace(g, "0", shape=(20, 5), dtype="i4"), "2 arrays in Dense dense; got 1"),
        (
            lambda g: replace(g, "0", shape=(20, 5), dtype=h5py.string_dtype()),
            "2 arrays in Dense dense; got 1",
        ),
        (lambda g: replace(g, "0", shape=(2, 2, 2, 2), dtype="f4"), "Dense dense does not take"),
        (
            lambda g: replace(
                g, "0", shape=(20, 5), dtype="f4", external=[("/etc/passwd", 0, 400)]
            ),
            "2 arrays in Dense dense; got 1",
        ),
        (lambda g: link(g, h5py.ExternalLink("/etc/passwd", "/")), "not a whole Keras model"),
        (lambda g: link(g, h5py.SoftLink("/layers/dense/vars/1")), "not a whole Keras model"),
        (lambda g: g.pop("1"), "2 arrays in Dense dense; got 1"),
        (lambda g: g.update({"2": np.ones(3)}), "2 arrays in Dense dense; got 3"),
    ],
)
def test_hostile_weights(tmp_path, change, says):
    config = HUGE % ("{}", json.dumps(DENSE))
    path = archive(tmp_path / "m.keras", config, with_weights(change))
    with pytest.raises(FileError, match=says):
        jaxnet.load(path)


def test_the_same_array_many_times(tmp_path):
    """One array, named by a thousand layers."""
    whole = with_weights(lambda g: replace(g, "0", data=np.ones((2000, 2000), "f4")))
    with h5py.File(content := io.BytesIO(whole), "r+") as file:
        for n in range(1, 1000):
            file[f"layers/dense_{n}"] = file["layers/dense"]
    config = HUGE % ("{}", ",".join([json.dumps(DENSE)] * 1000))
    path = archive(tmp_path / "m.keras", config, content.getvalue())
    with pytest.raises(FileError, match="too much memory"):
        jaxnet.load(path)


def test_groups_in_a_circle(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = HUGE % ('{"name":"images"}', json.dumps(DENSE))
        group = file.create_group("model_weights/dense")
        group["again"] = group
    with pytest.raises(FileError, match="not a whole Keras model"):
        jaxnet.load(tmp_path / "m.h5")


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"config": {}}',
        '{"config": {"layers": [{"class_name": 1, "config": 2}]}}',
        '{"config": {"layers": [], "input_layers": [], "output_layers": []}}',
        '{"config": {"layers": %s}}' % ("[" * 100_000 + "]" * 100_000),
        " " * 5_000_000 + "{}",
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_malformed_configurations(tmp_path, config, ending):
    path = tmp_path / f"m.{ending}"
    if ending == "keras":
        archive(path, config, with_weights(lambda _: None))
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = config
    with pytest.raises(FileError, match=r"m\.(keras|h5): ") as said:
        jaxnet.load(path)
    assert len(str(said.value).splitlines()) == 1
