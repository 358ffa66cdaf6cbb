"""Pyright accepts a correct user program, and reports each mistake in a wrong one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """\
import jax
import jax.numpy as jnp
import jaxnet
import numpy as np
import optax
from jaxnet.training import MeanCost, TrainState, fit, loss, train_step

params = jaxnet.init(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 10)
x = images[0]
sgd = optax.sgd(0.1)
state = TrainState(params, sgd.init(params))
"""
CORRECT = """
from functools import partial

from jaxnet.data import augment
from jaxnet.estimator import NetworkClassifier

a: jax.Array = jaxnet.forward(params, x)
relu = partial(jaxnet.forward, squash=jax.nn.relu, last_squash=jax.nn.softmax)
b: jax.Array = relu(params, x)
layers: tuple[jax.Array, ...] = jaxnet.activations(params, np.zeros(784, np.float32))
digit = int(jaxnet.predict(params, x))
w, bias = params[0]
doubled = tuple(jaxnet.Layer(2 * layer.weights, layer.biases) for layer in params)
many: jax.Array = jax.vmap(jaxnet.forward, in_axes=(None, 0))(doubled, images)
answers = jaxnet.classify(params, images)
accuracy = float((answers.digits == np.asarray(labels)).mean())
other = jaxnet.init(jax.random.key(2), (784, 100, 10), dtype=jnp.bfloat16)

trained, history = fit(
    jax.random.key(3), images, labels, optax.adam(0.01), epochs=2, batch_size=5,
    loss=MeanCost(jaxnet.training.quadratic_cost, squash=jnp.tanh, augment=augment.affine),
)
state, score = train_step(state, images, labels, optimizer=sgd)
print(history.cost[-1], score.accuracy, trained.params[0].weights.shape)


def absolute(z: jax.Array, y: jax.Array) -> jax.Array:
    return abs(z - jax.nn.one_hot(y, 10)).sum()


cost: jax.Array = MeanCost(absolute)(params, images, labels)[0]


def own(params: jaxnet.Params, images: jax.Array, labels: jax.Array, key: jax.Array | None):
    cost, metrics = loss(params, images, labels, key)
    return cost + abs(params[0].weights).sum(), {**metrics, "margin": cost}


history = fit(
    jax.random.key(3), images, labels, optax.adam(0.01), epochs=2, batch_size=5, loss=own
)[1]
jaxnet.save("mine.safetensors", params, notes={"trained on": "nothing"})
loaded, spec = jaxnet.load("mine.safetensors")
print(jaxnet.forward(loaded, x, **spec.squashes), spec.sizes)
classifier = NetworkClassifier((16,), squash="relu", random_state=0)
"""
WRONG = {
    "unknown keyword": "jaxnet.forward(parameters=params, x=x)",
    "positional squash": "jaxnet.forward(params, x, jax.nn.relu)",
    "squash as a number": "jaxnet.forward(params, x, squash=1)",
    "misspelled module": "print(jaxnet.trainig)",
    "params of floats": "jaxnet.forward([0.5, 0.5], x)",
    "params of dictionaries": "jaxnet.forward([{'weights': x}], x)",
    "params and image swapped": "jaxnet.forward(x, params)",
    "no image": "jaxnet.forward(params)",
    "image as a list": "jaxnet.forward(params, [0.0] * 784)",
    "path for an image": "jaxnet.predict(params, 'seven.png')",
    "no key": "jaxnet.init()",
    "sizes instead of a key": "jaxnet.init((784, 10))",
    "seed instead of a key": "jaxnet.init(0)",
    "integer for sizes": "jaxnet.init(jax.random.key(0), 784)",
    "fractional sizes": "jaxnet.init(jax.random.key(0), (784, 15.5, 10))",
    "draw without a key": "jaxnet.data.synthetic.draw(7)",
    "sample without a key": "jaxnet.data.synthetic.sample(100)",
    "fit without a key": "fit(images, labels, sgd, epochs=1, batch_size=1)",
    "array as a float": "share: float = jaxnet.forward(params, x)",
    "field of another result": "print(jaxnet.forward(params, x).digits)",
    "activations as one array": "print(jaxnet.activations(params, x).sum())",
    "misspelled field": "print(params[0].bias)",
    "layer without biases": "jaxnet.Layer(jnp.zeros((1, 1)))",
    "arguments of save swapped": "jaxnet.save(params, 'mine.safetensors')",
    "pair from load as params": "jaxnet.forward(jaxnet.load('mine.safetensors'), x)",
    "rate instead of an optimizer": "fit(jax.random.key(0), x, x, 0.1, epochs=1, batch_size=1)",
    "no batch_size": "fit(jax.random.key(0), images, labels, sgd, epochs=1)",
    "pair from fit as the state": (
        "fit(jax.random.key(0), images, labels, sgd, epochs=1, batch_size=1).params"
    ),
    "params instead of a state": "train_step(params, images, labels, optimizer=sgd)",
    "optimizer as a string": "train_step(state, images, labels, optimizer='adam')",
    "no labels": "loss(params, images)",
    "cost as a string": "MeanCost('cross-entropy')",
    "cost with one argument": "MeanCost(lambda z: z.sum())",
    "cost that returns a string": "MeanCost(lambda z, y: 'low')",
    "augmentation without a key": "MeanCost(augment=lambda x: x)",
    "loss with two arguments": (
        "fit(jax.random.key(0), x, x, sgd, epochs=1, batch_size=1, loss=lambda p, x: x.sum())"
    ),
}


@pytest.mark.process
def test_pyright_on_correct_and_wrong_programs(tmp_path):
    used = "print(jax, jnp, jaxnet, np, optax, MeanCost, TrainState, fit, loss, train_step)\n"
    wrong = "".join(f"{line}  # {name}\n" for name, line in WRONG.items())
    programs = {"correct": PREAMBLE + used + CORRECT, "wrong": PREAMBLE + used + wrong}
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
    # As in this project: parts of JAX and optax are untyped.
    unknown = ("MemberType", "VariableType", "ArgumentType")
    settings = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    settings |= {f"reportUnknown{what}": False for what in unknown}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    process = subprocess.run(
        [*command, "--project", tmp_path], capture_output=True, text=True, timeout=300
    )
    reported = {"correct": [], "wrong": []}
    for mistake in json.loads(process.stdout)["generalDiagnostics"]:
        name = Path(mistake["file"]).stem
        line = programs[name].splitlines()[mistake["range"]["start"]["line"]]
        reported[name].append((line, mistake["message"]))
    assert reported["correct"] == []
    assert {line.rpartition("  # ")[2] for line, _ in reported["wrong"]} == set(WRONG)
