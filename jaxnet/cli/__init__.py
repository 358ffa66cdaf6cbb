"""The command line: parses, calls the library, prints. One file per command."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from jaxnet.cli import bench, classify, convert, draw, export, info, page, probe, train

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for _module in (classify, train, draw, probe, page, export, convert, info, bench):
    app.command(_module.__name__.rpartition(".")[2])(_module.command)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The network of 3Blue1Brown's "But what is a neural network?", classifying digits."""
    if version:
        typer.echo(f"jaxnet {version_of('jaxnet-digits')}")
