"""L-BFGS on the network as one long vector.

L-BFGS uses all images at each step, approximates the curvature from the last ten gradients, and
searches along each direction for the best step. Compared with as many (cheaper) steps of Adam.
"""

import jax
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

import jaxnet
from jaxnet.training import loss

key_start, key_images = jax.random.split(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(key_images, 1_000)

# %% From a tree of 13,002 numbers to a vector, and back.
start, as_network = ravel_pytree(jaxnet.init(key_start))
print("the vector:", start.shape)


def cost(vector: Array) -> Array:
    """Returns the mean cost plus a small weight decay, which makes a minimum exist."""
    return loss(as_network(vector), images, labels)[0] + 1e-5 * (vector**2).sum()


# %% Both start from the same network.
def descend(optimizer: optax.GradientTransformationExtraArgs) -> Array:
    """Returns the cost before each of 100 steps."""

    def step(carry: tuple[Array, optax.OptState], _: None):
        vector, state = carry
        value, slope = jax.value_and_grad(cost)(vector)
        updates, state = optimizer.update(
            slope, state, vector, value=value, grad=slope, value_fn=cost
        )
        return (optax.tree.add(vector, updates), state), value

    return jax.lax.scan(step, (start, optimizer.init(start)), length=100)[1]


for name, optimizer in {"L-BFGS": optax.lbfgs(), "Adam": optax.adam(0.01)}.items():
    costs = jax.jit(descend, static_argnums=0)(optax.with_extra_args_support(optimizer))
    print(f"{name}:", *(f"{costs[n]:.4f}" for n in (0, 9, 29, 99)))
