"""A network learns to read, from digits that the program draws itself: no data needed."""

from functools import partial

import jax
import optax

import jaxnet
from jaxnet.training import TrainState, evaluate, train_epoch

key_init, key_train, key_test, key_epochs = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.strokes.sample(key_train, 10_000)
unseen = jaxnet.data.strokes.sample(key_test, 10_000)

optimizer = optax.adam(0.01)
epoch = jax.jit(partial(train_epoch, optimizer=optimizer, batch_size=100))

params = jaxnet.init(key_init)
state = TrainState(params, optimizer.init(params))
print(f"before learning: reads {evaluate(state.params, *unseen):.1%}")
for n, key in enumerate(jax.random.split(key_epochs, 10), 1):
    state, cost = epoch(key, state, images, labels)
    print(f"epoch {n}: cost {cost:.3f}, reads {evaluate(state.params, *unseen):.1%}")
