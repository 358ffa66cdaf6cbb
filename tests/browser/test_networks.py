"""What the page computes, shows and keeps of a network."""

import json
import pathlib
import re
import tempfile

import jax
import numpy as np
import pytest
from playwright.sync_api import expect

import jaxnet
from jaxnet.network import SQUASHES
from tests.browser.hands import (
    answer,
    colors,
    draw,
    frame,
    images_of,
    params_of,
    random,
    read_in,
    text_of,
)
from tests.oracles import matrix_form

pytestmark = pytest.mark.process


def tensors(**changes):
    """A file of the format, right but for what is changed in its header."""
    header = {
        "__metadata__": {"squash": "relu", "last_squash": "sigmoid"},
        "0.weights": {"dtype": "F32", "shape": [10, 784], "data_offsets": [0, 31360]},
        "0.biases": {"dtype": "F32", "shape": [10], "data_offsets": [31360, 31400]},
    }
    for name, change in changes.items():
        header[name.replace("_0", "0.").strip("_")] = change
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(31400)


def weights(**changes):
    return {"dtype": "F32", "shape": [10, 784], "data_offsets": [0, 31360], **changes}


def whole_file(sizes=(784, 10)):
    folder = pathlib.Path(tempfile.mkdtemp())
    jaxnet.save(folder / "n.safetensors", random(sizes))
    return (folder / "n.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("sizes", "squash"),
    [(None, "sigmoid"), ((784, 16, 16, 10), "sigmoid"), ((784, 16, 16, 10), "relu")],
    ids=["trained", "random", "relu"],
)
def test_networks_against_jaxnet(opened, sizes, squash):
    params = random(sizes) if sizes else jaxnet.pretrained()
    images = images_of(1000)
    run = jax.vmap(
        lambda x: jaxnet.activations(params, x, squash=SQUASHES[squash]),
    )
    with opened(text_of(sizes, squash)) as tab:
        theirs = read_in(tab, images)
    for ours, their in zip(run(images)[1:], theirs, strict=True):
        np.testing.assert_allclose(their, ours, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(theirs[-1], run(images)[-1], rtol=0, atol=1e-5)
    if squash == "sigmoid":
        # The pixels are float32 here and float64 there; nothing else differs.
        for ours, their in zip(matrix_form(params, images)[1:], theirs, strict=True):
            np.testing.assert_allclose(their, ours, rtol=0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("squash", sorted(SQUASHES))
def test_squashes_against_jax(opened, squash):
    params, images = random((784, 12, 10)), images_of(20)
    run = jax.vmap(
        lambda x: jaxnet.forward(params, x, squash=SQUASHES[squash], last_squash=SQUASHES[squash])
    )
    with opened(text_of((784, 12, 10), squash, squash)) as tab:
        np.testing.assert_allclose(read_in(tab, images)[-1], run(images), rtol=2e-5, atol=1e-5)


def test_neuron_inspector(opened):
    params = jaxnet.pretrained()
    with opened(text_of()) as tab:
        draw(tab, 4)
        x = np.array(tab.evaluate("jaxnet.image"))
        layers = matrix_form(params, x)
        for layer, n in ((1, 11), (2, 5), (3, 4)):
            tab.click(f'[data-at="{layer}-{n}"]')
            frame(tab)
            w, b = (np.asarray(v, np.float64)[n] for v in params[layer - 1])
            total = w @ layers[layer - 1]
            said = tab.inner_text("[data-is=equation]").replace("−", "-")
            numbers = [float(v) for v in re.findall(r"-?\d+\.\d+", said.replace(" - ", " -"))]
            expected = [total, b, total + b, layers[layer][n]]
            np.testing.assert_allclose(np.abs(numbers), np.abs(expected), atol=0.006)
            first = tab.locator("[data-is=feeds] li").first.inner_text().replace("−", "-")
            strongest = (w * layers[layer - 1])[np.abs(w * layers[layer - 1]).argmax()]
            assert float(first.split("=")[1]) == pytest.approx(strongest, abs=0.006)
            button = tab.locator(f'[data-at="{layer}-{n}"]')
            expect(button).to_have_attribute("aria-pressed", "true")
            a = layers[layer][n]
            expect(button).to_have_attribute(
                "aria-label", re.compile(f"{n + (layer < 3)}.*{a:.2f}")
            )
        tab.click("[data-is=feeds] button >> nth=0")
        frame(tab)
        assert "hidden layer 2" in tab.inner_text("[data-is=name]")


def test_weight_colors(opened):
    with opened(text_of()) as tab:
        tab.click('[data-at="1-3"]')
        frame(tab)
        w = np.asarray(jaxnet.pretrained()[0].weights[3]).reshape(28, 28)
        red, green, _ = np.moveaxis(colors(tab, "[data-is=weights]"), -1, 0)
        strong = np.abs(w) > 0.3
        assert ((green > red) == (w > 0))[strong].all()
        order = np.argsort(w[w > 0])
        assert (np.diff(green[w > 0][order]) >= 0).all()  # brighter where larger
        tab.check("#safe")
        frame(tab)
        cells = colors(tab, "[data-is=weights]").reshape(28, 6, 28, 6, 3).swapaxes(1, 2)
        red, _, blue = np.moveaxis(cells[:, :, 0, 0], -1, 0)
        assert ((blue > red) == (w > 0))[strong].all()
        # And a mark in the middle tells negative weights without any color.
        assert ((cells[:, :, 3, 3].sum(-1) == 0) == (w < 0))[strong].all()


def test_save_network(opened, tmp_path):
    with opened(text_of()) as tab:
        tab.click('[data-at="2-7"]')
        tab.fill("[data-is=bias-number]", "2.5")
        tab.select_option("#squash", "relu")
        with tab.expect_download() as download:
            tab.click("#save")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        params, spec = jaxnet.load(path)
        assert (spec.sizes, spec.squash, spec.last_squash) == ((784, 16, 16, 10), "relu", "sigmoid")
        assert params[1].biases[7] == 2.5
        np.testing.assert_array_equal(params[0].weights, jaxnet.pretrained()[0].weights)
        images = images_of(50)
        run = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))
        # With weights learned under sigmoid, ReLU's sums reach hundreds, which float32 rounds.
        np.testing.assert_allclose(read_in(tab, images)[-1], run(images), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_load_network(opened, tmp_path, dtype):
    params = jax.tree.map(lambda a: a.astype(dtype), random((784, 30, 10)))
    jaxnet.save(tmp_path / "n.safetensors", params, squash="tanh", notes={"said": "größer"})
    exact = jax.tree.map(lambda a: a.astype("float32"), params)
    with opened(text_of()) as tab:
        tab.click('[data-at="3-4"]')  # a layer that is gone afterwards
        tab.set_input_files("#file", tmp_path / "n.safetensors")
        expect(tab.locator("#status")).to_contain_text("dials are set")
        assert tab.input_value("#squash") == "tanh"
        assert tab.is_hidden("#neuron")
        for ours, theirs in zip(
            jax.tree.leaves(params_of(tab)), jax.tree.leaves(exact), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        tab.click("#undo")
        assert tab.locator("#neurons button").count() == 42


def test_bad_files(opened, tmp_path):
    files = {
        "a picture": b"\x89PNG not at all a network",
        "nothing": b"",
        "half": whole_file()[:-100],
        "five outputs": whole_file((784, 5)),
        "other pixels": whole_file((100, 10)),
        "long header": b"\xff" * 8 + b"{}",
        "null header": b"\x04" + bytes(7) + b"null",
        "null tensor": tensors(_0weights=None),
        "text for shape": tensors(_0weights=weights(shape="1078")),
        "negative": tensors(_0weights=weights(data_offsets=[-8, 31352])),
        "overlong": tensors(_0weights=weights(shape=[10, 10**9])),
        "no neurons": tensors(_0weights=weights(shape=[0, 784], data_offsets=[0, 0])),
        "three dimensions": tensors(_0weights=weights(shape=[10, 784, 1])),
        "strange numbers": tensors(_0weights=weights(dtype="constructor")),
        "strange squash": tensors(__metadata__={"squash": ["relu"], "last_squash": "relu"}),
        "more arrays": tensors(more=weights()),
    }
    with opened(text_of()) as tab:
        for name, content in files.items():
            path = tmp_path / f"{name}.safetensors"
            path.write_bytes(content)
            tab.set_input_files("#file", path)
            expect(tab.locator("#status")).to_contain_text(name)
            said = tab.inner_text("#status")
            assert re.fullmatch(rf"{name}\.safetensors: This is not a network .*\.", said), said
        np.testing.assert_array_equal(params_of(tab)[0].weights, jaxnet.pretrained()[0].weights)
        (tmp_path / "right.safetensors").write_bytes(tensors())
        tab.set_input_files("#file", tmp_path / "right.safetensors")
        expect(tab.locator("#status")).to_contain_text("7,850 dials are set")
        frame(tab)
        assert answer(tab) == "–"  # all ten outputs are the same


@pytest.mark.parametrize(
    ("sizes", "circles"),
    [((784, 100, 10), 17 + 1 + 10 - 1), ((784, 10), 10), ((784, 18, 19, 10), 18 + 16 + 10)],
)
def test_any_sizes(opened, sizes, circles):
    with opened(text_of(sizes)) as tab:
        assert tab.locator("#neurons button").count() <= circles
        last = len(sizes) - 1
        assert tab.locator(f'#neurons [data-at^="{last}-"]').count() == 10
        if 100 in sizes:
            assert tab.locator('[data-at="1-99"]').count() == 1
            assert tab.locator('[data-at="1-50"]').count() == 0
            tab.click('[data-at="1-99"]')
            frame(tab)
            assert "neuron 100" in tab.inner_text("[data-is=name]")
        tab.click(f'[data-at="{last}-3"]')
        frame(tab)
        assert tab.inner_text("[data-is=name]") == "output 3"


def test_embedded_json_is_escaped():
    given = re.search(r'id="given">(.*?)</script>', text_of(), re.DOTALL)[1]
    assert [name for name, *_ in json.loads(given)["networks"]] == [
        "trained",
        "handmade",
        "edges",
        "components",
    ]
