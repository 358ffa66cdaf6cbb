"""What `jaxnet probe` reports: tables in the terminal, and the same as JSON."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnet import analysis
from jaxnet._pretrained import pretrained
from jaxnet._util.files import FileError
from jaxnet._util.palette import signed
from jaxnet.analysis._probes import EDGE
from jaxnet.cli._terminal import Table, bar, printable
from jaxnet.data._load import read_labeled
from jaxnet.data.synthetic import COMPONENTS, sample
from jaxnet.design import handmade
from jaxnet.network import Params, init

N_DRAWN = 4_000  # synthetic digits, if no images are given


def digits(images: Path | None, labels: Path | None, side: int) -> tuple[Any, Any]:
    if images is None or labels is None:
        return sample(jax.random.key(0), N_DRAWN, side=side)
    seen, known, notes = read_labeled(images, labels, side=side)
    for note in notes:
        print(printable(note), file=sys.stderr)
    if known.max(initial=0) > 9:
        raise FileError(
            f"{labels}: labels up to {known.max()}; probes know the digits 0 to 9 only."
        )
    return seen, known


def networks() -> Mapping[str, Params]:
    """From a random network to the one that is all the video hopes for."""
    return {
        "random": init(jax.random.key(0)),
        "handmade": handmade(),
        "free": pretrained(),
        "edges": pretrained("edges"),
        "components": pretrained("components"),
    }


def probe(params: Params, digits: tuple[Any, Any], **squash: Any) -> analysis.Probe:
    return analysis.probe(jax.random.key(1), params, *digits, **squash)


def plain(report: analysis.Probe) -> dict[str, Any]:
    """The report as what JSON can hold: one object per neuron."""
    return {**overview(report), "neurons": [*map(_neuron, *_places(report))]}


def overview(report: analysis.Probe) -> dict[str, Any]:
    last_hidden = max(1, len(report.digits) - 1)
    return {
        "accuracy": float(report.accuracy),
        "edges": int((report.edges.explained >= EDGE).sum()),
        "explained": float(report.edges.explained.mean()),
        "components": report.n_components(),
        "detects": float(report.detects(last_hidden).mean()),
        "summary": report.summary(),
    }


def _places(report: analysis.Probe) -> tuple[list[Any], ...]:
    places = [(layer, n) for layer, cost in enumerate(report.silence, 1) for n in range(len(cost))]
    return [report] * len(places), [layer for layer, _ in places], [n for _, n in places]


def _neuron(report: analysis.Probe, layer: int, neuron: int) -> dict[str, Any]:
    best = int(report.component(layer)[neuron])
    # Of a digit that no image shows, or all, the area is not known.
    digits = np.nan_to_num(np.asarray(report.digits[layer - 1][neuron], float), nan=-1.0)
    found: dict[str, Any] = {"layer": layer, "neuron": neuron}
    if layer == 1:
        found["edge"] = {name: float(a[neuron]) for name, a in report.edges._asdict().items()}
        found["explained_by_all_pixels"] = float(report.explained[neuron])
    return found | {
        "component": COMPONENTS[best],
        "alone": float(report.components.alone[layer - 1][neuron, best]),
        "within": float(report.components.within[layer - 1][neuron, best]),
        "digit": int(digits.argmax()) if digits.max() >= 0 else None,
        "digit_area": float(digits.max()) if digits.max() >= 0 else None,
        "silence": float(report.silence[layer - 1][neuron]),
    }


def neurons(report: analysis.Probe) -> Table:
    table = Table("neuron", "edge, R²", "best component", ">alone", ">within", "digit", ">silent")
    for row in map(_neuron, *_places(report)):
        explained = row.get("edge", {}).get("explained")
        table.add_row(
            f"{row['layer']}.{row['neuron']}",
            "" if explained is None else f"{bar(explained, width=5)} {explained:.2f}",
            row["component"],
            f"{row['alone']:.2f}",
            f"{row['within']:.2f}",
            "" if row["digit"] is None else f"{row['digit']}  {row['digit_area']:.2f}",
            f"{signed(-100 * row['silence'])} %",
        )
    return table


def comparison(reports: Mapping[str, analysis.Probe]) -> Table:
    table = Table("network", ">accuracy", ">edges", ">mean R²", ">components", ">mean area")
    for name, report in reports.items():
        row = overview(report)
        table.add_row(
            name,
            f"{100 * row['accuracy']:.2f} %",
            f"{row['edges']} of {len(report.explained)}",
            f"{row['explained']:.2f}",
            f"{row['components']} of {len(COMPONENTS)}",
            f"{row['detects']:.2f}",
        )
    return table
