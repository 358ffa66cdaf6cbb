"""The order of named layers: by the numbers in their names, by their shapes, or as declared."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

_STEPS = 10_000  # of the search; names that need more are ignored


def in_order(shapes: Mapping[str, Sequence[int]], *, declared: bool) -> list[str]:
    """Sorts the names of layers from the first layer to the last."""
    # Names that differ only in a number are sorted by it. Names such as fc1, fc2, out are put in
    # the one order in which each layer takes what the one before gives. Where several are possible,
    # the mapping's own order decides if it is the one in which the layers were declared.
    groups: dict[str, list[str]] = {}
    for name in shapes:
        groups.setdefault(re.sub(r"\d+", "0", name), []).append(name)
    numbered = [sorted(names, key=_numbers) for names in groups.values()]
    if len(numbered) < 2:
        return [name for names in numbered for name in names]
    said = in_one_line(shapes)
    if not all(len(shape) == 2 for shape in shapes.values()):
        raise ValueError(f"Expected weights of shape (out, in) in each layer; got {said:.200}.")
    found = _chains(shapes, numbered)
    if not found:
        raise ValueError(
            "Expected layers that each take as many inputs as the one before has outputs; found "
            f"no such order for {said:.200}."
        )
    if len(found) == 1:
        return found[0]
    if declared and _is_chain(shapes, [*shapes], numbered):
        return [*shapes]
    raise ValueError(
        f"Expected names or shapes that give the order of the layers; {said:.200} fit together in "
        "several. Number them, as in fc1, fc2, fc3."
    )


def in_one_line(names: Iterable[Any]) -> str:
    """Names for a message; a damaged file may have any characters in them."""
    return " ".join(", ".join(map(str, names)).split())


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _is_chain(
    shapes: Mapping[str, Sequence[int]], names: list[str], numbered: Collection[list[str]]
) -> bool:
    """Whether layers fit together in an order, which keeps that of the numbers."""
    fits = all(shapes[a][0] == shapes[b][1] for a, b in pairwise(names))
    return fits and all([n for n in names if n in group] == group for group in numbered)


def _chains(shapes: Mapping[str, Sequence[int]], numbered: Sequence[list[str]]) -> list[list[str]]:
    """Up to two orders in which layers fit together and which keep that of the numbers."""
    found: list[list[str]] = []
    stack: list[tuple[list[str], tuple[int, ...]]] = [([], (0,) * len(numbered))]
    for _ in range(_STEPS):
        if not stack or len(found) == 2:
            return found
        chain, taken = stack.pop()
        if len(chain) == len(shapes):
            found.append(chain)
        for n, group in enumerate(numbered):
            name = group[taken[n]] if taken[n] < len(group) else None
            if name and (not chain or shapes[chain[-1]][0] == shapes[name][1]):
                stack.append(([*chain, name], (*taken[:n], taken[n] + 1, *taken[n + 1 :])))
    raise ValueError(
        f"Expected names that give the order of the layers; got {in_one_line(shapes):.200}."
    )
