"""Renders the reference of every public module with pdoc."""

import html
import inspect
import re
import warnings
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy.typing as npt
import optax
import pdoc
import pdoc.render
from jax.typing import ArrayLike, DTypeLike
from jinja2 import pass_context
from markupsafe import escape
from numpy.typing import NDArray
from pdoc.render_helpers import format_signature, linkify

from jaxnet import network
from jaxnet.training import _loss

ROOT = Path(__file__).parents[1]
PUBLIC = sorted(
    path
    for path in (ROOT / "jaxnet").rglob("*.py")
    if not re.search(r"/(_(?!_init__)|cli/)", path.relative_to(ROOT).as_posix())
)

# Types are shown as in the source: `Float[Array, 'out in']`, `Image`.
QUALIFIERS = re.compile(
    r"\b(jaxtyping|(jax\.)?jaxlib\._jax|jax\._src|optax\._src\.base|typing|collections\.abc|"
    r"matplotlib\.figure)\.(?=[A-Z_])"
)
ALIASES = {}


class Text(str):
    """A string whose repr is itself."""

    def __repr__(self):
        return str(self)


def shorten(text):
    """Shortens a type to the names used in the source."""
    text = re.sub(r"<class '(\w+)'>", r"\1", QUALIFIERS.sub("", text))
    for long, short in ALIASES.items():
        text = re.sub(r"Union\[([\w.]+)\]", r"\1", text.replace(long, short))
    return re.sub(r"Union\[([\w.]+), NoneType\]", r"\1 | None", text)


for name, kind in {
    **{name: vars(network)[name] for name in ("Params", "Image", "Squash")},
    **{name: vars(_loss)[name] for name in ("Images", "Cost", "Augment", "Network", "Loss")},
    **{"ArrayLike": ArrayLike, "DTypeLike": DTypeLike, "NDArray[Any]": NDArray[Any]},
    **{"optax.OptState": optax.OptState, "npt.ArrayLike": npt.ArrayLike},
}.items():
    text = shorten(inspect.formatannotation(kind))
    ALIASES[text[6:-1] if text.startswith("Union[") else text] = name  # may be part of a union


def short_signature(signature, colon):
    """pdoc's filter for signatures, with short types, and with functions by name."""

    def short(kind):
        return kind if kind is signature.empty else Text(shorten(inspect.formatannotation(kind)))

    def default(value):
        if value is _loss.loss:
            return Text("loss")
        named = callable(value) and value is not signature.empty
        return Text(value.__name__) if named else value

    parameters = [
        p.replace(annotation=short(p.annotation), default=default(p.default))
        for p in signature.parameters.values()
    ]
    returned = short(signature.return_annotation)
    return format_signature(
        signature.replace(parameters=parameters, return_annotation=returned), colon
    )


@pass_context
def short_links(context, code, **options):
    """pdoc's filter for linked names, which also gets the types of fields."""
    if not code.startswith("<"):
        text = html.unescape(code)
        short = shorten(text)
        code = escape(QUALIFIERS.sub("", text) if short in ALIASES.values() else short)
    return linkify(context, code, **options)


def dotted(path):
    """The name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def exports(path):
    """The public names of a package: what it imports `as` itself, and its public modules."""
    names = re.findall(r"^ *from .* import (\w+) as \1$", path.read_text(), re.MULTILINE)
    inside = re.findall(rf"^{dotted(path)}\.(\w+)$", "\n".join(map(dotted, PUBLIC)), re.MULTILINE)
    return list(dict.fromkeys([*names, *inside]))


def render(folder):
    """Renders each public module, with what it re-exports; pdoc's warnings are errors."""
    pdoc.render.configure(docformat="google")
    pdoc.render.env.filters.update(format_signature=short_signature, linkify=short_links)
    with ExitStack() as stack:
        for path in PUBLIC:
            if path.name == "__init__.py":
                module, names = import_module(dotted(path)), exports(path)
                [getattr(module, name, None) for name in names]  # imports what is lazy
                stack.enter_context(patch.object(module, "__all__", names, create=True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*ArrayTree", category=UserWarning)  # optax's
        pdoc.pdoc("jaxnet", "!jaxnet.cli", "!jaxnet.__main__", output_directory=folder)
