"""`bench`: rates that agree with their limits, and limits that count what was done."""

import json
from itertools import count, product

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet import bench
from jaxnet.bench import (
    arithmetic_rates,
    bandwidth_to_device,
    matmul_rate,
    measure,
    operations_per_image,
    time_calls,
)
from jaxnet.inference import PRECISIONS
from tests.subprocesses import run


@pytest.fixture
def clock(monkeypatch):
    """A clock on which each look takes a second, so that every round lasts one."""
    monkeypatch.setattr(bench.time, "perf_counter", count().__next__)


class Counted:
    """A number that counts the operations on its class."""

    done = 0

    def __mul__(self, other):
        Counted.done += 1
        return self

    __add__ = __mul__


@pytest.mark.compiled
@pytest.mark.parametrize("sizes", [(20, 16, 10), (4, 3, 2), (1, 1)])
def test_operations_by_counting(sizes):
    Counted.done = 0
    a = [Counted()] * sizes[0]
    for n in sizes[1:]:
        layer = []
        for _ in range(n):
            z = Counted()  # the bias
            for activation in a:
                z = z + Counted() * activation
            layer.append(z)
        a = layer
    assert operations_per_image(jaxnet.init(jax.random.key(0), sizes)) == Counted.done


@pytest.mark.compiled
def test_operations_by_the_compiler(params):
    x = jax.ShapeDtypeStruct((784,), "float32")
    flops = jax.jit(jaxnet.logits).lower(params, x).cost_analysis()["flops"]
    assert 0 <= flops - operations_per_image(params) < 1000  # the squashes


def test_time_calls(clock):
    calls = []
    assert time_calls(lambda: calls.append(None), 0) == [1] * 5
    assert len(calls) == 2 + 5  # the first compiles, the second sets how many fit
    calls.clear()
    assert time_calls(lambda: calls.append(None), 50) == [0.1] * 5
    assert len(calls) == 2 + 5 * 10


def test_bandwidth_counts_every_byte(clock, monkeypatch):
    monkeypatch.setattr(bench, "cores", lambda: 3)
    assert bandwidth_to_device(jax.devices()[1], size=2**20, seconds=0) == (2**20, "memory")


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_matmul_rate_counts_every_operation(clock, dtype):
    assert (
        matmul_rate(jax.devices()[1], dtype, seconds=1) == 2 * 256**3
    )  # slow, so no larger one is tried


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((100, 110, 900), (300, 300, 900)),  # float32 as three products of bytes
        ((67, 990, 300), (330, 990, 990)),  # or three bfloat16 ones, which hold bytes exactly
        ((100, 50, 60), (100, 100, 100)),  # a finer precision will do
    ],
)
def test_each_precision_uses_the_fastest_exact_product(monkeypatch, measured, expected):
    rates = dict(zip(PRECISIONS, measured, strict=True))
    monkeypatch.setattr(bench, "matmul_rate", lambda _, dtype, seconds: rates[dtype])
    assert arithmetic_rates(jax.devices()[1]) == dict(zip(PRECISIONS, expected, strict=True))


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("bandwidth", "limit", "ceiling"), [(200.0, "memory", 10), (2e6, "arithmetic", 1e4 / 230)]
)
def test_shares_of_the_tightest_limit(monkeypatch, bandwidth, limit, ceiling):
    """Twenty bytes and 230 operations per image."""
    monkeypatch.setattr(bench, "bandwidth_to_device", lambda _, seconds: (bandwidth, "memory"))
    monkeypatch.setattr(
        bench, "arithmetic_rates", lambda _, seconds: dict.fromkeys(PRECISIONS, 1e4)
    )
    monkeypatch.setattr(bench, "time_calls", lambda call, seconds: (call(), [9.0, 2.0, 1.0])[1])
    params = jaxnet.init(jax.random.key(0), (20, 5, 3))
    rates = [*measure(params, squash="relu", n_images=300, batch_sizes=(4, 5_000))]
    expected = [*product(PRECISIONS, (4, 300))]  # 5,000 are more than there are
    assert [(rate.precision, rate.batch_size) for rate in rates] == expected
    for rate in rates:
        assert rate.images_per_second == rate.batch_size / 2  # the median
        assert rate.share == pytest.approx(rate.images_per_second / ceiling)
        assert rate.limit == limit


@pytest.mark.compiled
def test_each_call_has_other_images(monkeypatch):
    seen = []
    monkeypatch.setattr(bench, "classify", lambda params, images, **_: seen.append(images.copy()))
    [*measure(jaxnet.init(jax.random.key(0), (9, 2)), n_images=6, batch_sizes=(2,), seconds=0.001)]
    first, second, third, fourth = seen[:4]
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    np.testing.assert_array_equal(first, fourth)  # all six were classified


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 0}, "1 or more; got 0"),
        ({"batch_sizes": iter([5, 0])}, "1 or more; got 0"),
        ({"seconds": 0}, "seconds above 0, .*; got 0"),
        ({"seconds": float("nan")}, "seconds above 0, .*; got nan"),
        ({"seconds": float("inf")}, "seconds above 0, .*; got inf"),
    ],
)
def test_bad_arguments(params, wrong, message):
    with pytest.raises(ValueError, match=message):
        measure(params, **wrong)
    with pytest.raises(TypeError, match="Expected params as a tuple of Layer"):
        measure("free")


def test_command(monkeypatch):
    given = [
        bench.Rate("float32", 1, 1234.5, 3.87e-5, "transfer"),
        bench.Rate("int8", 200_000, 2.5e7, 0.784, "memory"),
    ]
    monkeypatch.setattr(bench, "measure", lambda params, **_: iter(given))
    rows = [line.split() for line in run("bench").stdout.splitlines()]
    assert ["float32", "1", "1,230", "0.0", "%", "of", "transfer"] in rows
    assert ["int8", "200,000", "25,000,000", "██████▎", "78.4", "%", "of", "memory"] in rows
    lines = run("bench", "--json").stdout.splitlines()
    assert [bench.Rate(**json.loads(line)) for line in lines] == given


@pytest.mark.compiled
def test_command_measures_a_network_of_ones_own(tmp_path):
    path = tmp_path / "small.safetensors"
    jaxnet.save(path, jaxnet.init(jax.random.key(0), (4, 3, 2)), last_squash="softmax")
    done = run("bench", "--quick", "--images", 20, "--json", "--weights", path)
    rates = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(rate["precision"], rate["batch_size"]) for rate in rates] == [
        (name, 20) for name in PRECISIONS
    ]
