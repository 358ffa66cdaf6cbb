"""Who may know whom: rooms form layers without a cycle."""

import ast
import graphlib
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import jaxnet

PACKAGE = Path(jaxnet.__file__).parent
LAYERS = (  # a room imports only from the layers before its own
    {"_util", "network"},
    {"training", "inference", "design", "data", "formats"},
    {"analysis", "batch", "bench", "_pretrained"},
    {"runs", "plot", "_page"},
    {"estimator", "cli"},
    {"__init__", "__main__"},
)
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The modules of jaxnet that a file imports, and the names that it takes from each."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxnet":
            assert not node.level, path
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("jaxnet") for alias in node.names), path


def rooms_imported(path):
    for module, names in imported(path):
        yield from names if module == "jaxnet" else [module.split(".")[1]]


def graph():
    edges = {}
    for path in FILES:
        edges.setdefault(room_of(path), set()).update(rooms_imported(path))
    faces = jaxnet._ORIGIN
    for room, known in edges.items():  # `from jaxnet import page` knows the room of the page
        edges[room] = {faces.get(name, name).split(".")[0] for name in known} - {room}
    return edges


def test_rooms_are_few_and_all_in_a_layer():
    assert set(graph()) == set.union(*LAYERS)
    assert len(graph()) <= 18
    assert len(LAYERS) <= 6


def test_no_cycle():
    tuple(graphlib.TopologicalSorter(graph()).static_order())


@pytest.mark.compiled
@pytest.mark.parametrize("room", sorted(graph()))
def test_imports_from_lower_layers(room):
    mine = next(n for n, layer in enumerate(LAYERS) if room in layer)
    assert graph()[room] <= set.union(set(), *LAYERS[:mine])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_stay_in_their_files(path):
    """A room may use another's file `_name.py`, but no name that begins with an underscore."""
    for module, names in imported(path):
        for name in names:
            own_room = module.split(".")[1:2] == [room_of(path)]
            is_file = (PACKAGE.parent / module.replace(".", "/") / f"{name}.py").exists()
            assert not name.startswith("_") or (own_room and is_file), (module, name)


def test_no_name_hides_a_module():
    for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "jaxnet."):
        if name.endswith("__main__") or (name.endswith("cluster") and not find_spec("ray")):
            continue
        package, _, last = name.rpartition(".")
        module = import_module(name)
        assert getattr(import_module(package), last) is module, name


def test_the_lazy_face_is_the_typed_one():
    tree = ast.parse(Path(jaxnet.__file__).read_text())
    typed = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("jaxnet")
        for alias in node.names
    }
    assert sorted(typed) == jaxnet.__all__ == dir(jaxnet)
    for name, module in typed.items():
        if module == "jaxnet":
            assert getattr(jaxnet, name) is import_module(f"jaxnet.{name}")
        else:
            assert getattr(jaxnet, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        jaxnet.fitt  # noqa: B018


def test_files_are_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > 450} == {}
