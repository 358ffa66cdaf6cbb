"""What was measured, in a terminal: each number in its place, rounded as it says."""

import io
import re

import pytest
from rich.console import Console

from jaxnet.bench import Limits, Rate, Report, Stage, Work
from jaxnet.cli._report import tables

LOOM = Limits("a loom [1804]:0", 3e12, 25e9, {"float32": 4e14, "int8": 1.6e15})
RATES = (
    Rate(LOOM.device, "float32", 1, 1234.5, 3.19e7, "transfer", 3.87e-5),
    Rate(LOOM.device, "int8", 200_000, 2.5e7, 3.19e7, "transfer", 0.784),
)
STAGES = (
    Stage(LOOM.device, "transfer", None, 3.2e-8),
    Stage(LOOM.device, "compute", "int8", 1e-8),
    Stage(LOOM.device, "result", None, 2e-9),
)


def shown(report, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(tables(report))
    return [re.split("  +", line.strip()) for line in console.file.getvalue().splitlines()]


def test_numbers_in_rows():
    rows = shown(Report(Work(784, 25_920), (LOOM,), RATES, STAGES))
    assert rows[0] == ["one image: 784 bytes, 25,920 operations"]
    for row in (
        ["a loom [1804]:0"],
        ["memory", "3,000.0 GB/s", "3,830,000,000"],
        ["transfer", "25.0 GB/s", "31,900,000"],
        ["arithmetic, float32", "400,000 Gop/s", "15,400,000,000"],
        ["arithmetic, int8", "1,600,000 Gop/s", "61,700,000,000"],
        ["float32", "1", "1,230", "0.00387 % of transfer"],
        ["int8", "200,000", "25,000,000", "██████▎", "78.4 % of transfer"],
        ["transfer to the device", "0.032 s"],
        ["compute, and bring the answers to NumPy", "int8", "0.010 s"],
        ["of that, copying the answers back", "0.002 s"],
    ):
        assert row in rows


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_incomplete_report(known):
    report = Report(Work(784, 25_920), *((LOOM,), RATES, STAGES)[:known])
    heads = [row[0] for row in shown(report) if row[0] in ("limit", "precision", "stage")]
    assert heads == ["limit", "precision", "stage"][:known]


def test_several_devices():
    other = LOOM._replace(device="abacus:0")
    rates = (*RATES, RATES[0]._replace(device=other.device))
    rows = [row[0] for row in shown(Report(Work(784, 25_920), (LOOM, other), rates))]
    assert rows.index(LOOM.device) < rows.index(other.device)
    assert [row for row in rows if row in ("float32", "int8")] == ["float32", "int8", "float32"]
