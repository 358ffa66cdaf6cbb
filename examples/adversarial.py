"""Attack and defence: small changes make a network misread, unless it has learned from such.

The attack moves every pixel by at most so much, uphill on the cost. A network that learns from
attacked images, attacked anew in every step, withstands it better. Draws a picture.

Source: Madry and others, "Towards deep learning models resistant to adversarial attacks", 2017.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import TrainState, cross_entropy, evaluate, train_step

output = sys.argv[1] if len(sys.argv) > 1 else "adversarial.png"
MOST = 0.1  # of the way from black to white

key_start, key_images = jax.random.split(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(key_images, 3_500)
unseen, shown = images[3_000:], labels[3_000:]


# %% The attack: five steps along the signs of the gradient, each kept within reach.
def attack(params: jaxnet.Params, x: Array, y: Array, most: float | Array = MOST) -> Array:
    """An image within `most` of `x` at every pixel, on which the cost is higher."""

    def step(seen: Array, _: None) -> tuple[Array, None]:
        slope = jax.grad(lambda x: cross_entropy(jaxnet.logits(params, x), y))(seen)
        return (seen + most / 3 * jnp.sign(slope)).clip(x - most, x + most).clip(0, 1), None

    return jax.lax.scan(step, x, length=5)[0]


attack_all = jax.jit(jax.vmap(attack, in_axes=(None, 0, 0, None)))


# %% The defence: to learn from images as the network itself would have them attacked.
@partial(jax.jit, static_argnames="attacked")
def learn(*, attacked: bool) -> jaxnet.Params:
    """The network after ten epochs of Adam."""
    optimizer, start = optax.adam(0.01), jaxnet.init(key_start)

    def step(state: TrainState, n: Array) -> tuple[TrainState, None]:
        x, y = (jax.lax.dynamic_slice_in_dim(a, 100 * (n % 30), 100) for a in (images, labels))
        x = attack_all(state.params, x, y, MOST) if attacked else x
        return train_step(state, x, y, optimizer=optimizer)[0], None

    return jax.lax.scan(step, TrainState(start, optimizer.init(start)), jnp.arange(300))[0].params


# %% Before and after: what each reads as the attack grows, and what the attack looks like.
figure = Figure(figsize=(9, 3.4), layout="constrained")
curve, *pictures = figure.subplots(1, 3, width_ratios=(2, 1, 1))
reach = np.linspace(0, 0.2, 5)
for attacked, name, color, ax in (
    (False, "undefended", "#c1440e", pictures[0]),
    (True, "defended", "#1b6ca8", pictures[1]),
):
    params = learn(attacked=attacked)
    seen = [attack_all(params, unseen, shown, most) for most in reach]
    shares = [float(evaluate(params, x, shown)) for x in seen]
    print(f"{name}: reads {shares[0]:.0%}, attacked by {MOST} {shares[2]:.0%}")
    curve.plot(reach, 100 * np.array(shares), color=color, linewidth=2, label=name)
    ax.imshow(np.asarray(seen[2][1]).reshape(28, 28), cmap="gray", vmin=0, vmax=1)
    read = jaxnet.predict(params, seen[2][1])
    ax.set(title=f"{name}:\na {shown[1]} read as {read}", xticks=[], yticks=[])
curve.set(xlabel="change of a pixel, at most", ylabel="% read rightly", ylim=(0, 102))
curve.set_xticks(reach)
curve.legend(frameon=False)
curve.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=100)
