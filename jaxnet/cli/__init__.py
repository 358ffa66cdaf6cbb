"""The command line: parses, calls the library, prints."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from jaxnet.cli.carrying import convert_weights, export_program, info
from jaxnet.cli.learning import train
from jaxnet.cli.looking import draw_picture, write_page
from jaxnet.cli.measuring import measure_machine
from jaxnet.cli.reading import classify

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(classify)
app.command()(train)
app.command("draw")(draw_picture)
app.command("page")(write_page)
app.command("export")(export_program)
app.command("convert")(convert_weights)
app.command()(info)
app.command("bench")(measure_machine)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The network of 3Blue1Brown's "But what is a neural network?", reading digits."""
    if version:
        typer.echo(f"jaxnet {version_of('jaxnet')}")
