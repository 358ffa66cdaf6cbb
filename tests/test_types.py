"""What pyright says of users' programs: nothing of a right one, something of each mistake."""

import json
import subprocess
import sys
from pathlib import Path

PREAMBLE = """\
import jax
import jax.numpy as jnp
import jaxnet
import numpy as np
import optax
from jaxnet.training import TrainState, fit, mean_cost, train_step

params = jaxnet.init(jax.random.key(0))
images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 10)
x = images[0]
sgd = optax.sgd(0.1)
state = TrainState(params, sgd.init(params))
"""
RIGHT = """
from functools import partial

from jaxnet.data import warp
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
rightly = float((answers.digits == np.asarray(labels)).mean())
other = jaxnet.init(jax.random.key(2), (784, 100, 10), dtype=jnp.bfloat16)

trained, history = fit(
    jax.random.key(3), images, labels, optax.adam(0.01), epochs=2, batch_size=5,
    squash=jnp.tanh, cost=jaxnet.training.quadratic_cost, augment=warp.affine,
)
state, score = train_step(state, images, labels, optimizer=sgd)
print(history.cost[-1], score.accuracy, trained.params[0].weights.shape)


def absolute(z: jax.Array, y: jax.Array) -> jax.Array:
    return abs(z - jax.nn.one_hot(y, 10)).sum()


cost: jax.Array = mean_cost(params, images, labels, cost=absolute)
jaxnet.save("mine.safetensors", params, notes={"trained on": "nothing"})
loaded, info = jaxnet.load("mine.safetensors")
print(jaxnet.forward(loaded, x, **info.squashes), info.sizes)
classifier = NetworkClassifier((16,), squash="relu", random_state=0)
"""
WRONG = {
    "an argument's name": "jaxnet.forward(parameters=params, x=x)",
    "a squash by its place": "jaxnet.forward(params, x, jax.nn.relu)",
    "a squash by its name": "jaxnet.forward(params, x, squash='relu')",
    "params of floats": "jaxnet.forward([0.5, 0.5], x)",
    "params of dictionaries": "jaxnet.forward([{'weights': x}], x)",
    "params and image the wrong way round": "jaxnet.forward(x, params)",
    "no image": "jaxnet.forward(params)",
    "an image of a list": "jaxnet.forward(params, [0.0] * 784)",
    "a file for an image": "jaxnet.predict(params, 'seven.png')",
    "no key": "jaxnet.init()",
    "sizes for a key": "jaxnet.init((784, 10))",
    "a seed for a key": "jaxnet.init(0)",
    "a number for sizes": "jaxnet.init(jax.random.key(0), 784)",
    "sizes that are not whole": "jaxnet.init(jax.random.key(0), (784, 15.5, 10))",
    "a key forgotten in drawing": "jaxnet.data.strokes.draw(7)",
    "a key forgotten in sampling": "jaxnet.data.strokes.sample(100)",
    "a key forgotten in training": "fit(images, labels, sgd, epochs=1, batch_size=1)",
    "an array for a float": "share: float = jaxnet.forward(params, x)",
    "a field of another function's": "print(jaxnet.forward(params, x).digits)",
    "layers as one array": "print(jaxnet.activations(params, x).sum())",
    "a field by another name": "print(params[0].bias)",
    "a layer without biases": "jaxnet.Layer(jnp.zeros((1, 1)))",
    "save's arguments the wrong way round": "jaxnet.save(params, 'mine.safetensors')",
    "load's pair as the network": "jaxnet.forward(jaxnet.load('mine.safetensors'), x)",
    "a rate for an optimiser": "fit(jax.random.key(0), x, x, 0.1, epochs=1, batch_size=1)",
    "no batch_size": "fit(jax.random.key(0), images, labels, sgd, epochs=1)",
    "fit's pair as the state": (
        "fit(jax.random.key(0), images, labels, sgd, epochs=1, batch_size=1).params"
    ),
    "params for the state": "train_step(params, images, labels, optimizer=sgd)",
    "an optimiser's name": "train_step(state, images, labels, optimizer='adam')",
    "no labels": "mean_cost(params, images)",
    "a cost's name": "mean_cost(params, images, labels, cost='cross-entropy')",
    "a cost of one argument": "mean_cost(params, images, labels, cost=lambda z: z.sum())",
    "a cost that gives text": "mean_cost(params, images, labels, cost=lambda z, y: 'low')",
    "an augmentation without a key": (
        "fit(jax.random.key(0), x, x, sgd, epochs=1, batch_size=1, augment=lambda x: x)"
    ),
}


def test_a_right_program_is_right_and_each_wrong_line_is_told(tmp_path):
    used = "print(jax, jnp, jaxnet, np, optax, TrainState, fit, mean_cost, train_step)\n"
    wrong = "".join(f"{line}  # {name}\n" for name, line in WRONG.items())
    programs = {"right": PREAMBLE + used + RIGHT, "wrong": PREAMBLE + used + wrong}
    for name, program in programs.items():
        (tmp_path / f"{name}.py").write_text(program)
    # As in this project: parts of JAX and optax come without types.
    unknown = ("MemberType", "VariableType", "ArgumentType")
    settings = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    settings |= {f"reportUnknown{what}": False for what in unknown}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    process = subprocess.run(
        [*command, "--project", tmp_path], capture_output=True, text=True, timeout=300
    )
    told = {"right": [], "wrong": []}
    for mistake in json.loads(process.stdout)["generalDiagnostics"]:
        name = Path(mistake["file"]).stem
        line = programs[name].splitlines()[mistake["range"]["start"]["line"]]
        told[name].append((line, mistake["message"]))
    assert told["right"] == []
    assert {line.rpartition("  # ")[2] for line, _ in told["wrong"]} == set(WRONG)
