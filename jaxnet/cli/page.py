"""`jaxnet page`: writes the interactive page."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from jaxnet._page import page
from jaxnet._util.files import FileError, check_free, replacing
from jaxnet.cli._networks import Weights, file_of
from jaxnet.cli._terminal import printable
from jaxnet.formats import load


def command(
    weights: Weights = None,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("jaxnet.html"),
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the interactive page: draw digits, inspect neurons, turn every dial."""
    if output.suffix not in (".html", ".htm"):
        raise FileError(f"{output}: pages are written to .html; name it so.")
    check_free(output, [weights])
    params, about = load(file_of(weights))
    try:
        made = page(params, squash=about.squash, last_squash=about.last_squash)
    except ValueError as error:
        raise FileError(f"{weights}: {error}") from error
    with replacing(output) as file:
        file.write(made.html.encode())
    typer.echo(printable(str(output)))
    if show and not webbrowser.open(output.absolute().as_uri()):
        raise FileError(f"{output}: no browser was found to open it; open it yourself.")
