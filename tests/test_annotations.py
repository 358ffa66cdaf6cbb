"""The annotations are true: jaxtyping's import hook checks them at run time, with beartype.

The hook must be there before the package is imported, so this file also runs as a program.
"""

import doctest
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [
    *("jaxnet.network", "jaxnet.training._costs", "jaxnet.training._fit", "jaxnet.training._loss"),
    *("jaxnet.inference._classify", "jaxnet.inference._confidence", "jaxnet.inference._on_device"),
    *("jaxnet.analysis._attribution", "jaxnet.analysis._edges", "jaxnet.analysis._ensembles"),
    *("jaxnet.analysis._gradients", "jaxnet.analysis._landscape", "jaxnet.analysis._probes"),
    *("jaxnet.data.augment", "jaxnet.data.synthetic"),
    *("jaxnet.design._detectors", "jaxnet.design._digits"),
]


def calls():
    """Calls that docstrings do not show: NumPy, bytes, integers for floats, traced arguments."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    import jaxnet
    from jaxnet import analysis, inference, training
    from jaxnet.data.augment import affine, elastic
    from jaxnet.training import MeanCost, TrainState, cross_entropy, quadratic_cost

    key, adam, ones = jax.random.key(0), optax.adam(0.01), np.ones(40, "f")
    images, labels = jax.random.uniform(key, (40, 784)), jnp.arange(40) % 10
    in_bytes, digits, x = np.asarray(255 * images).astype(np.uint8), np.asarray(labels), images[0]
    params = jaxnet.init(key)
    half = jax.tree.map(lambda a: a.astype("bfloat16"), params)
    single = (jaxnet.Layer(jnp.ones((1, 784)), jnp.ones(1)),)
    state = TrainState(params, adam.init(params))
    everything = MeanCost(
        quadratic_cost, squash=jnp.tanh, augment=affine, network=lambda p: p, weighted=True
    )

    def own(params, images, labels, key):
        cost, metrics = training.loss(params, images, labels)
        return cost + (params[0].weights ** 2).sum(), metrics

    def fit(images=images, labels=labels, optimizer=adam, **options):
        return training.fit(key, images, labels, optimizer, epochs=1, batch_size=10, **options)

    return {
        "handmade": jaxnet.handmade,
        "forward": lambda: jaxnet.forward(params, np.asarray(x)),
        "forward, squash": lambda: jaxnet.forward(params, x, squash="relu", last_squash=jnp.tanh),
        "forward, bfloat16": lambda: jaxnet.forward(half, x),
        "forward, shapes": lambda: jax.eval_shape(jaxnet.forward, params, x),
        "forward, vmap": lambda: jax.vmap(jaxnet.forward, (None, 0))(params, images),
        "predict, jit": lambda: jax.jit(jax.vmap(jaxnet.predict, (None, 0)))(params, images),
        "predict, one output": lambda: jaxnet.predict(single, x),
        "loss": lambda: training.loss(params, in_bytes, digits.astype(np.uint8)),
        "loss of shares": lambda: training.loss(params, images, jax.nn.one_hot(labels, 10)),
        "gradient": lambda: jax.grad(training.loss, has_aux=True)(params, images, labels),
        "MeanCost": lambda: everything(params, in_bytes, (digits, ones), key),
        "costs": lambda: [cross_entropy(jnp.zeros(10), y) for y in (3, np.uint8(3), labels[3])],
        "quadratic cost": lambda: quadratic_cost(jnp.zeros(10), 3),
        "train_step": lambda: training.train_step(state, in_bytes, digits, optimizer=adam),
        "train_epoch": lambda: training.train_epoch(
            key, state, images, labels, optimizer=adam, batch_size=np.int64(10)
        ),
        "evaluation_params": lambda: training.evaluation_params(state),
        "fit": lambda: fit(in_bytes, digits, validation=[images, labels]),
        "fit, MeanCost": lambda: fit(
            in_bytes, (digits, ones), loss=everything, validation=(images, (labels, ones))
        ),
        "fit, own loss": lambda: fit(loss=own),
        "fit, continued": lambda: fit(state=state, first_epoch=np.int64(3)),
        "fit, traced": lambda: jax.jit(lambda n: fit(first_epoch=n))(3),
        "fit, vmap": lambda: jax.jit(jax.vmap(lambda rate: fit(optimizer=optax.sgd(rate))))(ones),
        "fit, MultiSteps": lambda: fit(optimizer=optax.MultiSteps(adam, 2)),
        "evaluate": lambda: training.evaluate(params, in_bytes, digits),
        "evaluate, jit": lambda: jax.jit(training.evaluate)(params, images, labels),
        "classify": lambda: [jaxnet.classify(params, a).digits for a in (in_bytes, images)],
        "stream": lambda: [a.digits for a in jaxnet.stream(params, [in_bytes])],
        "brightest": lambda: jaxnet.classify(params, in_bytes, brightest=True).digits,
        "on a device": lambda: jax.jit(inference.classify_on_device)(params, images),
        "confidence": lambda: inference.confidence(np.full((2, 10), 0.1)),
        "per_example_gradients": lambda: analysis.per_example_gradients(params, images, labels),
        "influence": lambda: analysis.influence(
            params, images, labels, x, labels[0], n_iterations=2
        ),
        "hessian_vector_product": lambda: analysis.hessian_vector_product(
            params, params, images, labels
        ),
        "top_hessian_eigenvalue": lambda: analysis.top_hessian_eigenvalue(
            key, params, images, labels, n_iterations=2
        ),
        "vote": lambda: analysis.vote(jax.tree.map(lambda a: a[None], params), x),
        "saliency": lambda: analysis.saliency(params, x, 3),
        "contributions": lambda: jax.vmap(lambda n: analysis.contributions(params, x, 2, n))(
            jnp.arange(3)
        ),
        "maximizing_image": lambda: analysis.maximizing_image(params, x, 2, 3, n_steps=2),
        "match_neurons": lambda: analysis.match_neurons(params, params),
        "interpolate": lambda: analysis.interpolate(params, params, 3),
        "edge_fit": lambda: analysis.edge_fit(params[0].weights[0]),
        "affine": lambda: affine(key, x, turn=0, shift=2, slant=jnp.float32(0.1)),
        "elastic": lambda: elastic(key, x, strength=1, smoothness=4),
        "save and load": lambda: (jaxnet.save("mine.net", params), jaxnet.load("mine.net")[0])[1],
    }


def main(what):
    """Prints what fails, by name."""
    import jax
    from jaxtyping import install_import_hook

    with install_import_hook("jaxnet", "beartype.beartype"):
        if what == "examples":
            for name in MODULES:
                if doctest.testmod(import_module(name)).failed:
                    print("the examples of", name)
            return
        for name, call in calls().items():
            try:
                jax.block_until_ready(jax.tree.leaves(call()))
            except Exception as error:
                print(f"{name}: {error}")


@pytest.mark.process
@pytest.mark.parametrize(
    "what",
    [
        pytest.param("calls", marks=pytest.mark.compiled),
        pytest.param("examples", marks=pytest.mark.slow),
    ],
)
def test_annotations_at_run_time(tmp_path, what):
    """Every public function of the heart, by its examples or with other arguments."""
    pytest.importorskip("beartype")
    process = subprocess.run(
        [sys.executable, "-m", "tests.test_annotations", what],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=1_200,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""


if __name__ == "__main__":
    main(sys.argv[1])
