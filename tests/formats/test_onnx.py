"""ONNX: exported files run in ONNX Runtime and load back unchanged."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.formats.onnx import export, load
from jaxnet.network import SQUASHES
from tests.oracles import matrix_form

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(content, images):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    digits, activations = session.run(None, {"images": np.asarray(images)})
    return digits, activations


def saved(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mnist_against_jaxnet(mnist, dtype):
    images, _ = mnist["test"]
    params = jaxnet.pretrained()
    answers = jaxnet.classify(params, images)
    given = images if dtype == np.uint8 else images.astype(np.float32) / np.float32(255)
    digits, activations = run(export(params, image_dtype=dtype), given)
    assert len(digits) == 10_000
    np.testing.assert_array_equal(digits, answers.digits)
    np.testing.assert_allclose(activations, answers.activations, atol=1e-5, rtol=0)


@pytest.mark.compiled
def test_equation(params, images):
    digits, activations = run(export(params), images)
    expected = matrix_form(params, images)[-1]
    np.testing.assert_allclose(activations, expected, atol=1e-5)
    np.testing.assert_array_equal(digits, expected.argmax(1))


@pytest.mark.compiled
@pytest.mark.parametrize("name", SQUASHES)
def test_every_squash(tmp_path, name):
    params = jaxnet.init(jax.random.key(0), (20, 7, 6, 5))
    images = np.random.default_rng(0).uniform(-9, 9, (50, 20)).astype(np.float32)
    for squash, last_squash in ((name, "sigmoid"), ("sigmoid", name)):
        content = export(params, squash=squash, last_squash=last_squash)
        again, spec = load(saved(tmp_path / "network.onnx", content))
        assert (spec.squash, spec.last_squash) == (squash, last_squash)
        ours = jax.vmap(lambda x: jaxnet.forward(again, x, **spec.squashes))(images)  # noqa: B023
        np.testing.assert_allclose(run(content, images)[1], ours, atol=1e-5)


def test_saturated_outputs():
    params = (jaxnet.Layer(jnp.diag(jnp.array([100.0, 200.0, 150.0])), jnp.zeros(3)),)
    digits, activations = run(export(params), np.ones((1, 3), np.float32))
    assert activations.tolist() == [[1, 1, 1]]
    assert digits.tolist() == [1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_batch_sizes(params, dtype):
    for n in (0, 1, 5):
        digits, activations = run(export(params, image_dtype=dtype), np.ones((n, 784), dtype))
        assert digits.shape == (n,)
        assert activations.shape == (n, 10)
    fixed = export(params, image_dtype=dtype, batch=5)
    assert run(fixed, np.ones((5, 784), dtype))[1].shape == (5, 10)
    with pytest.raises(Exception, match=r"index: 0 Got: 4 Expected: 5"):
        run(fixed, np.ones((4, 784), dtype))


@pytest.mark.parametrize("options", [{}, {"image_dtype": "uint8"}, {"batch": 3}])
def test_round_trip_is_exact(tmp_path, params, options):
    notes = {"trained on": "nothing", "größe": "klein ✓"}
    content = export(params, squash="relu", last_squash="softmax", notes=notes, **options)
    again, spec = load(saved(tmp_path / "network.onnx", content))
    assert spec == ((784, 16, 16, 10), "relu", "softmax", notes)
    for ours, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert content == export(again, squash="relu", last_squash="softmax", notes=notes, **options)


def opsets():
    """The lowest, those where operators changed, and the highest that ONNX Runtime runs."""
    highest = onnx.defs.onnx_opset_version()
    while highest > 20:
        try:
            content = export(jaxnet.init(jax.random.key(0), (4, 3)), opset=highest)
            onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            break
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:  # newer than this runtime
            highest -= 1
    return [7, 8, 9, 12, 13, 20, highest]


@pytest.mark.compiled
@pytest.mark.parametrize("opset", opsets())
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_opsets(tmp_path, opset, dtype):
    """Each squash, and both ways to a digit, in the operators of every age."""
    images = np.random.default_rng(0).uniform(0, 1, (50, 20))
    images = (255 * images).astype(dtype) if dtype == "uint8" else images.astype(dtype)
    x = images / np.float32(255) if dtype == "uint8" else images
    for n, name in enumerate(SQUASHES):
        if name == "gelu" and opset < 20:
            continue
        params = jaxnet.init(jax.random.key(n), (20, 7, 6, 1 if name == "sigmoid" else 5))
        options = {"squash": name, "last_squash": name, "opset": opset, "image_dtype": dtype}
        content = export(params, **options)
        model = onnx.load_model_from_string(content)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
        digits, activations = run(content, images)
        squashes = {"squash": SQUASHES[name], "last_squash": SQUASHES[name]}
        ours = jax.vmap(lambda x: jaxnet.forward(params, x, **squashes))(x)  # noqa: B023
        np.testing.assert_allclose(activations, ours, atol=1e-5)
        np.testing.assert_array_equal(digits, jaxnet.classify(params, x, **squashes).digits)
        again, spec = load(saved(tmp_path / "network.onnx", content))
        assert (spec.sizes, spec.squash) == (tuple(spec.sizes), name)
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.compiled
def test_without_metadata(tmp_path, params):
    """Nothing then says that jaxnet wrote it, and it is read as any graph of plain layers."""
    for dtype in ("float32", "uint8"):
        model = onnx.load_model_from_string(export(params, squash="silu", image_dtype=dtype))
        model.ClearField("metadata_props")
        again, spec = load(saved(tmp_path / "network.onnx", model.SerializeToString()))
        assert spec == ((784, 16, 16, 10), "silu", "sigmoid", {})
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
            np.testing.assert_array_equal(a, b)


def test_metadata(params):
    content = export(params, squash="tanh", notes={"trained on": "nothing"})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().producer_name == "jaxnet"
    assert session.get_modelmeta().custom_metadata_map == {
        "sizes": "784-16-16-10",
        "squash": "tanh",
        "last_squash": "sigmoid",
        "trained on": "nothing",
    }
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("images", ["n", 784], "tensor(float)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("digits", ["n"]),
        ("activations", ["n", 10]),
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"squash": "sine"}, "Expected a squash .* sigmoid, .* got 'sine'"),
        ({"image_dtype": np.int32}, "images in float32 or uint8; got int32"),
        ({"batch": 2**31}, "a batch of 1 to 2,147,483,647 images; got 2147483648"),
        ({"opset": 6}, r"an opset from 7 to \d+ for this network; got 6"),
        ({"opset": 1000}, r"an opset from 7 to \d+ for this network; got 1000"),
        ({"opset": 19, "squash": "gelu"}, "an opset from 20 to"),
        ({"opset": 19, "last_squash": "gelu"}, "an opset from 20 to"),
        ({"batch": 0}, "a batch of 1 to 2,147,483,647 images; got 0"),
        ({"notes": {"sizes": "all"}}, "names other than sizes"),
    ],
)
def test_unsupported_options(params, options, says):
    with pytest.raises(ValueError, match=says):
        export(params, **options)


@pytest.mark.compiled
def test_bad_network(params):
    with pytest.raises(ValueError, match=r"params\[1\] of shapes"):
        export((params[0], params[0]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        export(jax.tree.map(lambda leaf: leaf / 0, params))
    with pytest.raises(TypeError, match="floating-point"):
        export(jax.tree.map(lambda leaf: leaf.astype(int), params))


def other_operator(model):
    next(n for n in model.graph.node if n.op_type == "Sigmoid").op_type = "Relu"


def one_more_node(model):
    model.graph.node.add().CopyFrom(onnx.helper.make_node("Neg", ["0.sums"], ["negative"]))


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


@pytest.mark.parametrize(
    "change",
    [
        other_operator,
        one_more_node,
        elsewhere,
        lambda model: model.graph.initializer.pop(),
        lambda model: model.graph.ClearField("input"),
        lambda model: onnx.helper.set_model_props(
            model, {"sizes": "1", "squash": "relu", "last_squash": "sigmoid"}
        ),
    ],
)
def test_foreign_graph(tmp_path, params, change):
    """Such a graph may compute something else, so it is rejected."""
    model = onnx.load_model_from_string(export(params))
    change(model)
    path = saved(tmp_path / "network.onnx", model.SerializeToString())
    with pytest.raises(
        FileError, match=r"network\.onnx: not a (complete )?graph written by jaxnet"
    ):
        load(path)


@pytest.mark.compiled
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,  # what may be a graph is read in another process
    max_examples=100,
)
@given(st.binary(max_size=60) | st.integers(0, 400))
def test_arbitrary_and_truncated_bytes(tmp_path, content):
    if isinstance(content, int):
        whole = export(((np.ones((2, 3), "f4"), np.ones(2, "f4")),))
        content = whole[: content % len(whole)]
    try:
        params, _ = load(saved(tmp_path / "network.onnx", content))
    except FileError as error:
        assert re.search(r"network\.onnx: not a (whole ONNX|graph that jaxnet)", str(error))
    else:  # cut between the graph and the notes, it is a whole graph of another's
        assert [w.tolist() for w, _ in params] == [[[1.0] * 3] * 2]
