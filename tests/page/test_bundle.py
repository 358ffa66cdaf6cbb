"""The page's JavaScript modules, which are bundled into one script."""

import re
from collections import Counter
from pathlib import Path

import jaxnet

WEB = Path(jaxnet.__file__).parent / "_page" / "web"
TOP_LEVEL = re.compile(r"^(?:export )?(?:const|let|function|class) (\w+|[\[{][^=]*[\]}])", re.M)


def names(module):
    """The names that a module declares at its top level."""
    for declared in TOP_LEVEL.findall(module.read_text()):
        yield from re.findall(r"\w+", declared)


def test_no_names_clash():
    modules = sorted(WEB.glob("*.js"))
    declared = Counter(name for module in modules for name in names(module))
    assert len(declared) > 50
    assert {name: n for name, n in declared.items() if n > 1} == {}
