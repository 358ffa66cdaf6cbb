"""ONNX graphs of other exporters, held against ONNX Runtime, which runs the same files."""

import os
import subprocess
import sys
import warnings
from importlib.util import find_spec

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.compiled

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
RNG = np.random.default_rng(0)
ARRAYS = {
    **{"w0": RNG.normal(size=(7, 20)), "b0": RNG.normal(size=7), "one": np.array(1.0)},
    **{"w1": RNG.normal(size=(5, 7)), "b1": RNG.normal(size=5), "b0_row": RNG.normal(size=(1, 7))},
    **{"half": np.array([0.5]), "white": np.array(255.0), "many": RNG.normal(size=20)},
}
ARRAYS = {name: a.astype(np.float32) for name, a in ARRAYS.items()}
ARRAYS |= {f"{name}_t": np.ascontiguousarray(ARRAYS[name].T) for name in ("w0", "w1")}
ARRAYS |= {"b0_column": ARRAYS["b0"][:, None], "b1_column": ARRAYS["b1"][:, None]}
ARRAYS |= {"flat": np.array([-1, 20]), "keep": np.array([0, -1]), "mixed": np.array([-1, 10])}
ARRAYS |= {"tail": np.array([-1]), "classes": np.array([3, 5, 8, 9, 11]), "axis": np.array([1])}
ARRAYS |= {"one_row": np.array([1, 20]), "kernel": RNG.normal(size=(1, 1, 3, 3)).astype("f")}
ARRAYS |= {"w_conv": RNG.normal(size=(6, 5)).astype("f"), "scale": ARRAYS["w0"][:, 0]}
ARRAYS |= {"mean": ARRAYS["w0"][:, 1], "variance": np.square(ARRAYS["w0"][:, 2])}
ARRAYS |= {"b_mask": np.array([0, 1, -3.4e38, 0, 1], "f"), "w_skip": ARRAYS["w0_t"][:, :5]}
LABELS = node(
    "LabelEncoder", ["d"], ["l"], domain="ai.onnx.ml", keys_int64s=[0, 1], values_int64s=[1, 0]
)
TAIL = [node("Relu", ["z"], ["a"]), node("Gemm", ["a", "w1", "b1"], ["y"], transB=1)]
GEMM = node("Gemm", ["x", "w0", "b0"], ["z"], transB=1)
X = RNG.uniform(0, 1, (9, 20)).astype(np.float32)


def graph_of(nodes, path, *, shape=("n", 20), dtype=FLOAT, outputs=("y",), opset=17, domains=()):
    names = {name for part in nodes for name in part.input}
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("x", dtype, shape)],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
        [onnx.numpy_helper.from_array(a, name) for name, a in ARRAYS.items() if name in names],
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    opsets += [onnx.helper.make_opsetid(name, 1) for name in domains]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def theirs(path, x, n=0):
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[n]


def ours(path, x):
    params, spec = jaxnet.load(path)
    return np.asarray(jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x))


def first(*nodes, tail=TAIL):
    return [*nodes, *tail]


@pytest.mark.parametrize(
    ("nodes", "options", "white"),
    [
        (first(node("Gemm", ["x", "w0", "b0"], ["z"], transB=1)), {}, 1),
        (first(node("Gemm", ["x", "w0_t", "b0"], ["z"])), {}, 1),
        (first(node("Gemm", ["x", "w0", "b0_row"], ["z"], transB=1)), {}, 1),
        (first(node("Gemm", ["x", "w0", "b0"], ["z"], transB=1, alpha=0.3, beta=-2.0)), {}, 1),
        (first(node("Gemm", ["x", "w0_t"], ["z"], alpha=2.0)), {}, 1),
        (first(node("Gemm", ["x", "w0", "half"], ["z"], transB=1)), {}, 1),
        (first(node("MatMul", ["x", "w0_t"], ["m"]), node("Add", ["m", "b0"], ["z"])), {}, 1),
        (first(node("MatMul", ["x", "w0_t"], ["m"]), node("Add", ["b0_row", "m"], ["z"])), {}, 1),
        (first(node("MatMul", ["x", "w0_t"], ["m"]), node("Sub", ["m", "b0"], ["z"])), {}, 1),
        (first(node("MatMul", ["x", "w0_t"], ["z"])), {}, 1),
        (
            first(node("Transpose", ["w0"], ["t"], perm=[1, 0]), node("MatMul", ["x", "t"], ["z"])),
            {},
            1,
        ),
        (
            first(
                node("Div", ["x", "white"], ["p"]),
                node("Gemm", ["p", "w0", "b0"], ["z"], transB=1),
            ),
            {},
            255,
        ),
        (
            first(
                node("Cast", ["x"], ["c"], to=FLOAT),
                node("Div", ["c", "white"], ["p"]),
                node("Sub", ["p", "half"], ["q"]),
                node("Div", ["q", "half"], ["r"]),
                node("Gemm", ["r", "w0", "b0"], ["z"], transB=1),
            ),
            {"dtype": onnx.TensorProto.UINT8},
            255,
        ),
        (
            first(
                node("Cast", ["x"], ["c"], to=FLOAT),
                node("Gemm", ["c", "w0", "b0"], ["z"], transB=1),
            ),
            {"dtype": onnx.TensorProto.UINT8},
            255,
        ),
        (
            first(
                node("Sub", ["one", "x"], ["p"]),
                node("Mul", ["half", "p"], ["q"]),
                node("Gemm", ["q", "w0", "b0"], ["z"], transB=1),
            ),
            {},
            1,
        ),
        (
            first(
                node("Flatten", ["x"], ["f"]),
                node("Identity", ["f"], ["i"]),
                node("Dropout", ["i"], ["d"]),
                node("Gemm", ["d", "w0", "b0"], ["z"], transB=1),
            ),
            {"shape": ("n", 1, 4, 5)},
            1,
        ),
        (
            first(
                node("Reshape", ["x", "flat"], ["f"]),
                node("MatMul", ["f", "w0_t"], ["z"]),
            ),
            {"shape": ("n", 4, 5)},
            1,
        ),
        (
            first(
                node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),  # one channel, moved
                node("Reshape", ["t", "keep"], ["f"]),
                node("MatMul", ["f", "w0_t"], ["z"]),
            ),
            {"shape": ("n", 4, 5, 1)},
            1,
        ),
        (
            first(
                node("Squeeze", ["x", "axis"], ["s"]),
                node("Reshape", ["s", "keep"], ["f"]),
                node("MatMul", ["f", "w0_t"], ["z"]),
            ),
            {"shape": ("n", 1, 20)},
            1,
        ),
        (  # images in columns
            [
                node("Transpose", ["x"], ["t"]),
                node("Gemm", ["w0", "t", "b0_column"], ["z"]),
                node("Relu", ["z"], ["a"]),
                node("MatMul", ["w1", "a"], ["m"]),
                node("Add", ["m", "b1_column"], ["s"]),
                node("Softmax", ["s"], ["p"], axis=0),
                node("Transpose", ["p"], ["y"]),
            ],
            {},
            1,
        ),
        (
            first(node("Transpose", ["x"], ["t"]), node("Gemm", ["t", "w0_t"], ["z"], transA=1)),
            {},
            1,
        ),
    ],
)
def test_against_onnx_runtime(tmp_path, nodes, options, white):
    path = graph_of(nodes, tmp_path / "g.onnx", **options)
    shape = [-1 if size == "n" else size for size in options.get("shape", ("n", 20))]
    x = (255 * X).astype(np.uint8) if white == 255 else X
    pixels = x.astype(np.float32) / np.float32(white)
    given = x if options.get("dtype") == onnx.TensorProto.UINT8 else x.astype(np.float32)
    expected = theirs(path, given.reshape(shape))
    got = ours(path, pixels)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("nodes", "options"),
    [
        (first(GEMM, node("Neg", ["z"], ["n"])), {"outputs": ("n",)}),  # what it does not need
        (first(GEMM), {"outputs": ("z",)}),
        ([GEMM, node("Add", ["z", "z"], ["y"])], {}),  # branches, and yet affine
        ([GEMM, node("Tanh", ["z"], ["t"]), node("Sub", ["t", "b0"], ["y"])], {}),
        (
            first(
                node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
                node("Flatten", ["t"], ["f"]),
                node("MatMul", ["f", "w0_t"], ["z"]),
            ),
            {"shape": ("n", 4, 5)},
        ),
        (first(node("Sub", ["x", "many"], ["p"]), node("MatMul", ["p", "w0_t"], ["z"])), {}),
        (  # one image at a time
            first(node("Reshape", ["x", "one_row"], ["f"]), node("MatMul", ["f", "w0_t"], ["z"])),
            {"shape": (1, 4, 5)},
        ),
        (
            first(
                node("BatchNormalization", ["x", "scale", "b0", "mean", "variance"], ["y"]),
                tail=[],
            ),
            {"shape": ("n", 7)},
        ),
        (
            first(
                node("Conv", ["x", "kernel", "half"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
                node("Relu", ["c"], ["r"]),
                node("Flatten", ["r"], ["f"]),
                node("Gemm", ["f", "w_conv"], ["y"]),
                tail=[],
            ),
            {"shape": ("n", 1, 4, 5)},
        ),
    ],
)
def test_affine_between_squashes(tmp_path, nodes, options):
    """Whatever is affine is a layer."""
    path = graph_of(nodes, tmp_path / "g.onnx", **options)
    shape = [-1 if size == "n" else size for size in options.get("shape", ("n", 20))]
    n_in = int(np.prod([size for size in shape if size != -1]))
    x = X[:, :n_in]
    expected = np.concatenate([theirs(path, row.reshape([1, *shape[1:]])) for row in x])
    np.testing.assert_allclose(ours(path, x), expected, atol=1e-5)


def test_logarithm_of_softmax(tmp_path):
    """Its outputs are the logarithms of the probabilities that the network returns."""
    nodes = first(GEMM, tail=[*TAIL[:1], node("Gemm", ["a", "w1", "b1"], ["s"], transB=1)])
    path = graph_of([*nodes, node("LogSoftmax", ["s"], ["y"])], tmp_path / "g.onnx")
    assert jaxnet.load(path)[1].last_squash == "softmax"
    np.testing.assert_allclose(ours(path, X), np.exp(theirs(path, X)), atol=1e-6)


def test_images_in_columns(tmp_path):
    """As the input itself has them, without a Transpose."""
    nodes = first(node("Gemm", ["x", "w0", "b0"], ["z"], transA=1, transB=1))
    path = graph_of(nodes, tmp_path / "g.onnx", shape=(20, "n"))
    np.testing.assert_allclose(ours(path, X), theirs(path, X.T.copy()), atol=1e-5)


@pytest.mark.parametrize("axis", [1, -3])
def test_axes_from_the_end(tmp_path, axis):
    nodes = first(node("Flatten", ["x"], ["f"], axis=axis), node("MatMul", ["f", "w0_t"], ["z"]))
    path = graph_of(nodes, tmp_path / "g.onnx", shape=("n", 2, 2, 5))
    np.testing.assert_allclose(ours(path, X), theirs(path, X.reshape(9, 2, 2, 5)), atol=1e-5)


def test_by_hand(tmp_path):
    """An oracle without ONNX Runtime, in float64."""
    nodes = first(node("Gemm", ["x", "w0", "b0"], ["z"], transB=1, alpha=0.3, beta=-2.0))
    a = {name: array.astype(np.float64) for name, array in ARRAYS.items()}
    hidden = np.maximum(0.3 * X.astype(np.float64) @ a["w0"].T - 2 * a["b0"], 0)
    path = graph_of(nodes, tmp_path / "g.onnx")
    np.testing.assert_allclose(ours(path, X), hidden @ a["w1"].T + a["b1"], atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "name"),
    [
        ([node("Sigmoid", ["z"], ["a"])], "sigmoid"),
        ([node("Sigmoid", ["z"], ["s"]), node("Mul", ["z", "s"], ["a"])], "silu"),
        ([node("Sigmoid", ["z"], ["s"]), node("Mul", ["s", "z"], ["a"])], "silu"),
        ([node("Tanh", ["z"], ["a"])], "tanh"),
        ([node("Softplus", ["z"], ["a"])], "softplus"),
        ([node("LeakyRelu", ["z"], ["a"])], "leaky_relu"),
        ([node("LeakyRelu", ["z"], ["a"], alpha=0.01)], "leaky_relu"),
        ([node("Elu", ["z"], ["a"])], "elu"),
        ([node("Softmax", ["z"], ["a"], axis=1)], "softmax"),
        ([node("Gelu", ["z"], ["a"], approximate="tanh")], "gelu"),
        ([node("Identity", ["z"], ["a"])], "identity"),
    ],
)
def test_squashes(tmp_path, nodes, name):
    head, tail = node("Gemm", ["x", "w0", "b0"], ["z"], transB=1), TAIL[1:]
    opset = 20 if name == "gelu" else 17
    path = graph_of([head, *nodes, *tail], tmp_path / "g.onnx", opset=opset)
    assert jaxnet.load(path)[1].squash == name
    np.testing.assert_allclose(ours(path, X), theirs(path, X), atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "options", "says"),
    [
        ([GEMM, node("Selu", ["z"], ["y"])], {}, "got Selu"),
        (
            [GEMM, node("LeakyRelu", ["z"], ["y"], alpha=0.3)],
            {},
            r"LeakyRelu\(alpha=0.3\), which is -2.4 at -8, where leaky_relu is -0.08",
        ),
        ([GEMM, node("Gelu", ["z"], ["y"])], {"opset": 20}, "got Gelu, which is"),
        ([GEMM, node("Softmax", ["z"], ["y"], axis=0)], {}, r"got Softmax\(axis=0\)"),
        ([GEMM, node("Relu", ["z"], ["a"]), node("Tanh", ["a"], ["y"])], {}, "one squash after"),
        (
            [node("Relu", ["x"], ["r"]), node("MatMul", ["r", "w0_t"], ["y"])],
            {},
            "one squash after each; got Relu alone",
        ),
        ([node("Shape", ["x"], ["y"])], {}, "got Shape"),
        (first(GEMM, node("Neg", ["z"], ["n"])), {"outputs": ("n", "y")}, "one output, .* also n"),
        (
            [GEMM, node("ArgMax", ["z"], ["d"], axis=1), LABELS],
            {"outputs": ("l",), "domains": ("ai.onnx.ml",)},
            "labels at the end of the graph; got LabelEncoder|got ai.onnx.ml.LabelEncoder",
        ),
        ([GEMM, node("ThresholdedRelu", ["z"], ["y"], alpha=0.3)], {}, "got ThresholdedRelu"),
        (  # a bias so large that it hides what the others do
            [
                GEMM,
                node("Tanh", ["z"], ["t"]),
                node("Gemm", ["t", "w1", "b_mask"], ["u"], transB=1),
                node("MatMul", ["x", "w_skip"], ["s"]),
                node("Add", ["u", "s"], ["y"]),
            ],
            {},
            "got Gemm",
        ),
        (first(GEMM), {"outputs": ("w0",)}, "an output of the graph that depends on its images"),
        (
            [GEMM, node("Relu", ["z"], ["a"]), node("Add", ["z", "a"], ["y"])],
            {},
            "got Relu, Add, which is -8 at -8, where",
        ),
        (
            [GEMM, node("Relu", ["z"], ["a"]), node("Mul", ["z", "a"], ["y"])],
            {},
            "got Relu, Mul, which is 64 at 8",
        ),
        (first(node("Gemm", ["x", "w0_t", "b0"], ["z"], transA=1)), {}, "separately; got Gemm"),
        (first(node("Gemm", ["w0", "x", "b0"], ["z"])), {}, "separately; got Gemm"),
        (first(node("MatMul", ["x", "w1"], ["z"])), {"shape": ("n", 4, 5)}, "Is a Flatten missing"),
        (first(node("MatMul", ["x", "w1_t"], ["z"])), {}, "fit together .*; got MatMul"),
        (
            first(node("Reshape", ["x", "mixed"], ["f"]), node("MatMul", ["f", "w0_t"], ["z"])),
            {},
            "separately; got Reshape",
        ),
        (
            [node("Cast", ["x"], ["c"], to=INT64), node("MatMul", ["c", "w0_t"], ["y"])],
            {},
            r"got Cast\(to=7\)",
        ),
        (first(GEMM), {"shape": None}, "known number of axes"),
        (first(GEMM), {"dtype": INT64}, "uint8 or floats; got int64"),
        (first(GEMM), {"opset": 6}, "opset 7 or newer; got 6"),
        (
            [GEMM, node("Foo", ["z"], ["y"], domain="my.own")],
            {},
            "evaluator knows, .*; got my.own.Foo",
        ),
        ([GEMM, node("ArgMax", ["z"], ["y"], axis=0)], {}, "ArgMax over images"),
        (
            [GEMM, node("ArgMax", ["z"], ["d"], axis=1), node("Neg", ["d"], ["y"])],
            {},
            "labels at the end of the graph; got Neg",
        ),
        (
            [GEMM, node("Gemm", ["z", "w1", "unknown"], ["y"], transB=1)],
            {},
            "fit together .* got Gemm",
        ),
    ],
)
def test_refused(tmp_path, nodes, options, says):
    path = graph_of(nodes, tmp_path / "g.onnx", **options)
    with pytest.raises(FileError, match=says) as said:
        jaxnet.load(path)
    assert str(path) in str(said.value)
    assert len(str(said.value).splitlines()) == 1


def test_arrays_in_another_file(tmp_path):
    model = onnx.load(graph_of(first(GEMM), tmp_path / "g.onnx"))
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(FileError, match=r"in the file itself; .* external_data=False"):
        jaxnet.load(tmp_path / "e.onnx")


@pytest.mark.parametrize("node_of", ["Cast", "MatMul", "Concat"])
def test_small_files_stay_small(tmp_path, node_of):
    """Nodes of a few bytes that each take as much as an array of a megabyte."""
    square = np.ones((600, 600), np.float32)
    nodes, before = [], "x" if node_of == "MatMul" else "square"
    for n in range(300):
        given = [before, before if node_of == "Concat" else "square"]
        options = {"to": (FLOAT, onnx.TensorProto.DOUBLE)[n % 2]} if node_of == "Cast" else {}
        options |= {"axis": 0} if node_of == "Concat" else {}
        nodes.append(node(node_of, given[: 2 - (node_of == "Cast")], [f"a{n}"], **options))
        before = f"a{n}"
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("x", FLOAT, ["n", 600])],
        [value(before, FLOAT, None)],
        [onnx.numpy_helper.from_array(square, "square")],
    )
    (tmp_path / "g.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(
        FileError, match=r"too much memory|at most 16,777,216 weights|depends on its images"
    ):
        jaxnet.load(tmp_path / "g.onnx")


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("flatten", ["view", "flatten", "reshape"])
def test_from_pytorch(tmp_path, dynamo, flatten):
    """Both of PyTorch's exporters; the older one computes shapes in the graph."""
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(20, 7), torch.nn.Linear(7, 6)
            self.drop, self.out = torch.nn.Dropout(0.2), torch.nn.Linear(6, 5)

        def forward(self, x):
            x = {
                "view": lambda: x.view(x.size(0), -1),
                "flatten": lambda: x.flatten(1),
                "reshape": lambda: x.reshape(-1, 20),
            }[flatten]()
            x = torch.nn.functional.silu(self.fc1(x))
            x = self.drop(torch.nn.functional.silu(self.fc2(x)))
            return torch.softmax(self.out(x), dim=1)

    torch.manual_seed(0)
    model, path = Network().eval(), tmp_path / "g.onnx"
    options = {"dynamic_shapes": ({0: "n"},), "external_data": False, "verbose": False}
    if not dynamo:
        options = {"dynamic_axes": {"x": {0: "n"}}, "input_names": ["x"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.zeros(2, 1, 4, 5),), path, dynamo=dynamo, **options)
    params, spec = jaxnet.load(path)
    assert spec == ((20, 7, 6, 5), "silu", "softmax", {})
    with torch.no_grad():
        expected = model(torch.tensor(X.reshape(9, 1, 4, 5))).numpy()
    np.testing.assert_allclose(ours(path, X), expected, atol=1e-6)
    np.testing.assert_array_equal(params[0].weights, model.fc1.weight.detach())


KERAS = """
import sys, keras, numpy as np
L = keras.layers
model = keras.Sequential([keras.Input((4, 5, 1)), L.Rescaling(1 / 255), L.Flatten(),
    L.Dense(7, "tanh"), L.Dropout(0.1), L.Dense(6, "tanh"), L.Dense(5, "softmax")])
x = np.load(sys.argv[2]).reshape(-1, 4, 5, 1)
np.save(sys.argv[2], keras.ops.convert_to_numpy(model(255 * x).detach()))
model.export(sys.argv[1], format="onnx", verbose=False)
"""


def test_from_keras(tmp_path):
    """Keras exports by PyTorch; its own back end is chosen once in a process."""
    if not find_spec("keras"):
        pytest.skip("could not import 'keras'")
    pytest.importorskip("onnxscript")
    np.save(tmp_path / "x.npy", X)
    path, environment = tmp_path / "g.onnx", {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", KERAS, path, tmp_path / "x.npy"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert jaxnet.load(path)[1] == ((20, 7, 6, 5), "tanh", "softmax", {})
    np.testing.assert_allclose(ours(path, X), np.load(tmp_path / "x.npy"), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
def test_from_scikit_learn(tmp_path, n_classes, zipmap, activation):
    """The labels at the end are left out; with two classes there is one output."""
    skl2onnx = pytest.importorskip("skl2onnx")
    network = pytest.importorskip("sklearn.neural_network")
    classes = np.array([3, 5, 8]) if n_classes == 3 else np.arange(n_classes)
    y = classes[np.arange(200) % n_classes]
    x = RNG.uniform(0, 1, (200, 20)).astype(np.float32)
    model = network.MLPClassifier((7, 6), activation=activation, random_state=0)
    for _ in range(3):
        model.partial_fit(x, y, classes=classes)
    options = {id(model): {"zipmap": zipmap}}
    path = tmp_path / "g.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options=options).SerializeToString())
    params, spec = jaxnet.load(path)
    hidden = "sigmoid" if activation == "logistic" else activation
    notes = {"classes": "3, 5, 8"} if n_classes == 3 else {}
    sizes = (20, 7, 6, 1 if n_classes == 2 else n_classes)
    assert spec == (sizes, hidden, "sigmoid" if n_classes == 2 else "softmax", notes)
    got, expected = ours(path, x), model.predict_proba(x)
    np.testing.assert_allclose(got, expected[:, -got.shape[1] :], atol=1e-5)
    digits = np.asarray(jaxnet.classify(params, x, **spec.squashes).digits)
    np.testing.assert_array_equal(classes[digits], theirs(path, x))


def test_as_scikit_learn_writes_it(tmp_path):
    """The same graph by hand, for where skl2onnx is not installed."""
    nodes = [
        node("Cast", ["x"], ["cast_input"], to=FLOAT),
        node("MatMul", ["cast_input", "w0_t"], ["mul_result"]),
        node("Add", ["mul_result", "b0_row"], ["add_result"]),
        node("Relu", ["add_result"], ["next_activations"]),
        node("MatMul", ["next_activations", "w1_t"], ["mul_result1"]),
        node("Add", ["mul_result1", "b1"], ["add_result1"]),
        node("Softmax", ["add_result1"], ["probabilities"]),
        node("ArgMax", ["probabilities"], ["argmax_output"], axis=1),
        node(
            "ZipMap",
            ["probabilities"],
            ["output_probability"],
            classlabels_int64s=[3, 5, 8, 9, 11],
            domain="ai.onnx.ml",
        ),
        node("ArrayFeatureExtractor", ["classes", "argmax_output"], ["array"], domain="ai.onnx.ml"),
        node("Reshape", ["array", "tail"], ["reshaped"]),
        node("Cast", ["reshaped"], ["output_label"], to=INT64),
    ]
    path = graph_of(
        nodes,
        tmp_path / "g.onnx",
        outputs=("output_label", "output_probability"),
        domains=("ai.onnx.ml",),
    )
    params, spec = jaxnet.load(path)
    assert spec == ((20, 7, 5), "relu", "softmax", {"classes": "3, 5, 8, 9, 11"})
    digits = np.asarray(jaxnet.classify(params, X, **spec.squashes).digits)
    np.testing.assert_array_equal(ARRAYS["classes"][digits], theirs(path, X))
