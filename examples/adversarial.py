"""Adversarial training: small changes fool a network, unless it was trained on them.

The attack changes every pixel by at most a given amount, to increase the cost. A network trained
on attacked images, attacked again at every step, resists it better. Draws a picture.

Source: Madry and others, "Towards deep learning models resistant to adversarial attacks", 2017.
"""

import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import cross_entropy, evaluate, fit, loss

output = sys.argv[1] if len(sys.argv) > 1 else "adversarial.png"
MOST = 0.1  # largest change of a pixel; black is 0, white is 1

key_start, key_images, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 3_500)
unseen, unseen_labels = images[3_000:], labels[3_000:]


# %% The attack: five steps along the sign of the gradient, clipped to the allowed change.
def attack(params: jaxnet.Params, x: Array, y: Array, most: float | Array = MOST) -> Array:
    """Returns an image within `most` of `x` at every pixel, with a higher cost."""

    def step(seen: Array, _: None) -> tuple[Array, None]:
        slope = jax.grad(lambda x: cross_entropy(jaxnet.logits(params, x), y))(seen)
        return (seen + most / 3 * jnp.sign(slope)).clip(x - most, x + most).clip(0, 1), None

    return jax.lax.scan(step, x, length=5)[0]


attack_all = jax.jit(jax.vmap(attack, in_axes=(None, 0, 0, None)))


# %% The defense: a loss that attacks the network as it is at each step.
def under_attack(params: jaxnet.Params, x: Array, y: Array, key: Array | None) -> Any:
    """The loss on attacked images; the attack itself is not differentiated."""
    attacked = attack_all(jax.lax.stop_gradient(params), x, y, MOST)
    return loss(params, attacked, y, key)


start = jaxnet.init(key_start)
learn = partial(fit, optimizer=optax.adam(0.01), epochs=20, batch_size=100, params=start)


# %% Accuracy as the attack grows, and what the attack looks like.
figure = Figure(figsize=(9, 3.4), layout="constrained")
curve, *pictures = figure.subplots(1, 3, width_ratios=(2, 1, 1))
reach = np.linspace(0, 0.2, 5)
for minimized, name, color, ax in (
    (loss, "undefended", "#c1440e", pictures[0]),
    (under_attack, "defended", "#1b6ca8", pictures[1]),
):
    state, _ = learn(key_fit, images[:3_000], labels[:3_000], loss=minimized)
    params = state.params
    seen = [attack_all(params, unseen, unseen_labels, most) for most in reach]
    shares = [float(evaluate(params, x, unseen_labels).accuracy) for x in seen]
    print(f"{name}: accuracy {shares[0]:.0%}, under attack by {MOST} {shares[2]:.0%}")
    curve.plot(reach, 100 * np.array(shares), color=color, linewidth=2, label=name)
    ax.imshow(np.asarray(seen[2][1]).reshape(28, 28), cmap="gray", vmin=0, vmax=1)
    predicted = jaxnet.predict(params, seen[2][1])
    ax.set(title=f"{name}:\na {unseen_labels[1]}, classified as {predicted}", xticks=[], yticks=[])
curve.set(xlabel="largest change of a pixel", ylabel="accuracy (%)", ylim=(0, 102))
curve.set_xticks(reach)
curve.legend(frameon=False)
curve.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=100)
