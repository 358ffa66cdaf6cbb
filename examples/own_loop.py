"""Three training loops beyond `fit`: metrics per step, early stopping, progress reports.

Each is a few lines around `train_step` or `train_epoch`, and compiles as a whole.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import Score, TrainState, evaluate, loss, train_epoch, train_step

key_init, key_images, key_epochs = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 3_000)
seen, unseen = (images[:2_000], labels[:2_000]), (images[2_000:], labels[2_000:])
optimizer = optax.sgd(1.0, momentum=0.9)
params = jaxnet.init(key_init)
start = TrainState(params, optimizer.init(params))


# %% Metrics per step: the norm of each gradient, which `History` does not contain.
@jax.jit
def gradient_norms(state: TrainState) -> Array:
    """Returns the norm of each batch's gradient in one epoch."""

    def step(state: TrainState, batch: tuple[Array, Array]) -> tuple[TrainState, Array]:
        gradient, _ = jax.grad(loss, has_aux=True)(state.params, *batch)
        state, _ = train_step(state, *batch, optimizer=optimizer)
        return state, optax.tree.norm(gradient)

    batches = seen[0].reshape(20, 100, 784), seen[1].reshape(20, 100)
    return jax.lax.scan(step, state, batches)[1]


print("gradient norms:", *(f"{norm:.2f}" for norm in gradient_norms(start)[::5]))


# %% Early stopping: train while the validation cost falls.
@jax.jit
def train_while_improving(state: TrainState) -> tuple[TrainState, Array, Array]:
    """Returns the best state, the number of epochs it took, and its validation cost."""

    def epoch(carry: tuple[TrainState, TrainState, Array, Array, Array]):
        state, _, _, cost, n = carry
        new, _ = train_epoch(
            jax.random.fold_in(key_epochs, n), state, *seen, optimizer=optimizer, batch_size=100
        )
        return new, state, cost, evaluate(new.params, *unseen).cost, n + 1

    carry = state, state, jnp.float32(jnp.inf), evaluate(state.params, *unseen).cost, jnp.int32(0)
    carry = jax.lax.while_loop(lambda c: c[3] < c[2], epoch, carry)
    return carry[1], carry[4] - 1, carry[2]


_, n, cost = train_while_improving(start)
print(f"stopped after {n} epochs, at a validation cost of {cost:.3f}")


# %% Progress reports from a compiled loop: a callback in each epoch.
def report(n: Array, score: Score) -> None:
    """Runs on the host while the device continues."""
    print(f"epoch {n}: cost {score.cost:.3f}, accuracy {score.accuracy:.1%}")


@jax.jit
def three_epochs(state: TrainState) -> TrainState:
    """Trains for three epochs, reporting each."""

    def epoch(n: Array, state: TrainState) -> TrainState:
        key = jax.random.fold_in(key_epochs, n)
        state, mean = train_epoch(key, state, *seen, optimizer=optimizer, batch_size=100)
        jax.debug.callback(report, n, mean, ordered=True)
        return state

    return jax.lax.fori_loop(0, 3, epoch, state)


jax.block_until_ready(three_epochs(start))
jax.effects_barrier()
