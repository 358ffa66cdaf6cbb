"""A gradient through a whole training run: how does the final cost depend on the learning rate?

The backward pass needs what every step computed. With jax.checkpoint, only the network between
steps is stored, and the rest is computed again.
"""

from functools import partial

import jax
from jax import Array

import jaxnet
from jaxnet.training import loss

key_start, key_images = jax.random.split(jax.random.key(0))
start = jaxnet.init(key_start)
images, labels = jaxnet.data.synthetic.sample(key_images, 2_000)
batches = images.reshape(20, 100, 784), labels.reshape(20, 100)


# %% The final cost of gradient descent, as a function of the learning rate.
def cost_after(rate: Array | float, *, recompute: bool) -> Array:
    """Returns the cost of the network after 20 steps at this rate."""

    def step(params: jaxnet.Params, batch: tuple[Array, Array]) -> tuple[jaxnet.Params, None]:
        slope, _ = jax.grad(loss, has_aux=True)(params, *batch)
        return jax.tree.map(lambda p, g: p - rate * g, params, slope), None

    params, _ = jax.lax.scan(jax.checkpoint(step) if recompute else step, start, batches)
    return loss(params, images, labels)[0]


# %% The gradient is the same either way, but the memory is not.
slopes: list[Array] = []
for recompute in (False, True):
    slope = jax.jit(jax.grad(partial(cost_after, recompute=recompute))).lower(0.5).compile()
    slopes.append(slope(0.5))
    memory = slope.memory_analysis()
    assert memory is not None
    used = f"{memory.temp_size_in_bytes / 2**20:.1f} MiB"
    print(f"{'recomputing' if recompute else 'storing'}: slope {slopes[-1]:.4f}, {used}")

# %% Check it against finite differences.
at = jax.jit(partial(cost_after, recompute=False))
print(f"finite differences: slope {(at(0.51) - at(0.49)) / 0.02:.4f}")
print(f"costs: {at(0.5):.4f} at rate 0.5, {at(0.5 - slopes[0]):.4f} one step down that slope")
