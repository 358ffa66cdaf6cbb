"""A device's measured limits: plausible numbers in a plausible order."""

import math
import time

import jax
import pytest

import jaxnet
from jaxnet.bench import measure_limits
from jaxnet.bench._limits import (
    copy_bandwidth,
    matmul_rate,
    read_bandwidth,
    time_calls,
    transfer_bandwidth,
)
from jaxnet.inference import PRECISIONS

SHORT = {"size": 2**20, "seconds": 0.001}


def test_bandwidths():
    device = jax.devices()[1]
    for rate in (
        read_bandwidth(**SHORT),
        copy_bandwidth(device, **SHORT),
        transfer_bandwidth(device, **SHORT),
    ):
        assert 0 < rate < math.inf


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_matmul_rates(dtype):
    assert 0 < matmul_rate(jax.devices()[1], dtype, seconds=0.001) < math.inf


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
    monkeypatch.setattr(jaxnet.bench._limits, "matmul_rate", lambda _, dtype, seconds: rates[dtype])
    limits = measure_limits(jax.devices()[1], **SHORT)
    assert limits.device == "cpu:1"
    assert limits.transfer is None
    assert limits.memory > 0
    assert limits.arithmetic == dict(zip(PRECISIONS, expected, strict=True))


def test_time_calls():
    calls = []

    def call():
        calls.append(None)
        time.sleep(0.002)

    times = time_calls(call, 0)
    assert len(times) == 5
    assert min(times) >= 0.002
    assert len(calls) == 2 + 5  # the first compiles, the second sets how many fit
    time_calls(lambda: calls.append(None), 0.05)
    assert len(calls) > 100
