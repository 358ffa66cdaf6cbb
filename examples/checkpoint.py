"""A gradient through a whole training run: by how much would another rate have been better?

Going back through the steps, each is needed as it was. jax.checkpoint keeps only the network
between steps and computes the rest again.
"""

from functools import partial

import jax
from jax import Array

import jaxnet
from jaxnet.training import mean_cost

key_start, key_images = jax.random.split(jax.random.key(0))
start = jaxnet.init(key_start)
images, labels = jaxnet.data.synthetic.sample(key_images, 2_000)
batches = images.reshape(20, 100, 784), labels.reshape(20, 100)


# %% Gradient descent at some rate, and the cost in the end: a function of one number.
def cost_after(rate: Array | float, *, forget: bool) -> Array:
    """The cost of the network after 20 steps at this rate."""

    def step(params: jaxnet.Params, batch: tuple[Array, Array]) -> tuple[jaxnet.Params, None]:
        slope = jax.grad(mean_cost)(params, *batch)
        return jax.tree.map(lambda p, g: p - rate * g, params, slope), None

    params, _ = jax.lax.scan(jax.checkpoint(step) if forget else step, start, batches)
    return mean_cost(params, images, labels)


# %% The same gradient either way, and the memory that it takes.
slopes: list[Array] = []
for forget in (False, True):
    slope = jax.jit(jax.grad(partial(cost_after, forget=forget))).lower(0.5).compile()
    slopes.append(slope(0.5))
    memory = slope.memory_analysis()
    assert memory is not None
    held = f"{memory.temp_size_in_bytes / 2**20:.1f} MiB"
    print(f"{'forgetting' if forget else 'remembering'}: slope {slopes[-1]:.4f}, {held}")

# %% It is the slope of the costs on either side.
at = jax.jit(partial(cost_after, forget=False))
print(f"by differences: slope {(at(0.51) - at(0.49)) / 0.02:.4f}")
print(f"costs: {at(0.5):.4f} at rate 0.5, {at(0.5 - slopes[0]):.4f} one step down that slope")
