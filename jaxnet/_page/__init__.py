"""The interactive page: one HTML file to draw on, inspect neurons and edit weights.

It is assembled from the parts in `web/` and from the networks' exact weights; a browser opens it
from disk, offline.
"""

import base64
import html
import json
import math
import re
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxnet._pretrained import pretrained
from jaxnet._util.palette import PAIRS
from jaxnet.data.synthetic import COMPONENTS, GLYPHS, HAND
from jaxnet.design import FIRST, SECOND, THIRD
from jaxnet.formats import load
from jaxnet.formats._squashes import FOREIGN, as_name
from jaxnet.network import SIZES, Params, Squash, check_params

_IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.js";\n', re.MULTILINE)


class Page(NamedTuple):
    """A page; a Jupyter notebook displays it as the last value of a cell.

    Attributes:
        html: the whole file.
    """

    html: str

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="jaxnet" allow="clipboard-write" '
            'style="width: 100%; height: 900px; border: 0"></iframe>'
        )


def page(
    params: Params | None = None, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> Page:
    """Builds the interactive page: draw a digit, see every neuron, turn every dial, watch it learn.

    Args:
        params: a network with 784 inputs, ten outputs and hidden layers of any size; by default,
            the trained one. The page always offers the trained networks and the handmade one, too.
        squash, last_squash: as for `jaxnet.save`.

    Returns:
        The page. A notebook displays it; `.html` is the text of one self-contained file.

    Raises:
        TypeError, ValueError: not a network, other sizes, an unknown squash, or values that are not
            finite in float32.

    Example:
        >>> import jax, jaxnet
        >>> text = jaxnet.page(jaxnet.init(jax.random.key(0), (784, 20, 10))).html
        >>> text.startswith("<!doctype html>"), len(text) < 600_000
        (True, True)
    """
    networks: list[tuple[str, str, Any]] = [
        ("trained", "the trained network", _embedded(pretrained(), "sigmoid", "sigmoid")),
        ("handmade", "the one made by hand", _embedded(_handmade(), "sigmoid", "sigmoid")),
        ("edges", "trained, of edges", _embedded(pretrained("edges"), "sigmoid", "sigmoid")),
        (
            "components",
            "trained, of edges and components",
            _embedded(pretrained("components"), "sigmoid", "sigmoid"),
        ),
    ]
    if params is not None:
        _check(params)
        own = _embedded(params, as_name(squash), as_name(last_squash))
        same = [network for network in networks if network[2] == own]
        others = [network for network in networks if network[2] != own]
        networks = (same or [("yours", "your network", own)]) + others
    given = {
        "networks": networks,
        "reasons": {
            "handmade": [
                [
                    [name, f"Made by hand to look for: {looks_for}."]
                    for name, (looks_for, *_) in neurons.items()
                ]
                for neurons in (FIRST, SECOND, THIRD)
            ],
            "components": [
                [],
                [
                    [name, f"Trained to detect this component of digits: {name}."]
                    for name in COMPONENTS
                ],
            ],
        },
        "pairs": {name: pair[:2] for name, pair in PAIRS.items()},
        "strokes": {
            "hand": [(name, *limits) for name, limits in HAND.items()],
            "ways": [[way.strokes for way in digit] for digit in GLYPHS],
            "often": math.lcm(*map(len, GLYPHS)),
        },
    }
    script = "\n".join(f"// {name}.js\n{text}" for name, text in _modules("main", {}).items())
    script = script.replace("\nexport ", "\n")
    squashes = (f"{name}: {foreign.javascript}" for name, foreign in FOREIGN.items())
    script = script.replace("sigmoid: each(sigmoid)", ", ".join(squashes))
    text = _read("page.html")
    for place, part in (
        ("/* style.css */", _read("style.css")),
        ('id="given">{}', 'id="given">' + json.dumps(given, separators=(",", ":"))),
        ("/* main.js */", "\n" + script),
    ):
        text = text.replace(place, part)
    return Page(text)


def _handmade() -> Params:
    """What `jaxnet.handmade` returns, which takes longer to compute than all else here."""
    with as_file(files("jaxnet._page") / "web" / "handmade.safetensors") as path:
        return load(path)[0]


def _check(params: Params) -> None:
    check_params(params)
    if (sizes := (params[0][0].shape[1], len(params[-1][1]))) != (SIZES[0], SIZES[-1]):
        raise ValueError(
            f"Expected a network from {SIZES[0]} pixels to ten digits; got one with "
            "{} inputs and {} outputs instead.".format(*sizes)
        )
    leaves = jax.tree.leaves(params)
    if not all(np.size(leaf) for leaf in leaves):
        raise ValueError("Expected neurons in every layer; got an empty layer instead.")
    with np.errstate(over="ignore"):
        finite = all(np.isfinite(np.asarray(leaf).astype(np.float32)).all() for leaf in leaves)
    if not finite:
        raise ValueError(
            "Expected weights and biases finite in float32; got larger ones or NaN instead."
        )


def _embedded(params: Params, squash: str, last_squash: str) -> dict[str, Any]:
    layers = [{"weights": _base64(w, "<f4"), "biases": _base64(b, "<f4")} for w, b in params]
    return {"layers": layers, "squash": squash, "lastSquash": last_squash}


def _base64(array: ArrayLike, dtype: str) -> str:
    return base64.b64encode(np.asarray(array).astype(dtype).tobytes()).decode()


def _modules(name: str, found: dict[str, str]) -> dict[str, str]:
    """A script without its imports, after those that it imports."""
    text = _read(f"{name}.js")
    for other in _IMPORT.findall(text):
        if other not in found:
            _modules(other, found)
    found[name] = _IMPORT.sub("", text)
    return found


def _read(name: str) -> str:
    return (files("jaxnet._page") / "web" / name).read_text(encoding="utf-8")
