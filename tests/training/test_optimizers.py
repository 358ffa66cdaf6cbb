"""Every transformation of optax, through three steps of `fit`."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import jaxnet
from jaxnet.training import evaluation_params, fit, loss
from tests.laws import quick

ADAM, SGD = optax.adam(0.01), optax.sgd(0.1)
WEIGHTS = [(True, False)] * 2  # a tree like the params'


def all_matrices(weights):
    return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(), weights)


# How to make each function of `optax` and `optax.contrib` that returns a transformation; those
# that are not here take a learning rate or nothing.
MADE = {
    "adaptive_grad_clip": lambda f: f(0.1),
    "add_noise": lambda f: f(0.01, 0.5, jax.random.key(0)),
    "apply_if_finite": lambda f: f(ADAM, 3),
    "chain": lambda f: f(optax.clip(1.0), ADAM),
    "clip": lambda f: f(1.0),
    "clip_by_block_rms": lambda f: f(1.0),
    "clip_by_global_norm": lambda f: f(1.0),
    "conditionally_mask": lambda f: f(ADAM, lambda n: n % 2 == 0),
    "conditionally_transform": lambda f: f(ADAM, lambda n: n % 2 == 0),
    "differentially_private_aggregate": lambda f: f(1.0, 0.1, key=jax.random.key(0)),
    "dpsgd": lambda f: f(0.1, 1.0, 0.1, 0),
    "ema": lambda f: f(0.9),
    "flatten": lambda f: f(ADAM),
    "freeze": lambda f: f(WEIGHTS),
    "inject_hyperparams": lambda f: f(optax.adam)(learning_rate=0.01),
    "inject_stateful_hyperparams": lambda f: f(optax.adam)(learning_rate=0.01),
    "lookahead": lambda f: f(SGD, 2, 0.5),
    "masked": lambda f: f(ADAM, WEIGHTS),
    "measure_with_ema": lambda f: f(lambda updates: updates, 0.9),
    "mechanize": lambda f: f(ADAM),
    "multi_transform": lambda f: f({"a": ADAM, "b": SGD}, [("a", "b")] * 2),
    "named_chain": lambda f: f(("clip", optax.clip(1.0)), ("adam", ADAM)),
    "noisy_sgd": lambda f: f(0.1, key=0),
    "partition": lambda f: f({"a": ADAM, "b": SGD}, [("a", "b")] * 2),
    "sam": lambda f: f(SGD, optax.chain(contrib.normalize(), optax.sgd(0.05))),
    "scale": lambda f: f(-0.1),
    "scale_by_backtracking_linesearch": lambda f: optax.chain(optax.scale(-1.0), f(5)),
    "scale_by_muon": lambda f: optax.masked(f(weight_dimension_numbers=all_matrices), WEIGHTS),
    "scale_by_schedule": lambda f: f(lambda n: -0.1 / (1 + n)),
    "scale_by_zoom_linesearch": lambda f: optax.chain(optax.scale(-1.0), f(5)),
    "schedule_free": lambda f: f(SGD, 0.1),
    "selective_transform": lambda f: f(ADAM, freeze_mask=WEIGHTS),
    "snapshot": lambda f: f("norm", lambda updates, *_, **__: optax.tree.norm(updates)),
    "split_real_and_imaginary": lambda f: f(ADAM),
    "stateless": lambda f: f(lambda updates, params: updates),
    "stateless_with_tree_map": lambda f: f(lambda update, param: update),
    "trace": lambda f: f(0.9),
    "with_extra_args_support": lambda f: f(ADAM),
}


def transformations():
    """The names of all functions of optax that return a transformation."""
    for module in (optax, contrib):
        for name, f in sorted(vars(module).items()):
            if inspect.isfunction(f) and not name.startswith("_"):
                returns = str(inspect.signature(f).return_annotation)
                if "GradientTransformation" in returns and "Callable" not in returns.split("[")[0]:
                    yield pytest.param(f, id=f"{module.__name__}.{name}")


@pytest.fixture(scope="module")
def digits():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 60)
    return images[:, 300:400], labels


@pytest.fixture(autouse=True)
def loose():
    """Optax mixes types and ranks, which the rest of the tests forbid."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def plain(params):
    return [tuple(layer) for layer in params]


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of those that optax will drop
@pytest.mark.parametrize("make", [*transformations()])
def test_three_steps(make, digits):
    """Each runs, and what comes out of it is finite. One that is new to optax shows up here."""
    name = make.__name__
    if name in MADE:
        optimizer = MADE[name](make)
    else:
        takes = inspect.signature(make).parameters
        needs = [p for p in takes.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        assert [p.name for p in needs] in ([], ["learning_rate"]), f"say in MADE how to make {name}"
        optimizer = make(0.01) if needs else make()
    params = plain(jaxnet.init(jax.random.key(1), (100, 5, 10)))
    start = optax.LookaheadParams.init_synced(params) if name == "lookahead" else params
    run = partial(fit, optimizer=optimizer, epochs=1, batch_size=20, params=start)
    run = partial(run, validation=digits)
    state, history = quick(run)(jax.random.key(0), *digits)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert np.isfinite(history.cost).all()
    assert np.isfinite(history.validation.cost).all()
    network = evaluation_params(state)
    assert jax.tree.structure(network) == jax.tree.structure(params)
    expected, _ = loss(network, *digits)
    np.testing.assert_allclose(expected, history.validation.cost[-1], rtol=1e-5)
