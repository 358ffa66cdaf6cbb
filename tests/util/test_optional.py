"""Optional packages: what a missing one says."""

import math

import pytest

from jaxnet._util.optional import package


def test_present_package():
    assert package("math") is math


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, "pip install absent"),
        ({"command": "pip install present"}, "pip install present"),
        ({"extra": "plot"}, r"pip install 'jaxnet-digits\[plot\]'"),
    ],
)
def test_missing_package(options, command):
    with pytest.raises(ModuleNotFoundError, match=f"^This needs absent: {command}$") as raised:
        package("absent.module", **options)
    assert raised.value.name == "absent"


def test_missing_module_of_a_present_package():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'jax\.absent'"):
        package("jax.absent")
