"""Training: costs, and the steps, epochs and runs that minimize them.

Every function is pure; the optimizers are optax's. `fit` is one whole run. `jax.vmap` it to train
many networks at once, and make whatever differs between them an argument of the mapped function:

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

from jaxnet.training._costs import Cost as Cost
from jaxnet.training._costs import Images as Images
from jaxnet.training._costs import Labels as Labels
from jaxnet.training._costs import Weights as Weights
from jaxnet.training._costs import check_examples as check_examples
from jaxnet.training._costs import check_known_labels as check_known_labels
from jaxnet.training._costs import cross_entropy as cross_entropy
from jaxnet.training._costs import quadratic_cost as quadratic_cost
from jaxnet.training._costs import unit as unit
from jaxnet.training._fit import evaluate as evaluate
from jaxnet.training._fit import evaluation_params as evaluation_params
from jaxnet.training._fit import fit as fit
from jaxnet.training._fit import mean_cost as mean_cost
from jaxnet.training._fit import score as score
from jaxnet.training._fit import train_epoch as train_epoch
from jaxnet.training._fit import train_step as train_step
from jaxnet.training._loops import Augment as Augment
from jaxnet.training._loops import History as History
from jaxnet.training._loops import Network as Network
from jaxnet.training._loops import Score as Score
from jaxnet.training._loops import TrainState as TrainState
from jaxnet.training._penalties import Penalty as Penalty
from jaxnet.training._penalties import locality as locality
from jaxnet.training._penalties import smoothness as smoothness
from jaxnet.training._penalties import sparsity as sparsity
