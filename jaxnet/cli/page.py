"""`jaxnet page`: writes the interactive page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import Overwrite, Quiet, Weights, network_of

EXAMPLES = (
    "jaxnet page --open",
    "jaxnet page --weights network.safetensors --output mine.html",
)


def command(
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The .html file to write; - is standard output.")
    ] = Path("jaxnet.html"),
    overwrite: Overwrite = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the interactive page.

    Draw digits, inspect neurons, turn every dial, and watch the network learn, in any browser.
    """
    from jaxnet._page import page
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError, check_free, replacing
    from jaxnet.cli._terminal import printable

    piped = str(output) == "-"
    for name, given in (("open", show), ("overwrite", overwrite), ("quiet", quiet)):
        if piped and given:
            raise ArgumentError(name, "is for a page in a file only.")
    if not piped:
        if output.suffix.lower() not in (".html", ".htm"):
            raise FileError(f"{output}: pages are written to .html; name it so.")
        check_free(output, [weights], overwrite=overwrite)
    params, about = network_of(weights)
    try:
        made = page(params, squash=about.squash, last_squash=about.last_squash)
    except ValueError as error:
        raise FileError(f"{weights}: {error}") from error
    if piped:
        sys.stdout.buffer.write(made.html.encode())
        return
    with replacing(output) as file:
        file.write(made.html.encode())
    if not quiet:
        print(printable(str(output)))
    if show:
        import webbrowser

        if not webbrowser.open(output.absolute().as_uri()):
            here = printable(str(output.absolute()))
            print(f"No browser was found; the page is {here}.", file=sys.stderr)
