"""The page as a file: its size, its contents and the command; `browser/` tests it in a browser."""

import base64
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnet
from jaxnet._page import page
from tests.subprocesses import refused, run, run_alone

VIDEO = "https://www.3blue1brown.com/lessons/neural-networks"


def networks(text):
    given = re.search(r'id="given">(.*?)</script>', text, re.DOTALL)[1]
    return {name: network for name, _, network in json.loads(given)["networks"]}


def decoded(network):
    floats = [
        np.frombuffer(base64.b64decode(layer[name]), np.float32)
        for layer in network["layers"]
        for name in ("weights", "biases")
    ]
    return np.concatenate(floats)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def test_single_file():
    text = page().html
    assert len(text.encode()) < 450_000
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)  # types name modules in comments
    assert not re.search(r"url\(|\bimport\b|\bfetch\b|src=", code)
    assert re.findall(r"https?:[^\"]+", text) == [VIDEO]  # a link, for the reader to follow
    assert text == page().html


@pytest.mark.compiled
def test_networks_are_exact(params):
    own = networks(page(params, squash="relu").html)
    assert [*own] == ["yours", "trained", "handmade", "edges", "components"]
    assert own["yours"]["squash"] == "relu"
    np.testing.assert_array_equal(decoded(own["yours"]), flat(params))
    np.testing.assert_array_equal(decoded(own["trained"]), flat(jaxnet.pretrained()))
    np.testing.assert_array_equal(decoded(own["handmade"]), flat(jaxnet.handmade()))
    for name in ("edges", "components"):
        np.testing.assert_array_equal(decoded(own[name]), flat(jaxnet.pretrained(name)))


@pytest.mark.compiled
def test_no_duplicate_network():
    assert [*networks(page(jaxnet.handmade()).html)] == [
        "handmade",
        "trained",
        "edges",
        "components",
    ]
    assert [*networks(page(jaxnet.pretrained()).html)] == [
        "trained",
        "handmade",
        "edges",
        "components",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda params: params[1:], "from 784 pixels to ten digits; got one with 16 inputs"),
        (lambda params: params[:1], "784 inputs and 16 outputs"),
        (lambda params: jax.tree.map(lambda a: a * jnp.nan, params), "or NaN instead"),
        (lambda params: (params[0], params[0]), r"Expected params\[1\] of shapes"),
    ],
)
def test_bad_sizes(params, change, said):
    with pytest.raises(ValueError, match=said):
        page(change(params))


@pytest.mark.parametrize("wrong", [(), {}, 3, [1, 2], "network"])
def test_bad_network(wrong):
    with pytest.raises(TypeError, match="Expected params"):
        page(wrong)


def test_unknown_squash(params):
    with pytest.raises(ValueError, match=r"Expected a squash .* one of sigmoid, .*; got 'step'"):
        page(params, last_squash="step")


@pytest.mark.compiled
def test_command(tmp_path, params):
    jaxnet.save(tmp_path / "mine.safetensors", params, squash="relu")
    process = run("page", "--weights", "mine.safetensors", "--output", "my.html", cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "my.html\n", "")
    text = (tmp_path / "my.html").read_text(encoding="utf-8")
    assert text == page(params, squash="relu").html


@pytest.mark.process
def test_open_in_the_browser(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/called"\n')
    browser.chmod(0o755)
    process = run_alone("page", "--open", cwd=tmp_path, BROWSER=str(browser))
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "called").read_text() == (tmp_path / "jaxnet.html").as_uri() + "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "page.txt"], "page.txt: the output must end in .html"),
        (["--output", "nowhere/page.html"], "there is no folder nowhere"),
        (["--weights", "small.safetensors"], "small.safetensors: Expected a network from 784"),
        (["--weights", "none.safetensors"], "none.safetensors: No such file"),
    ],
)
def test_mistakes(tmp_path, arguments, said):
    jaxnet.save(tmp_path / "small.safetensors", jaxnet.init(jax.random.key(0), (100, 10)))
    assert said in refused(run("page", *arguments, cwd=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]
