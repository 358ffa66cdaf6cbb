"""Training: a loss, and the steps, epochs and runs that minimize it.

Every function is pure; the optimizers are optax's. `fit` is one whole run. What it minimizes is a
function `loss(params, images, labels, key)`, which you may write yourself. This is dropout, whole:

    def loss(params, images, labels, key):
        if key is not None:  # None in evaluation
            images *= jax.random.bernoulli(key, 0.8, images.shape) / 0.8
        z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, images)
        cost = jax.vmap(cross_entropy)(z, labels).mean()
        return cost, {"accuracy": (z.argmax(1) == labels).mean()}

    state, history = fit(key, images, labels, optax.adam(0.01), epochs=5, batch_size=100, loss=loss)

`MeanCost` builds the usual ones: another cost, another squash, augmentation, image weights.

What is hidden: outside `jit`, `fit`, `train_epoch`, `train_step` and `evaluate` compile themselves
as `jax.jit` would, so what a loss closes over is read once. `train_epoch` says more.

To train many networks at once, `jax.vmap` over `fit`, and make whatever differs between them an
argument of the mapped function:

    def run(params, rate):
        return fit(key, images, labels, optax.adam(rate), params=params, epochs=5, batch_size=100)

    states, history = jax.jit(jax.vmap(run))(ensemble, rates)

These networks share the key and therefore every batch, so each batch is gathered only once and
many small matrix products become one large one. Map over keys as well to give each network its own
data order.

For anything that `fit` leaves out, write a few lines around `train_epoch`; they work under `jit`
too. Stop early with `jax.lax.while_loop`, collect metrics for each step with `jax.lax.scan` over
`train_step`, and report from a compiled run with `jax.debug.callback`. `examples/own_loop.py` does
all three.
"""

from jaxnet.training._costs import cross_entropy as cross_entropy
from jaxnet.training._costs import quadratic_cost as quadratic_cost
from jaxnet.training._fit import evaluate as evaluate
from jaxnet.training._fit import evaluation_params as evaluation_params
from jaxnet.training._fit import fit as fit
from jaxnet.training._fit import train_epoch as train_epoch
from jaxnet.training._fit import train_step as train_step
from jaxnet.training._loops import History as History
from jaxnet.training._loops import Score as Score
from jaxnet.training._loops import TrainState as TrainState
from jaxnet.training._loss import Loss as Loss
from jaxnet.training._loss import MeanCost as MeanCost
from jaxnet.training._loss import Ratio as Ratio
from jaxnet.training._loss import loss as loss
