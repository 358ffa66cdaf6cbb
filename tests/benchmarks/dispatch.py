"""What one call costs: compiled `forward` on one image, again and again, as in a small loop.

The peers are an Equinox MLP under `eqx.filter_jit` and a Flax NNX one under `nnx.jit`, as their
users write them, and of the same sizes; NNX also by `nnx.cached_partial`, which goes through the
model only once. Beside them plain `jax.jit` of the equations, which is as little as any of them
can cost. Each call is waited for; calls are taken in turn.
"""

import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import sigmoid

import jaxnet
from tests.benchmarks.report import report

ROUNDS, CALLS = 300, 50


class Net(nnx.Module):
    def __init__(self, rngs):
        self.one = nnx.Linear(784, 16, rngs=rngs)
        self.two = nnx.Linear(16, 16, rngs=rngs)
        self.three = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        a = sigmoid(self.one(x))
        return sigmoid(self.three(sigmoid(self.two(a))))


def equations(params, x):
    (w1, b1), (w2, b2), (w3, b3) = params
    a = sigmoid(w1 @ x + b1)
    a = sigmoid(w2 @ a + b2)
    return sigmoid(w3 @ a + b3)


def seconds(call, x):
    began = time.perf_counter()
    for _ in range(CALLS):
        call(x).block_until_ready()
    return (time.perf_counter() - began) / CALLS


def main() -> None:
    params, x = jaxnet.init(jax.random.key(0)), jnp.ones(784)
    forward, plain = jax.jit(jaxnet.forward), jax.jit(equations)
    mlp = eqx.nn.MLP(784, 10, 16, 2, sigmoid, sigmoid, key=jax.random.key(0))
    filtered = eqx.filter_jit(lambda mlp, x: mlp(x))
    net, of_net = Net(nnx.Rngs(0)), nnx.jit(lambda net, x: net(x))
    calls = {
        "ours": lambda x: forward(params, x),
        "equinox": lambda x: filtered(mlp, x),
        "flax nnx": lambda x: of_net(net, x),
        "flax nnx, cached": nnx.cached_partial(of_net, net),
        "the equations in jax.jit": lambda x: plain(params, x),
    }
    for call in calls.values():
        call(x)  # compiles
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():  # in turn, so that all meet the same moods
            times[name].append(seconds(call, x))
    ours = statistics.median(times.pop("ours"))
    for name, peer in times.items():
        report(
            "one image", 1e6 * ours, 1e6 * statistics.median(peer), "µs",
            peer_name=name, rounds=ROUNDS, calls=CALLS,
        )  # fmt: skip
