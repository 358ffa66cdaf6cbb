"""Many images, against float64, whatever their number and their kind."""

import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet import inference
from jaxnet.inference import _classify, _program, _quantize
from jaxnet.network import SQUASHES
from tests.inference import hosts
from tests.oracles import matrix_form
from tests.subprocesses import as_hosts

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).integers(0, 256, (40_000, 784), np.uint8)


@pytest.mark.compiled
@pytest.mark.parametrize("n", [0, 1, 2, 3, 2047, 2048, 2049, 16_384, 16_385, 40_000])
def test_number_of_images(params, many, n):
    answers = jaxnet.classify(params, many[:n])
    expected = matrix_form(params, many[:n] / 255)[-1]
    assert answers.digits.shape == (n,)
    assert answers.activations.shape == (n, 10)
    np.testing.assert_allclose(answers.activations, expected, atol=2e-6)
    # Random networks on random images nearly tie at times; float32 may then choose the other.
    assert (answers.digits != expected.argmax(1)).sum() <= n / 1000


@pytest.mark.compiled
def test_mnist_against_float64(mnist):
    params, (images, _) = jaxnet.pretrained(), mnist["test"]
    expected = matrix_form(params, images / 255)[-1]
    answers = jaxnet.classify(params, images)
    np.testing.assert_array_equal(answers.digits, expected.argmax(1))
    np.testing.assert_allclose(answers.activations, expected, atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("precision", "most_that_differ", "accuracy"),
    [("float32", 0, 0.9744), ("bfloat16", 10, 0.9735), ("int8", 60, 0.972)],
)
@pytest.mark.parametrize("brightest", [False, True])
def test_accuracy_by_precision(mnist, precision, most_that_differ, accuracy, brightest):
    params, (images, labels) = jaxnet.pretrained(), mnist["test"]
    exact = matrix_form(params, images / 255)[-1]
    digits, a = jaxnet.classify(params, images, precision=precision, brightest=brightest)
    assert (digits != exact.argmax(1)).sum() <= most_that_differ
    assert (digits == labels).mean() >= accuracy
    assert a.shape == ((10_000,) if brightest else (10_000, 10))
    # In the mean: an activation of one image may change by half where another is brightest.
    error = {"float32": 1e-6, "bfloat16": 1e-3, "int8": 2e-2}[precision]
    assert abs(a - (exact.max(1) if brightest else exact)).mean() < error


@pytest.mark.parametrize("wrong", ["float16", "Float32", ""])
def test_unknown_precision(params, many, wrong):
    with pytest.raises(ValueError, match=f"float32, bfloat16, int8; got '{wrong}'"):
        jaxnet.classify(params, many[:5], precision=wrong)


def test_int8_needs_uint8(params, many):
    with pytest.raises(ValueError, match="precision: int8 needs uint8 images; got floats"):
        jaxnet.classify(params, many[:5] / 255, precision="int8")


@pytest.mark.compiled
def test_image_types(params, many):
    expected = jaxnet.classify(params, many[:100]).activations
    for images in (
        many[:100] / np.float32(255),
        many[:100] / 255,
        (many[:100] / 255).astype(np.float32)[::-1][::-1],
        jnp.asarray(many[:100]),
        jnp.asarray(many[:100]).astype(jnp.float32) / 255,
    ):
        np.testing.assert_allclose(jaxnet.classify(params, images).activations, expected, atol=1e-6)


def test_memory_mapped(params, many, tmp_path):
    np.save(tmp_path / "many.npy", many)
    mapped = np.load(tmp_path / "many.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        jaxnet.classify(params, mapped).digits, jaxnet.classify(params, many).digits
    )


@pytest.mark.compiled
def test_other_squashes(params, many):
    answers = jaxnet.classify(params, many[:10], squash=jax.nn.relu, last_squash=jax.nn.softmax)
    np.testing.assert_allclose(answers.activations.sum(1), 1, atol=1e-6)
    for image, digit in zip(many[:10], answers.digits, strict=True):
        x = jnp.asarray(image, jnp.float32) / 255
        assert jaxnet.predict(params, x, squash=jax.nn.relu) == digit


def test_softmax_per_image(params, many):
    def softmax(z):
        return jnp.exp(z) / jnp.exp(z).sum()

    answers = jaxnet.classify(params, many[:10], last_squash=softmax)
    np.testing.assert_allclose(answers.activations.sum(1), 1, atol=1e-6)


def test_saturated_outputs():
    params = (jaxnet.Layer(jnp.zeros((3, 2)), jnp.array([90.0, 100.0, 95.0])),)
    assert jaxnet.classify(params, np.zeros((1, 2), np.uint8)).digits == 1


@pytest.mark.long
@pytest.mark.compiled
def test_few_compilations(params, many):
    before = _program.classify_chunk._cache_size()
    for n in (*range(1, 40_000, 501), 40_000):
        jaxnet.classify(params, many[:n])
    assert _program.classify_chunk._cache_size() - before <= 20  # powers of two, then whole tiles


@pytest.mark.compiled
def test_stream_compiles_once(params, many):
    def sizes():
        yield from (5_000, 4_999, 1, 0, 5_000, 123)

    before = _program.classify_chunk._cache_size()
    parts = [*inference.stream(params, (many[:n] for n in sizes()))]
    assert [len(part.digits) for part in parts] == [*sizes()]
    assert _program.classify_chunk._cache_size() - before <= 1


def test_classifier_after_a_bad_batch(params, many):
    classify = jaxnet.inference.classifier(params, batch_size=100)
    for bad in (many[:5, :700], many[:5] + 2.0, "seven"):
        with pytest.raises(ValueError, match="Expected"):
            classify(bad)
    np.testing.assert_array_equal(
        classify(many[:100]).digits, jaxnet.classify(params, many[:100])[0]
    )


def test_batch_size_saves_compilations(params, many):
    _program.classify_chunk.clear_cache()
    classify = jaxnet.inference.classifier(params, batch_size=1_000)
    for n in (1, 1_000, 37):
        classify(many[:n])
    assert _program.classify_chunk._cache_size() == 1


@pytest.mark.compiled
def test_large_batch_after_small_ones(params, many):
    calls = []
    read, pieces = _program.classify_chunk, [many[:0], many[:1], many]

    def counted(*arguments, **options):
        calls.append(len(arguments[2]))
        return read(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_classify, "classify_chunk", counted)
        none, one, all_ = inference.stream(params, pieces)
    assert [len(part.digits) for part in (none, one, all_)] == [0, 1, 40_000]
    assert len(calls) < 10
    np.testing.assert_array_equal(all_.digits, jaxnet.classify(params, many).digits)


def test_stream_frees_each_batch(params, many):
    made, held = [], []

    class Batch(np.ndarray):
        pass

    def batches():
        for _ in range(4):
            held.append(sum(batch() is not None for batch in made))
            batch = many[:20_000].copy().view(Batch)
            made.append(weakref.ref(batch))
            yield batch
            del batch

    for answers in inference.stream(params, batches()):
        assert len(answers.digits) == 20_000
    assert held == [0, 0, 0, 0]


@pytest.mark.long
@pytest.mark.compiled
@pytest.mark.parametrize("n", [100, 40_000])
def test_jax_settings_reach_the_threads(many, n):
    with jax.enable_x64(True):
        wide = jaxnet.init(jax.random.key(0), dtype=jnp.float64)
        answers = jaxnet.classify(wide, many[:n])
        assert answers.activations.dtype == np.float64
        expected = matrix_form(wide, many[:n] / 255)[-1]
        np.testing.assert_allclose(answers.activations, expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 40_000])
def test_answers_are_writable(params, many, n):
    digits, activations = jaxnet.classify(params, many[:n])
    assert digits.flags.writeable
    assert activations.flags.writeable


@pytest.mark.compiled
def test_runs_on_the_device_of_params(many):
    second = jax.devices()[1]
    seen = []
    for sizes in ((784, 10), (784, 16, 10)):
        there = jax.device_put(jaxnet.init(jax.random.key(0), sizes), second)
        read = _program.classify_chunk

        def spied(*arguments, read=read, **options):
            answers = read(*arguments, **options)
            seen.append(answers[0].devices())
            return answers

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_classify, "classify_chunk", spied)
            jaxnet.classify(there, many[:100])
    assert seen
    assert all(devices == {second} for devices in seen)


@pytest.mark.parametrize("precision", _quantize.PRECISIONS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_params_not_finite(params, many, precision, wrong):
    w = np.asarray(params[0].weights).copy()
    w[3, 400] = wrong
    _, a = jaxnet.classify(
        ((w, params[0].biases), *params[1:]), many[:3_000, :], precision=precision
    )
    with np.errstate(invalid="ignore"):  # infinity times a black pixel
        exact = matrix_form(((w, params[0].biases), *params[1:]), many[:3_000] / 255)[-1]
    np.testing.assert_allclose(a, exact, atol=0.02)  # NaN where that is NaN
    assert np.isnan(a).any()


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_int8_with_half_precision_params(dtype, many):
    w = jnp.linspace(0.01, 0.1, 10)[:, None] * jnp.ones((10, 784))
    params = (jaxnet.Layer(w.astype(dtype), jnp.zeros(10, dtype)),)
    white = np.full((5, 784), 255, np.uint8)
    z = jaxnet.classify(params, white, precision="int8", last_squash=jax.nn.identity).activations
    exact = np.asarray(params[0].weights, np.float64).sum(1)
    np.testing.assert_allclose(z.astype(float), np.tile(exact, (5, 1)), rtol=0.01)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_wide_images_do_not_overflow(precision):
    w = np.full((2, 70_000), 1e-5, np.float32) * [[1], [-1]]
    params = (jaxnet.Layer(w.astype(np.float32), np.zeros(2, np.float32)),)
    white = np.full((64, 70_000), 255, np.uint8)
    a = jaxnet.classify(params, white, precision=precision).activations
    expected = [[1 / (1 + np.exp(-0.7)), 1 / (1 + np.exp(0.7))]] * 64
    # Sums of 70,000 floats of one sign, by vectors of 8 to 16, round off more than usual.
    np.testing.assert_allclose(a, expected, 1e-4)


def test_times_bytes_at_the_extremes():
    images = np.array([[255] * 784, [0, 255] * 392, [1] * 784], np.uint8)
    weights = np.array([[-127] * 784, [127] * 784, [127, -127] * 392], np.int8).T
    expected = images.astype(int) @ weights.astype(int)
    np.testing.assert_array_equal(jax.jit(_quantize.times_bytes)(images, weights), expected)
    with pytest.MonkeyPatch.context() as patch:  # as on another processor
        patch.setattr(_quantize, "multiplies_bytes", lambda: False)
        np.testing.assert_array_equal(_quantize.times_bytes(images, weights), expected)


@pytest.mark.compiled
def test_floats_without_int8_dot_products(params, many):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_quantize, "multiplies_bytes", lambda: False)
        layer = _quantize.prepare(params[0], "float32", is_uint8=True, on_cpu=True)
        assert isinstance(layer, _quantize.Floats)
        slow = jaxnet.classify(params, many)
    expected = matrix_form(params, many / 255)[-1]
    np.testing.assert_allclose(slow.activations, expected, atol=2e-6)


@pytest.mark.compiled
def test_independent_of_the_callers_mesh(params, many):
    expected = jaxnet.classify(params, many[:100]).digits
    with jax.set_mesh(jax.make_mesh((2,), ("elsewhere",))):
        for devices in (None, jax.devices(), jax.devices()[0]):
            got = jaxnet.classify(params, many[:100], devices=devices).digits
            np.testing.assert_array_equal(got, expected)


def test_error_under_jit(params, many):
    for call in (
        lambda images: jaxnet.classify(params, images),
        lambda images: jaxnet.classify(jax.tree.map(lambda w: w + images[0, 0], params), many),
    ):
        with pytest.raises(TypeError, match=r"jax\.vmap\(jaxnet\.forward, in_axes=\(None, 0\)\)"):
            jax.jit(call)(jnp.ones((5, 784)))


def test_stream_is_lazy_and_ordered(params, many):
    taken = []

    def batches():
        for n in range(4):
            taken.append(n)
            yield many[100 * n : 100 * n + 50 + n]

    answers = inference.stream(params, batches())
    assert taken == []
    first = next(answers)
    assert taken == [0]
    rest = [first, *answers]
    assert [len(part.digits) for part in rest] == [50, 51, 52, 53]
    np.testing.assert_array_equal(rest[2].digits, jaxnet.classify(params, many[200:252]).digits)


@pytest.mark.compiled
@pytest.mark.parametrize("n", [0, 1, 3, 5_000, 32_769, 40_000])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_two_devices(params, many, n, dtype):
    images = many[:n] if dtype == np.uint8 else many[:n] / np.float32(255)
    one = jaxnet.classify(params, images)
    mesh = jax.make_mesh((2, 1), ("rows", "columns"))
    for devices in (jax.devices(), mesh):
        two = jaxnet.classify(params, images, devices=devices)
        np.testing.assert_array_equal(two.digits, one.digits)
        np.testing.assert_allclose(two.activations, one.activations, atol=1e-6)


def test_work_is_split_across_devices(params, many):
    mesh = _classify._mesh(jax.devices())
    squashes = {"squash": jax.nn.sigmoid, "last_squash": jax.nn.sigmoid}
    for precision in _quantize.PRECISIONS:
        layer = _quantize.prepare(params[0], precision, is_uint8=True, on_cpu=True)
        lowered = _program.classify_chunk.lower(
            layer, params[1:], many[:4096], **squashes, brightest=False, tile=1024, mesh=mesh
        )
        compiled = lowered.compile().as_text()
        assert "[1024,784]" in compiled
        assert "[4096,784]" not in compiled
        assert not [op for op in ("all-reduce", "all-gather", "all-to-all") if op in compiled]


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("n_hosts", [2, 4])
def test_hosts(n_hosts, many, tmp_path):
    np.save(tmp_path / "images.npy", many[:10_001])
    as_hosts(hosts, n_hosts, tmp_path)
    parts = [np.load(tmp_path / f"{n}.npz") for n in range(n_hosts)]
    expected = jaxnet.classify(jaxnet.pretrained(), many[:10_001])
    digits, activations = (
        np.concatenate([part[name] for part in parts]) for name in expected._fields
    )
    np.testing.assert_array_equal(digits, expected.digits)
    # In batches of other sizes the later layers' sums are added up in another order.
    np.testing.assert_allclose(activations, expected.activations, atol=1e-5)


@pytest.mark.parametrize(("index", "count"), [(3, 3), (-1, 2), (0, 0)])
def test_share_with_a_bad_index(index, count):
    with pytest.raises(ValueError, match=f"from 0 to {count - 1}; got {index}"):
        inference.share(10, index, count)


def test_share_of_a_negative_number():
    with pytest.raises(ValueError, match="non-negative number of images; got -5"):
        inference.share(-5, 0, 2)


def test_no_devices(params, many):
    with pytest.raises(ValueError, match=r"as jax.local_devices\(\); got \[\]"):
        jaxnet.classify(params, many[:5], devices=[])


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((5, 28, 28), np.uint8), r"\(n, pixels\); got \(5, 28, 28\)"),
        (np.zeros(784, np.uint8), r"\(n, pixels\); got \(784,\)"),
        (np.zeros((5, 783), np.uint8), r"shape \(784,\) .* got float32\[783\]"),
        ([[0.5] * 784], r"\(n, pixels\); got list"),
        (np.zeros((5, 784), ">f4"), "uint8 or floats; got >f4"),
        (np.zeros((5, 784), np.longdouble), "uint8 or floats; got"),
        (np.zeros((5, 784), np.int64), "uint8 or floats; got int64"),
        (np.zeros((5, 784), bool), "uint8 or floats; got bool"),
    ],
)
def test_bad_images(params, images, says):
    with pytest.raises(ValueError, match=says):
        jaxnet.classify(params, images)


@pytest.mark.parametrize("wrong", [(), lambda: None])
def test_bad_network(wrong, many):
    with pytest.raises(TypeError, match="tuple of Layer"):
        jaxnet.classify(wrong, many[:5])


def test_error_for_an_ensemble(params, many):
    ensemble = jax.tree.map(lambda leaf: leaf[None], params)
    with pytest.raises(ValueError, match=r"in_axes=\(0, None\)"):
        jaxnet.classify(ensemble, many[:5])


def test_outlier_weight(params, many):
    """One weight of a neuron may exceed the others 10,000 times."""
    w, images = np.array(params[0].weights), many[:3_000].copy()
    w[:, 400], images[:, 400] = 1e4 * abs(w).max(1), 0  # so that the small weights decide
    odd = (params[0]._replace(weights=w), *params[1:])
    answers = jaxnet.classify(odd, images)
    np.testing.assert_allclose(answers.activations, matrix_form(odd, images / 255)[-1], atol=2e-6)


@pytest.mark.compiled
@pytest.mark.parametrize("squash", ["relu", "tanh", "softmax"])
def test_squash_by_name(params, many, squash):
    named = jaxnet.classify(params, many[:50], squash=squash, last_squash=squash)
    function = SQUASHES[squash]
    same = jaxnet.classify(params, many[:50], squash=function, last_squash=function)
    np.testing.assert_array_equal(named.activations, same.activations)
    x = jnp.asarray(many[:50], jnp.float32) / 255
    forward = partial(jaxnet.forward, squash=squash, last_squash=squash)
    expected = jax.vmap(forward, in_axes=(None, 0))(params, x)
    np.testing.assert_allclose(named.activations, expected, atol=2e-5)
    with pytest.raises(ValueError, match="got 'sigmoyd'"):
        jaxnet.classify(params, many[:5], squash="sigmoyd")


def test_confidence_takes_a_squash_or_its_name(many):
    a = np.random.default_rng(0).dirichlet(np.ones(10), 20)
    for name, function in SQUASHES.items():
        np.testing.assert_array_equal(
            inference.confidence(a, last_squash=name),
            inference.confidence(a, last_squash=function),
        )
    sigmoid, softmax, tanh = (
        inference.confidence(a, last_squash=name) for name in ("sigmoid", "softmax", "tanh")
    )
    np.testing.assert_array_equal(sigmoid, softmax)  # both are shares already
    assert (tanh != softmax).any()


@pytest.mark.compiled
def test_pytorch_tensors(params, many):
    torch = pytest.importorskip("torch")
    expected = jaxnet.classify(params, many[:50])
    for tensor in (torch.tensor(many[:50]), torch.tensor(many[:50]) / 255):
        got = jaxnet.classify(params, tensor)
        np.testing.assert_array_equal(got.digits, expected.digits)
    with pytest.raises(ValueError, match="uint8 or floats; got int64"):
        jaxnet.classify(params, torch.tensor(many[:50]).long())


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("brightest", [False, True])
def test_single_output(many, dtype, brightest):
    params = jaxnet.init(jax.random.key(3), (784, 16, 1))
    images = many[:3_000] if dtype == np.uint8 else many[:3_000] / np.float32(255)
    a = matrix_form(params, many[:3_000] / 255)[-1][:, 0]
    params = (params[0], params[1]._replace(biases=-np.log(np.median(a / (1 - a)))[None]))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    a = matrix_form(params, many[:3_000] / 255)[-1][:, 0]
    answers = jaxnet.classify(params, images, brightest=brightest)
    sure = abs(a - 0.5) > 1e-5
    assert 0.4 < (a > 0.5).mean() < 0.6
    np.testing.assert_array_equal(answers.digits[sure], a[sure] > 0.5)
    np.testing.assert_allclose(answers.activations.ravel(), a, atol=2e-6)
    for n in range(5):
        x = jnp.asarray(many[n], jnp.float32) / 255
        assert int(jaxnet.predict(params, x)) == int(a[n] > 0.5)
