"""The public face is small; a name in it has a full docstring, and a private function one line."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import jaxnet

PACKAGE = Path(jaxnet.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NEEDS = {"jaxnet.batch.cluster": "ray", "jaxnet.estimator": "sklearn"}


def module_of(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def is_face(path):
    return not any(part.startswith("_") for part in module_of(path).split(".")) and (
        "cli" not in path.parts and path.name != "__main__.py"
    )


def names_in(path):
    """The names that a module offers: those in `__all__`, or all without an underscore."""
    module = import_module(module_of(path))
    if not hasattr(module, "__all__"):
        tree, names = ast.parse(path.read_text()), []
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
                names += [alias.asname for alias in node.names if alias.asname]
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names += [
                    part.id
                    for target in targets
                    for part in ast.walk(target)
                    if isinstance(part, ast.Name)
                ]
    else:
        names = module.__all__
    public = [name for name in names if not name.startswith("_")]
    return [name for name in public if not isinstance(getattr(module, name), ModuleType)]


def faces():
    return [p for p in FILES if is_face(p) and find_spec(NEEDS.get(module_of(p), "jax"))]


def test_at_most_two_hundred_names():
    """In all modules together; one that two modules offer counts twice."""
    assert sum(len(names_in(path)) for path in faces()) <= 200


def public_definitions():
    """Where each public function or class is defined: module and name."""
    for path in faces():
        for name in names_in(path):
            thing = getattr(import_module(module_of(path)), name)
            yield getattr(thing, "__module__", None), getattr(thing, "__name__", name)


@pytest.fixture(scope="module")
def public():
    return {*public_definitions()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_functions_have_a_line(path, public):
    """A command's docstring is its help; a public class's methods are public, too."""
    module = module_of(path)
    if not find_spec(NEEDS.get(module, "jax")):
        pytest.skip(f"could not import {NEEDS[module]!r}")
    for top in ast.parse(path.read_text()).body:
        of_public_class = isinstance(top, ast.ClassDef) and (module, top.name) in public
        for node in ast.walk(top):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node is top and ((module, node.name) in public or node.name == "command"):
                continue
            if of_public_class and not node.name.startswith("_"):
                continue
            assert len((ast.get_docstring(node) or "").splitlines()) <= 1, (module, node.name)
