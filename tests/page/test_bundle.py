"""The page's JavaScript modules, which are bundled into one script."""

import re
from collections import Counter
from pathlib import Path

import jaxnet
from jaxnet._page import page
from jaxnet.network import SQUASHES

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


def test_all_modules_are_bundled():
    text = page().html
    for module in WEB.glob("*.js"):
        first = module.read_text(encoding="utf-8").split("\n")[0]
        assert text.count(first) == 1, module.name
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)


def test_all_elements_are_there():
    """Whatever a script looks up by its id or its name, the page has once."""
    html = (WEB / "page.html").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("*.js"))
    for attribute, pattern in (("id", r'byId\("([\w-]+)"\)'), ("data-is", r'find\("([\w-]+)"\)')):
        wanted = {*re.findall(pattern, scripts)}
        assert len(wanted) > 15
        assert {name for name in wanted if html.count(f'{attribute}="{name}"') != 1} == set()


def test_every_squash_has_a_formula():
    neuron = (WEB / "neuron.js").read_text(encoding="utf-8")
    formulas = re.search(r"const FORMULAS = \{(.*?)\n\};", neuron, re.DOTALL)[1]
    assert {*re.findall(r"^  (\w+):", formulas, re.MULTILINE)} == {*SQUASHES}
