"""Renders the reference of every public module: python -m tests.reference build/docs."""

import html
import inspect
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy.typing as npt
import optax
import pdoc
import pdoc.render
from jax.typing import ArrayLike, DTypeLike
from jinja2 import pass_context
from markupsafe import escape
from numpy.typing import NDArray
from pdoc.render_helpers import format_signature, linkify

from jaxnet import network, training

EMPTY = inspect.Signature.empty
MODULES = re.compile(
    r"\b(jaxtyping|(jax\.)?jaxlib\._jax|jax\._src|optax\._src\.base|typing|collections\.abc|"
    r"matplotlib\.figure)\.(?=[A-Z_])"
)


class Text(str):
    """What is printed as it is."""

    def __repr__(self):
        return str(self)


def shorter(text):
    """Types by the names that they have in the source: `Float[Array, 'out in']`, `Image`."""
    text = re.sub(r"<class '(\w+)'>", r"\1", MODULES.sub("", text))
    for long, short in NAMES.items():
        text = re.sub(r"Union\[([\w.]+)\]", r"\1", text.replace(long, short))
    return re.sub(r"Union\[([\w.]+), NoneType\]", r"\1 | None", text)


NAMES = {}
for name, kind in {
    **{name: vars(network)[name] for name in ("Params", "Image", "Squash")},
    **{name: vars(training)[name] for name in ("Images", "Labels", "Weights", "Cost", "Augment")},
    **{"ArrayLike": ArrayLike, "DTypeLike": DTypeLike, "NDArray[Any]": NDArray[Any]},
    **{"optax.OptState": optax.OptState, "npt.ArrayLike": npt.ArrayLike},
}.items():
    text = shorter(inspect.formatannotation(kind))
    NAMES[text[6:-1] if text.startswith("Union[") else text] = name  # unions may have more in them


def types_in_words(annotation):
    return EMPTY if annotation is EMPTY else Text(shorter(inspect.formatannotation(annotation)))


def signature_in_words(signature, colon):
    """pdoc's filter for signatures, with types and functions by their names."""
    parameters = [
        parameter.replace(
            annotation=types_in_words(parameter.annotation),
            default=Text(default.__name__)
            if callable(default := parameter.default) and default is not EMPTY
            else default,
        )
        for parameter in signature.parameters.values()
    ]
    returned = types_in_words(signature.return_annotation)
    return format_signature(
        signature.replace(parameters=parameters, return_annotation=returned), colon
    )


@pass_context
def links(context, code, **options):
    """pdoc's filter for names that lead to other pages, through which the types of fields pass."""
    if not code.startswith("<"):
        text = html.unescape(code)
        short = shorter(text)
        code = escape(MODULES.sub("", text) if short in NAMES.values() else short)
    return linkify(context, code, **options)


def render(folder):
    """Writes a page a module into the folder; anything that pdoc warns of is an error."""
    pdoc.render.configure(docformat="google")
    pdoc.render.env.filters.update(format_signature=signature_in_words, linkify=links)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A name of optax's own, in the type of an optimizer's state.
        warnings.filterwarnings("ignore", message=".*ArrayTree", category=UserWarning)
        pdoc.pdoc("jaxnet", "!jaxnet.__main__", output_directory=folder)


if __name__ == "__main__":
    render(Path(sys.argv[1]))
    print(Path(sys.argv[1], "jaxnet.html"))
