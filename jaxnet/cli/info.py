"""`jaxnet info`: describes a network's file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxnet._pretrained import NAMES
from jaxnet.cli._networks import file_of
from jaxnet.cli._terminal import printable
from jaxnet.formats import load
from jaxnet.network import count


def command(
    weights: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help=f"A file, or {', '.join(NAMES)}.", show_default="free"
        ),
    ] = None,
) -> None:
    """Describe a network and how it was trained."""
    path = file_of(weights)
    params, about = load(path)
    table = Table.grid(padding=(0, 2))
    table.add_row("file", Text(printable(str(path))))
    table.add_row("neurons", " → ".join(map(str, about.sizes)))
    table.add_row("weights and biases", f"{count(params):,}")
    table.add_row("type", str(params[0].weights.dtype))
    table.add_row("squash", f"{about.squash}, at the end {about.last_squash}")
    for name, text in about.notes.items():
        table.add_row(*(Text(printable(part)) for part in (name, text)))
    Console().print(table)
