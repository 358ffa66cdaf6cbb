"""What a device can do at most: numbers that are there, and the order among them."""

import math
import time

import jax
import pytest

import jaxnet
from jaxnet.inference import PRECISIONS
from jaxnet.limits import (
    copy_bandwidth,
    measure_limits,
    product_rate,
    read_bandwidth,
    rounds,
    transfer_bandwidth,
)

SHORT = {"size": 2**20, "seconds": 0.001}


def test_bandwidths_are_measured_on_any_device():
    device = jax.devices()[1]
    for rate in (
        read_bandwidth(**SHORT),
        copy_bandwidth(device, **SHORT),
        transfer_bandwidth(device, **SHORT),
    ):
        assert 0 < rate < math.inf


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_products_are_measured_in_every_precision(dtype):
    assert 0 < product_rate(jax.devices()[1], dtype, seconds=0.001) < math.inf


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ((100, 110, 900), (300, 300, 900)),  # a float32 product by three of bytes
        ((67, 990, 300), (330, 990, 990)),  # or of three bfloat16 ones; bytes are exact in these
        ((100, 50, 60), (100, 100, 100)),  # what is more exact serves, too
    ],
)
def test_a_precision_takes_the_fastest_product_that_serves_it(monkeypatch, measured, expected):
    rates = dict(zip(PRECISIONS, measured, strict=True))
    monkeypatch.setattr(jaxnet.limits, "product_rate", lambda _, dtype, seconds: rates[dtype])
    limits = measure_limits(jax.devices()[1], **SHORT)
    assert limits.device == "cpu:1"
    assert limits.transfer is None
    assert limits.memory > 0
    assert limits.arithmetic == dict(zip(PRECISIONS, expected, strict=True))


def test_a_call_is_timed_as_often_as_there_is_time():
    calls = []

    def call():
        calls.append(None)
        time.sleep(0.002)

    times = rounds(call, 0)
    assert len(times) == 5
    assert min(times) >= 0.002
    assert len(calls) == 2 + 5  # the first compiles, the second says how many there is time for
    rounds(lambda: calls.append(None), 0.05)
    assert len(calls) > 100
