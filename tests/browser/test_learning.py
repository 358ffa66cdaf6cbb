"""Learning in the page: its gradients, its steps, its digits, and what it learns."""

import base64
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from playwright.sync_api import expect

import jaxnet
from jaxnet._page import page
from jaxnet.data.synthetic import HAND, N_NUMBERS, drawing
from jaxnet.network import SQUASHES
from jaxnet.training import cross_entropy, quadratic_cost
from tests.browser.hands import (
    answer,
    colors,
    draw,
    flat,
    frame,
    images_of,
    params_of,
    random,
    still,
    text_of,
)

pytestmark = pytest.mark.process

COSTS = {"cross-entropy": cross_entropy, "squared error": quadratic_cost}


def digits_drawn(tab, n, seed):
    """New digits of the page: images and labels."""
    pixels, labels = tab.evaluate(
        """([n, seed]) => {
        const digits = jaxnet.digits(n, seed);
        return [digits.map(({ image }) => Array.from(image)), digits.map(({ label }) => label)];
        }""",
        [n, seed],
    )
    return np.array(pixels, np.float32), np.array(labels)


def gradient_in(tab, images, labels, cost):
    """The cost and its gradient, as one long vector in the order of the tree."""
    pixels = base64.b64encode(np.asarray(images, "<f4").tobytes()).decode()
    cost, numbers = tab.evaluate(
        """([pixels, labels, cost]) => {
        const all = new Float32Array(Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0)).buffer);
        const examples = labels.map((label, k) => ({
            label, image: all.slice(784 * k, 784 * (k + 1)) }));
        const found = jaxnet.gradient(examples, cost);
        return [found.cost, found.gradient.flatMap(({ weights, biases }) =>
            [...weights.flatMap((row) => Array.from(row)), ...biases])];
        }""",
        [pixels, [int(label) for label in labels], cost],
    )
    return cost, np.array(numbers)


def mean_cost(params, images, labels, cost, squash):
    def of_one(x, y):
        return COSTS[cost](jaxnet.logits(params, x, squash=SQUASHES[squash]), y)

    return jax.vmap(of_one)(images, labels).mean()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("squash", ["sigmoid", "relu", "tanh", "gelu", "softmax"])
def test_gradient_is_jax_grad(opened, cost, squash):
    sizes = (784, 16, 16, 10)
    params, images = random(sizes), images_of(40)
    labels = np.arange(40) % 10
    with opened(text_of(sizes, squash)) as tab:
        theirs = gradient_in(tab, images, labels, cost)
    ours = jax.value_and_grad(mean_cost)(params, jnp.asarray(images), labels, cost, squash)
    assert theirs[0] == pytest.approx(float(ours[0]), rel=1e-5)
    scale = np.abs(flat(ours[1])).max()
    np.testing.assert_allclose(theirs[1], flat(ours[1]), rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("name", "rate", "optimizer"),
    [
        ("gradient descent", "0.3", optax.sgd(0.3)),
        ("momentum", "0.1", optax.sgd(0.1, momentum=0.9)),
        ("Adam", "0.01", optax.adam(0.01)),
    ],
)
def test_steps_are_those_of_optax(opened, name, rate, optimizer):
    """Teaching the drawing three times, against three steps of optax."""
    params = random((784, 16, 16, 10))
    state = optimizer.init(params)
    with opened(text_of((784, 16, 16, 10))) as tab:
        tab.select_option("#optimizer", name)
        tab.select_option("#rate", rate)
        tab.select_option("#cost", "cross-entropy")
        draw(tab, 7)
        x = jnp.array(tab.evaluate("jaxnet.image"), jnp.float32)
        for label in (7, 7, 1):
            tab.click(f"#bars button >> nth={label}")
            gradient = jax.grad(mean_cost)(
                params, x[None], jnp.array([label]), "cross-entropy", "sigmoid"
            )
            with jax.numpy_dtype_promotion("standard"):  # Adam counts steps in integers
                updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        # Adam divides by the gradient's own size, so rounding of tiny ones shows in its steps.
        np.testing.assert_allclose(flat(params_of(tab)), flat(params), rtol=1e-4, atol=2e-5)
        for _ in range(3):
            tab.click("#undo")
        np.testing.assert_array_equal(flat(params_of(tab)), flat(random((784, 16, 16, 10))))


def test_digits_are_pythons(opened):
    draw_numbers = np.random.default_rng(3).uniform(size=(60, N_NUMBERS)).astype(np.float32)
    subjects = np.arange(60) % 10
    ours = jax.vmap(drawing)(draw_numbers, subjects)
    with opened(text_of()) as tab:
        theirs = tab.evaluate(
            "([hands, digits]) => hands.map((hand, k) => jaxnet.draw(hand, digits[k]))",
            [draw_numbers[:, : len(HAND)].tolist(), subjects.tolist()],
        )
    # float32 there and float64 here, in the pen's path and in the distance to it.
    np.testing.assert_allclose(theirs, ours, atol=1e-3)


@pytest.mark.slow
def test_new_digits_look_like_pythons(opened):
    """The trained network reads them as well, and their ink is spread as it is there."""
    with opened(text_of()) as tab:
        assert tab.evaluate("jaxnet.accuracy(jaxnet.digits(2000, 11))") >= 0.99
        images, labels = digits_drawn(tab, 2000, 12)
    theirs, other = jaxnet.data.synthetic.sample(jax.random.key(0), 2000)
    assert np.bincount(labels, minlength=10).min() > 140
    for digit in range(10):
        means = [np.asarray(a)[np.asarray(b) == digit].mean(0) for a, b in
                 ((images, labels), (theirs, other))]  # fmt: skip
        assert np.abs(means[0] - means[1]).max() < 0.2
        assert np.abs(means[0] - means[1]).mean() < 0.02


def test_from_random_to_95_percent(opened, tmp_path):
    """By the video's own gradient descent, within seconds; the result loads in Python."""
    with opened(text_of(), width=1366, height=768) as tab:
        tab.click("#fresh")
        tab.click('[data-at="1-4"]')
        frame(tab)
        noise = colors(tab, "[data-is=weights]")
        tab.click("#play")
        start, accuracy = time.monotonic(), 0.0
        while accuracy < 0.95 and time.monotonic() - start < 60:
            tab.wait_for_timeout(250)
            accuracy = tab.evaluate("jaxnet.accuracy(jaxnet.digits(500, 21))")
        tab.click("#play")
        assert accuracy >= 0.95
        assert int(tab.inner_text("#seen").replace(",", "")) > 500
        assert int(tab.inner_text("#walling .right").split()[0]) > 120
        assert np.abs(colors(tab, "[data-is=weights]") - noise).mean() > 5
        with tab.expect_download() as download:
            tab.click("#save")
        download.value.save_as(tmp_path / "n.safetensors")
        params, _ = jaxnet.load(tmp_path / "n.safetensors")
        np.testing.assert_array_equal(flat(params), flat(params_of(tab)))
        images, labels = jaxnet.data.synthetic.sample(jax.random.key(9), 500)
        right = jax.vmap(jaxnet.predict, in_axes=(None, 0))(params, images) == labels
        assert float(right.mean()) >= 0.94
        tab.click("#undo")
        tab.click("#undo")  # the choice of the neuron, and all that it learned
        frame(tab)
        assert tab.evaluate("jaxnet.accuracy(jaxnet.digits(500, 21))") < 0.4


def test_one_step_shows_where_it_pushes(opened):
    with opened(text_of()) as tab:
        tab.select_option("#batch", "100")
        before, weights = still(tab), flat(params_of(tab))
        tab.click("#step")
        frame(tab)
        expect(tab.locator("#said")).to_contain_text("One step, from 100 drawn digits")
        assert np.abs(colors(tab, "#network") - before).mean() > 0.5
        assert (flat(params_of(tab)) != weights).any()
        draw(tab, 1)  # and what was drawn before it: activations
        frame(tab)
        tab.click("#undo")
        tab.click("#undo")
        tab.click("#undo")
        np.testing.assert_array_equal(flat(params_of(tab)), weights)


def test_looking_and_drawing_while_it_learns(opened):
    with opened(text_of()) as tab:
        tab.select_option("#rate", "0.001")  # so that the answer stays, however long it takes
        tab.click("#play")
        draw(tab, 7)
        assert tab.inner_text("#play").endswith("Pause")
        tab.click('[data-at="1-2"]')
        assert tab.inner_text("#answer") == "7"
        tab.fill("[data-is=bias-number]", "-3")  # a turned dial ends it
        assert tab.inner_text("#play").endswith("Learn")
        assert params_of(tab)[0].biases[2] == -3


def test_teaching_nothing(opened):
    with opened(text_of()) as tab:
        tab.click("#clear")
        tab.click("#bars button >> nth=3")
        expect(tab.locator("#status")).to_contain_text("Draw something first")
        np.testing.assert_array_equal(flat(params_of(tab)), flat(jaxnet.pretrained()))


def test_weight_decay(opened):
    """One step of gradient descent with decay, by JAX; biases do not decay."""
    params = random((784, 16, 16, 10))
    with opened(text_of((784, 16, 16, 10))) as tab:
        tab.select_option("#rate", "0.3")
        tab.select_option("#decay", "0.01")
        x = jnp.array(tab.evaluate("jaxnet.image"), jnp.float32)
        tab.click("#bars button >> nth=3")
        gradient = jax.grad(mean_cost)(params, x[None], jnp.array([3]), "squared error", "sigmoid")
        expected = [
            jaxnet.Layer(w - 0.3 * (gw + 0.01 * w), b - 0.3 * gb)
            for (w, b), (gw, gb) in zip(params, gradient, strict=True)
        ]
        np.testing.assert_allclose(flat(params_of(tab)), flat(expected), rtol=1e-4, atol=1e-6)


def test_divergence_is_told(opened):
    huge = jax.tree.map(lambda leaf: 1e30 * leaf, random((784, 16, 16, 10)))
    with opened(page(huge, squash="identity").html) as tab:
        tab.select_option("#cost", "cross-entropy")
        tab.click("#play")
        expect(tab.locator("#status")).to_contain_text("smaller learning rate")
        assert tab.inner_text("#play").endswith("Learn")
        assert answer(tab) == "–"
        tab.click("#undo")
        np.testing.assert_array_equal(flat(params_of(tab)), flat(huge))
