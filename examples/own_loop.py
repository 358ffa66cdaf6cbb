"""Three loops that `fit` leaves to you: every step kept, an early stop, a word now and then.

Each is a few lines around `train_step` or `train_epoch`, and compiles as a whole.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import Score, TrainState, score, train_epoch, train_step

key_init, key_images, key_epochs = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 3_000)
seen, unseen = (images[:2_000], labels[:2_000]), (images[2_000:], labels[2_000:])
optimizer = optax.sgd(1.0, momentum=0.9)
params = jaxnet.init(key_init)
start = TrainState(params, optimizer.init(params))


# %% What each step reports: the size of its gradient, say, is in no history.
@jax.jit
def sizes_of_gradients(state: TrainState) -> Array:
    """The norm of each batch's gradient in one epoch."""

    def step(state: TrainState, batch: tuple[Array, Array]) -> tuple[TrainState, Array]:
        gradient = jax.grad(jaxnet.training.mean_cost)(state.params, *batch)
        state, _ = train_step(state, *batch, optimizer=optimizer)
        return state, optax.tree.norm(gradient)

    batches = seen[0].reshape(20, 100, 784), seen[1].reshape(20, 100)
    return jax.lax.scan(step, state, batches)[1]


print("the gradient:", *(f"{norm:.2f}" for norm in sizes_of_gradients(start)[::5]))


# %% An early stop: epochs go on while the validation cost falls.
@jax.jit
def until_it_rises(state: TrainState) -> tuple[TrainState, Array, Array]:
    """The state before the first rise, after how many epochs, and its validation cost."""

    def one_more(carry: tuple[TrainState, TrainState, Array, Array, Array]):
        state, _, _, cost, n = carry
        new, _ = train_epoch(
            jax.random.fold_in(key_epochs, n), state, *seen, optimizer=optimizer, batch_size=100
        )
        return new, state, cost, score(new.params, *unseen).cost, n + 1

    carry = state, state, jnp.float32(jnp.inf), score(state.params, *unseen).cost, jnp.int32(0)
    carry = jax.lax.while_loop(lambda c: c[3] < c[2], one_more, carry)
    return carry[1], carry[4] - 1, carry[2]


_, n, cost = until_it_rises(start)
print(f"stopped after {n} epochs, at a validation cost of {cost:.3f}")


# %% Word from a running program: a callback in each epoch.
def say(n: Array, score: Score) -> None:
    """Called on the host while the device goes on."""
    print(f"epoch {n}: cost {score.cost:.3f}, accuracy {score.accuracy:.1%}")


@jax.jit
def three_epochs(state: TrainState) -> TrainState:
    """Trains, and says so."""

    def epoch(n: Array, state: TrainState) -> TrainState:
        key = jax.random.fold_in(key_epochs, n)
        state, mean = train_epoch(key, state, *seen, optimizer=optimizer, batch_size=100)
        jax.debug.callback(say, n, mean, ordered=True)
        return state

    return jax.lax.fori_loop(0, 3, epoch, state)


jax.block_until_ready(three_epochs(start))
jax.effects_barrier()
