"""The benchmark report in the terminal."""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from jaxnet.bench import Limits, Rate, Report, Stage, Work
from jaxnet.cli._terminal import Table, bar

_STAGES = {
    "read": "read from a file that the system has in memory",
    "transfer": "transfer to the device",
    "compute": "compute, and bring the answers to NumPy",
    "result": "of that, copying the answers back",
}


def tables(report: Report) -> Group:
    """Shows each device's limits, the measured rates, and where the time goes."""
    work = report.work
    parts: list[RenderableType] = [
        f"one image: {work.bytes:,} bytes, {work.operations:,} operations"
    ]
    for limits in report.limits:
        rates = [rate for rate in report.rates if rate.device == limits.device]
        stages = [stage for stage in report.stages if stage.device == limits.device]
        parts += ["", Text(limits.device, "bold"), _limits(limits, work)]
        parts += ["", _rates(rates)] if rates else []
        parts += ["", _stages(stages)] if stages else []
    return Group(*parts)


def plain(report: Report) -> dict[str, Any]:
    """The report as what JSON can hold."""
    lists = {"limits": report.limits, "rates": report.rates, "stages": report.stages}
    return {
        "image": report.work._asdict(),
        **{name: [part._asdict() for part in parts] for name, parts in lists.items()},
    }


def _limits(limits: Limits, work: Work) -> Table:
    table = Table("limit", ">measured", ">enough for images per second")
    for name, rate in (("memory", limits.memory), ("transfer", limits.transfer)):
        if rate is not None:
            table.add_row(name, f"{rate / 1e9:,.1f} GB/s", _rounded(rate / work.bytes))
    for precision, rate in limits.arithmetic.items():
        giga = f"{rate / 1e9:,.0f} Gop/s"
        table.add_row(f"arithmetic, {precision}", giga, _rounded(rate / work.operations))
    return table


def _rates(rates: Iterable[Rate]) -> Table:
    table = Table(
        "precision", ">images per call", ">images per second", "share of the lowest limit"
    )
    for rate in rates:
        share = f"{bar(rate.share)} {100 * rate.share:.3g} % of {rate.limit}"
        speed = _rounded(rate.images_per_second)
        table.add_row(rate.precision, f"{rate.batch_size:,}", speed, share)
    return table


def _stages(stages: Iterable[Stage]) -> Table:
    table = Table("stage", "precision", ">per million images")
    for stage in stages:
        seconds = f"{1e6 * stage.seconds_per_image:.3f} s"
        table.add_row(_STAGES[stage.name], stage.precision or "", seconds)
    return table


def _rounded(number: float) -> str:
    """Rounded to three digits; no measurement here is more precise."""
    return f"{float(f'{number:.3g}'):,.0f}"
