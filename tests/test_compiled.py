"""What calling through jaxnet costs: nothing that the same equations written out do not."""

import re
from collections import Counter

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from jax.nn import sigmoid

import jaxnet
from jaxnet.training import TrainState, train_step

pytestmark = [pytest.mark.core, pytest.mark.compiled]

sgd = optax.sgd(0.1, momentum=0.9)


def compiled(f, *arguments):
    """How often each operation stands in the optimized program, and what XLA says it costs."""
    program = jax.jit(f).lower(*arguments).compile()
    operations = re.findall(
        r"^ +(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(", program.as_text(), re.M
    )
    cost = program.cost_analysis()
    return Counter(operations), [cost[k] for k in ("flops", "bytes accessed", "transcendentals")]


def inline(params, x):
    (w1, b1), (w2, b2), (w3, b3) = params
    a = sigmoid(w1 @ x + b1)
    a = sigmoid(w2 @ a + b2)
    return sigmoid(w3 @ a + b3)


def inline_rows(params, images):
    (w1, b1), (w2, b2), (w3, b3) = params
    a = sigmoid(images @ w1.T + b1[None])
    a = sigmoid(a @ w2.T + b2[None])
    return sigmoid(a @ w3.T + b3[None])


def inline_logits(params, images):
    """Each image a column, as a batch is learned from."""
    (w1, b1), (w2, b2), (w3, b3) = params
    a = sigmoid(w1 @ images.T + b1[:, None])
    a = sigmoid(w2 @ a + b2[:, None])
    return (w3 @ a + b3[:, None]).T


def inline_step(params, opt_state, images, labels):
    """The equations, with NaN as the cost of an image whose label has no output."""
    known = (labels >= 0) & (labels < 10)

    def cost(params):
        z = inline_logits(params, images)
        costs = optax.softmax_cross_entropy_with_integer_labels(z, labels)
        return (costs * jnp.where(known, 1.0, jnp.nan)).mean()

    updates, opt_state = sgd.update(jax.grad(cost)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def our_step(params, opt_state, images, labels):
    state, _ = train_step(TrainState(params, opt_state), images, labels, optimizer=sgd)
    return state


@pytest.fixture
def step_arguments(params, images):
    return params, sgd.init(params), images, jnp.arange(7)


def test_forward_compiles_to_the_equation(params, x):
    ours = compiled(jaxnet.forward, params, x)
    assert ours == compiled(inline, params, x)
    assert ours[0]["dot"] == 3  # the operations are read off rightly


def test_batch_compiles_to_three_products(params, images):
    ours = compiled(jax.vmap(jaxnet.forward, in_axes=(None, 0)), params, images)
    assert ours == compiled(inline_rows, params, images)


def test_step_compiles_to_the_equations(step_arguments):
    ours = compiled(our_step, *step_arguments)
    assert ours == compiled(inline_step, *step_arguments)
    assert ours[0]["dot"] == 8  # three ahead, and five back: the images have no slopes


def test_extra_product_is_detected(params, x):
    def wasteful(params, x):
        return jaxnet.forward(params, x) + jaxnet.logits(params, 1 - x)

    assert compiled(wasteful, params, x) != compiled(inline, params, x)


def test_forward_compiles_once(params, images):
    chex.clear_trace_counter()
    forward = jax.jit(chex.assert_max_traces(jaxnet.forward, n=1))
    for x in images:
        forward(params, x)
    for n in range(5):
        forward(jaxnet.init(jax.random.key(n)), images[0])
    with pytest.raises(AssertionError):  # the counter does count
        forward(params, images[0].astype(jnp.bfloat16).astype(jnp.float16))
