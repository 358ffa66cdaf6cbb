"""Random changes to bytes, to numbers in headers, and to what JSON describes."""

import json
from copy import deepcopy

NUMBERS = (0, 1, 2, 3, 27, 28, 29, 127, 128, 255, 256, 783, 784, 785, 2**15, 2**16 - 1, 2**16,
           2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**64 - 1)  # fmt: skip
VALUES = (
    *(None, True, False, 0, -1, 1, 784, 10**6, 10**12, 2**63, 1e308, float("nan"), "", "a"),
    *("\udcff", "0.weights", "F32", "I8", "relu", [], [[]], {}, {"a": 1}, [0], [784, 16]),
)


def of_bytes(chance, content, others=(b"",)):
    """One to four random changes."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        chance.choice(_CHANGES)(chance, content, chance.choice(others))
    return bytes(content)


def _at(chance, content):
    # Headers are where formats keep their promises.
    near = chance.random() < 0.5
    return chance.randrange(min(len(content), 200) if near else len(content)) if content else 0


def _flip(chance, content, other):
    if content:
        content[_at(chance, content)] ^= 1 << chance.randrange(8)


def _set(chance, content, other):
    if content:
        content[_at(chance, content)] = chance.randrange(256)


def _number(chance, content, other):
    width, order = chance.choice((1, 2, 4, 8)), chance.choice(("little", "big"))
    at = _at(chance, content)
    value = chance.choice(NUMBERS) % 256**width
    content[at : at + width] = value.to_bytes(width, order)


def _count(chance, content, other):
    at = _at(chance, content)
    if content:
        content[at] = (content[at] + chance.choice((-1, 1, 16, -16))) % 256


def _delete(chance, content, other):
    at = _at(chance, content)
    del content[at : at + chance.choice((1, 2, 4, 8, 100, 1000))]


def _insert(chance, content, other):
    at = _at(chance, content)
    content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 8, 100)))


def _double(chance, content, other):
    at, n = _at(chance, content), chance.choice((1, 4, 16, 200))
    content[at:at] = content[at : at + n] * chance.choice((1, 2, 50))


def _cut(chance, content, other):
    del content[_at(chance, content) :]


def _move(chance, content, other):
    one, two, n = _at(chance, content), _at(chance, content), chance.choice((1, 4, 16, 100))
    content[one : one + n] = content[two : two + n]


def _splice(chance, content, other):
    at = _at(chance, content)
    content[at:] = other[_at(chance, other) :]


_CHANGES = (_flip, _set, _number, _count, _delete, _insert, _double, _cut, _move, _splice)


def of_json(chance, text):
    """A value, a key or an entry of a JSON text changed; the rest is valid."""
    tree = json.loads(text)
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = [*_places(tree)]
        if not places:
            break
        owner, key = chance.choice(places)
        what = chance.randrange(6)
        if what == 0:
            del owner[key]
        elif what == 1 and isinstance(owner, dict):
            owner[chance.choice(("a", "", "0.weights", "1.weights", "__metadata__"))] = deepcopy(
                owner[key]
            )
        elif what == 2 and isinstance(owner[key], int):
            owner[key] += chance.choice((-1, 1, 784, -(10**6), 2**40))
        elif what == 3 and isinstance(owner, list):
            owner += deepcopy(owner[:5])
        elif what == 4:
            other, at = chance.choice(places)
            owner[key] = deepcopy(other[at])
        else:
            owner[key] = deepcopy(chance.choice(VALUES))
    return json.dumps(tree)


def _places(tree):
    if isinstance(tree, dict | list):
        for key in [*tree] if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])
