"""Training on synthetic digits: no dataset needed."""

from functools import partial

import jax
import optax

import jaxnet
from jaxnet.training import fit

key_images, key_unseen, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 10_000)
unseen = jaxnet.data.synthetic.sample(key_unseen, 10_000)

learn = jax.jit(partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100))
state, history = learn(key_fit, images, labels, validation=unseen)

for epoch, (cost, accuracy) in enumerate(
    zip(history.cost, history.validation.accuracy, strict=True), 1
):
    print(f"epoch {epoch}: cost {cost:.3f}, validation accuracy {accuracy:.1%}")
