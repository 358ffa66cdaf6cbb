"""`jaxnet page`: writes the interactive page."""

import sys
from contextlib import suppress
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
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The .html file to write, by default jaxnet.html; - is standard output.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the interactive page.

    Draw digits, inspect neurons, turn every dial, and watch the network learn, in any browser.
    """
    from jaxnet._page import page
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError, check_free, check_new, replacing
    from jaxnet.cli._terminal import printable

    if output is None:
        output = Path("jaxnet.html")
        overwrite = overwrite or _is_page(output)
    piped = str(output) == "-"
    for name, given in (("open", show), ("overwrite", overwrite), ("quiet", quiet)):
        if piped and given:
            raise ArgumentError(name, "is for a page in a file only.")
    if not piped:
        if output.suffix.lower() not in (".html", ".htm"):
            raise FileError(f"{output}: the output must end in .html.")
        check_free(output, [weights], overwrite=overwrite)
    params, about = network_of(weights)
    try:
        made = page(params, squash=about.squash, last_squash=about.last_squash)
    except ValueError as error:
        raise FileError(f"{weights}: {error}") from error
    if piped:
        sys.stdout.buffer.write(made.html.encode())
        return
    check_new(output, overwrite=overwrite)
    with replacing(output) as file:
        file.write(made.html.encode())
    if not quiet:
        print(printable(str(output)))
    if show:
        import webbrowser

        if not webbrowser.open(output.absolute().as_uri()):
            here = printable(str(output.absolute()))
            print(f"No browser was found; the page is {here}.", file=sys.stderr)


def _is_page(path: Path) -> bool:
    """Whether a file is an earlier page, which this command may replace."""
    with suppress(OSError):
        return b"<title>A neural network, with all its dials</title>" in path.read_bytes()[:4_096]
    return False
