"""The random permutation: complete, and statistically random."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, chisquare

from jaxnet._util.shuffle import shuffled

pytestmark = [pytest.mark.core, pytest.mark.compiled]

N_KEYS = 4_000

compiled = jax.jit(shuffled, static_argnums=1)


def many(n, n_keys=N_KEYS):
    """One permutation per key, as rows."""
    over = jax.jit(jax.vmap(partial(shuffled, n=n)))
    return np.asarray(over(jax.random.split(jax.random.key(0), n_keys))).astype(int)


@pytest.fixture(scope="module", params=[1_024, 1_025], ids="{} numbers".format)
def orders(request):
    """1,024 fills a square of 32; 1,025 leaves 64 of 33 × 33 outside, the most possible."""
    return many(request.param)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 999, 1000, 1001, 1024, 4097, 60_000])
def test_is_a_permutation(n):
    order = compiled(jax.random.key(n), n)
    assert order.dtype == jnp.uint32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.long
def test_is_a_permutation_for_every_key(orders):
    n = orders.shape[1]
    np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(np.arange(n), orders.shape))


# The keys are fixed, so the results are too. With other keys, each test below would fail about once
# in ten thousand times.


def test_values_are_uniform_at_each_position(orders):
    n = orders.shape[1]
    for place in (0, 1, n // 2, n - 1):
        counts = np.bincount(orders[:, place] * 50 // n, minlength=50)
        expected = np.bincount(np.arange(n) * 50 // n) * N_KEYS / n
        assert chisquare(counts, expected).pvalue > 1e-4


def test_positions_and_values_are_independent(orders):
    n = orders.shape[1]
    bins = np.arange(n) * 10 // n
    table = np.bincount((10 * bins + bins[orders]).ravel(), minlength=100).reshape(10, 10)
    expected = N_KEYS * np.outer(np.bincount(bins), np.bincount(bins)) / n
    # Both margins of the table are fixed, as in Fisher's exact test.
    statistic = ((table - expected) ** 2 / expected).sum() * (n - 1) / n
    assert 1e-4 < chi2.sf(statistic, 81) < 1 - 1e-4


def rare(count, expected):
    """Whether a count is over four standard deviations from that of independent rare events."""
    return abs(count - expected) > 4 * math.sqrt(expected)


def test_neighbors_stay_neighbors_only_by_chance(orders):
    """Including neighbors along the square's rows, columns and diagonals."""
    n = orders.shape[1]
    side = math.isqrt(n - 1) + 1
    for lag in (1, side):
        steps = orders[:, lag:] - orders[:, :-lag]
        for step in (1, -1, 2, side, -side, side + 1):
            expected = N_KEYS * (n - lag) * (n - abs(step)) / (n * (n - 1))
            assert not rare((steps == step).sum(), expected)


def test_permutations_of_different_keys_agree_only_by_chance(orders):
    """At one position on average; likewise when rotated by one, and with the identity."""
    n = orders.shape[1]
    for other in (np.roll(orders, 1, axis=0), np.roll(orders, (1, 1), axis=(0, 1)), np.arange(n)):
        assert not rare((orders == other).sum(), N_KEYS)


def test_all_permutations_of_four_are_equally_likely():
    orders, counts = np.unique(many(4), axis=0, return_counts=True)
    assert len(orders) == math.factorial(4)
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.long
@pytest.mark.parametrize("n", [10, 1_500])
def test_same_permutation_under_jit_vmap_and_scan(n):
    keys = jax.random.split(jax.random.key(1), 3)
    alone = np.array([compiled(key, n) for key in keys])
    assert len(np.unique(alone, axis=0)) == 3
    np.testing.assert_array_equal(alone[0], shuffled(keys[0], n))
    np.testing.assert_array_equal(alone, jax.jit(jax.vmap(partial(shuffled, n=n)))(keys))
    scan = jax.jit(lambda keys: jax.lax.scan(lambda _, key: (None, shuffled(key, n)), None, keys))
    np.testing.assert_array_equal(alone, scan(keys)[1])


def test_same_permutation_with_x64():
    with jax.enable_x64(True):
        order = compiled(jax.random.key(0), 1_500)
    assert order.dtype == jnp.uint32
    np.testing.assert_array_equal(order, compiled(jax.random.key(0), 1_500))
