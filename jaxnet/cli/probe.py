"""`jaxnet probe`: does a network see edges, then components, then digits?"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from jaxnet import analysis
from jaxnet._pretrained import pretrained
from jaxnet._util.arguments import ArgumentError, check_choice
from jaxnet._util.files import FileError, check_free, replacing
from jaxnet._util.palette import PAIRS, signed
from jaxnet.cli._networks import Weights, file_of
from jaxnet.cli._terminal import bar, columns, printable
from jaxnet.data import read_images, read_labels
from jaxnet.data.synthetic import COMPONENTS, sample
from jaxnet.design import handmade
from jaxnet.formats import load
from jaxnet.network import Params, init

ENDINGS = (".png", ".svg", ".pdf")
N_DRAWN = 4_000  # synthetic digits, if no images are given


def command(
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]", help="Digits, as for `classify`; by default, synthetic ones."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels: an IDX or .npy file.")] = None,
    weights: Weights = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare five networks: random to made of components."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Draw each neuron into this .png, .svg or .pdf.")
    ] = None,
    colors: Annotated[str, typer.Option(help=f"One of {', '.join(PAIRS)}.")] = "video",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report what each neuron looks for: edges, then components, then digits?"""
    if (images is None) != (labels is None):
        raise ArgumentError("labels", "expected with INPUT, and INPUT with it.")
    if compare and (weights or output):
        raise ArgumentError("compare", "takes neither --weights nor --output.")
    check_choice(PAIRS, colors, "colors")
    draw = None
    if output:
        if output.suffix not in ENDINGS:
            raise FileError(f"{output}: a probe is drawn into {', '.join(ENDINGS)}; name it so.")
        check_free(output, [images, labels, weights])
        from jaxnet.plot import probe as draw  # says what it lacks before the work
    digits = _digits(images, labels)
    if compare:
        reports = {name: _probe(params, digits) for name, params in _networks().items()}
        if as_json:
            typer.echo(json.dumps({name: _overview(r) for name, r in reports.items()}))
        else:
            Console().print(_comparison(reports))
        return
    params, spec = load(file_of(weights))
    if spec.sizes[0] != 784:
        raise FileError(f"{weights}: expected a network of 784 pixels; got {spec.sizes[0]}.")
    squash = spec.squashes["squash"]
    report = _probe(params, digits, squash=squash)
    if output and draw:
        with replacing(output) as file:
            figure = draw(report, params, squash=squash, colors=colors)
            figure.savefig(file, format=output.suffix[1:], dpi=150)
    if as_json:
        typer.echo(json.dumps(_plain(report)))
    else:
        Console().print(_neurons(report))
        typer.echo(f"{report.summary()} {100 * report.accuracy:.2f} % classified correctly.")
    if output:
        typer.echo(printable(str(output)), err=as_json)


def _digits(images: Path | None, labels: Path | None) -> tuple[Any, Any]:
    if images is None or labels is None:
        return sample(jax.random.key(0), N_DRAWN)
    return read_images(images).images, read_labels(labels)


def _networks() -> Mapping[str, Params]:
    """From a random network to the one that is all the video hopes for."""
    return {
        "random": init(jax.random.key(0)),
        "handmade": handmade(),
        "free": pretrained(),
        "edges": pretrained("edges"),
        "components": pretrained("components"),
    }


def _probe(params: Params, digits: tuple[Any, Any], **squash: Any) -> analysis.Probe:
    return analysis.probe(jax.random.key(1), params, *digits, **squash)


def _plain(report: analysis.Probe) -> dict[str, Any]:
    """The report as what JSON can hold: one object per neuron."""
    return {**_overview(report), "neurons": [*map(_neuron, *_places(report))]}


def _overview(report: analysis.Probe) -> dict[str, Any]:
    last_hidden = max(1, len(report.digits) - 1)
    return {
        "accuracy": float(report.accuracy),
        "edges": int((report.edges.explained >= analysis.EDGE).sum()),
        "explained": float(report.edges.explained.mean()),
        "components": report.n_components(),
        "tells": float(report.tells(last_hidden).mean()),
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


def _neurons(report: analysis.Probe) -> Table:
    table = columns("neuron", "edge, R²", "best component", ">alone", ">within", "digit", ">silent")
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


def _comparison(reports: Mapping[str, analysis.Probe]) -> Table:
    table = columns("network", ">accuracy", ">edges", ">mean R²", ">components", ">mean area")
    for name, report in reports.items():
        row = _overview(report)
        table.add_row(
            name,
            f"{100 * row['accuracy']:.2f} %",
            f"{row['edges']} of {len(report.explained)}",
            f"{row['explained']:.2f}",
            f"{row['components']} of {len(COMPONENTS)}",
            f"{row['tells']:.2f}",
        )
    return table
