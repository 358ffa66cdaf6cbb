"""The command line: parses, calls the library, prints. One file per command.

A command imports the library once it runs, so help and completion need neither it nor JAX.
"""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from jaxnet.cli import bench, classify, convert, draw, export, info, page, probe, train

_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
for _module in (classify, train, draw, probe, page, export, convert, info, bench):
    app.command(
        _module.__name__.rpartition(".")[2],
        epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in _module.EXAMPLES),
        context_settings=_SETTINGS,
    )(_module.command)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The network of 3Blue1Brown's "But what is a neural network?", classifying digits."""
    if version:
        print(f"jaxnet {version_of('jaxnet-digits')}")
