"""Labels as a pytree: one network learns the digit and its components at once.

Drawn digits are made of sixteen components, such as a loop above. The network has 26 outputs: ten
for the digit, sixteen for the components. The loss takes both labels, and returns metrics of its
own, which `fit` averages over each epoch into the history.
"""

from typing import Any

import jax
import optax
from jax import Array

import jaxnet
from jaxnet.data.synthetic import sample_with_components
from jaxnet.training import Ratio, fit

key_images, key_unseen, key_start, key_fit = jax.random.split(jax.random.key(0), 4)
images, digits, parts = sample_with_components(key_images, 5_000)
unseen, unseen_digits, unseen_parts = sample_with_components(key_unseen, 5_000)
start = jaxnet.init(key_start, (784, 32, 26))


# %% The loss: softmax for the one digit, a sigmoid for each of the components.
def both(params: jaxnet.Params, x: Array, y: dict[str, Array], key: Array | None) -> Any:
    """The sum of both costs, and three metrics."""
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, x)
    digit, part, there = z[:, :10], z[:, 10:], y["parts"]
    cost = optax.softmax_cross_entropy_with_integer_labels(digit, y["digit"]).mean()
    cost += optax.sigmoid_binary_cross_entropy(part, there.astype(z.dtype)).sum(1).mean()
    found = (part > 0) & there
    return cost, {
        "accuracy": (digit.argmax(1) == y["digit"]).mean(),
        # Each is a quotient of two means, so that an epoch's is exact.
        "recall": Ratio(found.mean(), there.mean()),
        "precision": Ratio(found.mean(), (part > 0).mean()),
    }


# %% Twenty epochs.
state, history = fit(
    key_fit, images, {"digit": digits, "parts": parts}, optax.adam(0.01), epochs=20,
    batch_size=100, params=start, loss=both,
    validation=(unseen, {"digit": unseen_digits, "parts": unseen_parts}),
)  # fmt: skip
assert history.validation is not None
for epoch in (0, 4, 19):
    now = jax.tree.map(lambda a, n=epoch: float(a[n]), history.validation.metrics)
    print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {now[name]:.1%}" for name in now))
