"""HDF5 files as Keras writes them, read from their bytes: groups, arrays of floats, one text.

HDF5's own library loops forever, or takes gigabytes, in some damaged files, and follows links to
other files. This reads what h5py writes by default, and nothing else: the first version of the
superblock and of groups, arrays in one piece. Anything else raises `Malformed`; truncated or
invalid bytes may also raise the errors of `struct`, slicing and decoding.

Source: the HDF5 File Format Specification, version 1.1 of which has all that is read here.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SPACE, _LINKS, _TYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _MORE, _GROUP = (
    *(0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x10, 0x11),
)
_FLOATS = {  # by size: the places and sizes of exponent and mantissa, and the bias
    2: ("<f2", (0, 16, 10, 5, 0, 10, 15)),
    4: ("<f4", (0, 32, 23, 8, 0, 23, 127)),
    8: ("<f8", (0, 64, 52, 11, 0, 52, 1023)),
}
_SOFT_LINK = 2
_MOST_MESSAGES = 10_000  # of one object, where a cycle would have no end


class Malformed(Exception):
    """Not HDF5, or HDF5 in a form that is not read here."""


def root_of(data: bytes) -> int:
    """The address of the root group; `members` finds everything else from there."""
    if data[:8] != _SIGNATURE or data[8] != 0 or (data[13], data[14]) != (8, 8):
        raise Malformed("not an HDF5 file of the first version")
    base, _, _, _, _, root = struct.unpack_from("<6Q", data, 24)
    if base:
        raise Malformed("an HDF5 file within another")
    return root


def members(data: bytes, place: int) -> dict[str, int]:
    """The places of what is in a group, by name; none in an array."""
    found = dict(_messages(data, place))
    if _LINKS in found or _LINK in found:  # which may lead to other files
        raise Malformed("a group of a later version")
    if _GROUP not in found:
        return {}
    tree, heap = struct.unpack("<2Q", found[_GROUP][:16])
    if data[heap : heap + 4] != b"HEAP":
        raise Malformed("no names of a group")
    names = struct.unpack_from("<Q", data, heap + 24)[0]
    return dict(_entries(data, tree, names, {tree}))


def text_of(data: bytes, place: int, name: str) -> str | None:
    """A group's attribute of one text."""
    for kind, body in _messages(data, place):
        if kind != _ATTRIBUTE:
            continue
        version, _, *sizes = struct.unpack("<2B3H", body[:8])
        at, parts = 8 + (version == 3), list[bytes]()
        for size in sizes:
            parts.append(body[at : at + size])
            at += -(-size // 8) * 8 if version == 1 else size
        if parts[0].rstrip(b"\0").decode() != name:
            continue
        if _shape(parts[2]) != ():
            raise Malformed("several texts")
        kind, size = parts[1][0] & 15, struct.unpack_from("<I", parts[1], 4)[0]
        if kind == 3:
            return body[at : at + size].rstrip(b"\0").decode()
        if kind == 9 and parts[1][1] & 15 == 1:
            return _from_heap(data, *struct.unpack("<IQI", body[at : at + 16])).decode()
        raise Malformed("no text")
    return None


def array_of(data: bytes, place: int) -> NDArray[Any]:
    """An array of floats, which shares the memory of the file."""
    found = dict(_messages(data, place))
    if _EXTERNAL in found or _FILTERS in found:
        raise Malformed("an array in another file, or in pieces")
    head, size = found[_TYPE], struct.unpack_from("<I", found[_TYPE], 4)[0]
    dtype, form = _FLOATS[size]
    if head[0] & 15 != 1 or head[1] & 1 or struct.unpack_from("<2H4BI", head, 8) != form:
        raise Malformed("no floats")
    shape, layout = _shape(found[_SPACE]), found[_LAYOUT]
    n_bytes = size
    for length in shape:
        n_bytes *= length
    if layout[0] != 3 or layout[1] not in (0, 1):
        raise Malformed("an array in pieces")
    if layout[1] == 0:
        within = layout[4 : 4 + n_bytes]
    else:
        begin = struct.unpack_from("<Q", layout, 2)[0]
        within = memoryview(data)[begin : begin + n_bytes] if begin < len(data) else b""
    if len(within) != n_bytes:
        raise Malformed("an array that goes beyond the file")
    return np.frombuffer(within, dtype).reshape(shape)


def _messages(data: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """What an object's header says: each message's kind and body."""
    version, _, _, _, size = struct.unpack_from("<2BH2I", data, place)
    if version != 1:
        raise Malformed("an object of a later version")
    blocks, n = [(place + 16, size)], 0
    while blocks:
        at, size = blocks.pop(0)
        end = min(at + size, len(data))
        while at + 8 <= end:
            kind, size, flags = struct.unpack_from("<2HB", data, at)
            body = data[at + 8 : at + 8 + size]
            n += 1
            if len(body) != size or flags & 2 or n > _MOST_MESSAGES:
                raise Malformed("a header that is not whole, or elsewhere")
            if kind == _MORE:
                blocks.append(struct.unpack("<2Q", body[:16]))
            else:
                yield kind, body
            at += 8 + size


def _entries(data: bytes, tree: int, names: int, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Names and places from a tree of them; `seen` keeps it from cycles."""
    if data[tree : tree + 5] != b"TREE\0":
        raise Malformed("no tree of names")
    level, n = struct.unpack_from("<BH", data, tree + 5)
    for child in struct.unpack_from(f"<{2 * n + 1}Q", data, tree + 24)[1::2]:
        if child in seen:
            raise Malformed("a cycle")
        seen.add(child)
        if level:
            yield from _entries(data, child, names, seen)
            continue
        if data[child : child + 4] != b"SNOD":
            raise Malformed("no node of names")
        for k in range(struct.unpack_from("<H", data, child + 6)[0]):
            name, place, kind = struct.unpack_from("<2QI", data, child + 8 + 40 * k)
            if kind != _SOFT_LINK:
                end = data.index(b"\0", names + name, names + name + 1000)
                yield data[names + name : end].decode(), place


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank = space[0], space[1]
    if version not in (1, 2) or rank > 2 or (version == 2 and space[3] == 2):
        raise Malformed("an array of another kind")
    return struct.unpack_from(f"<{rank}Q", space, 8 if version == 1 else 4)


def _from_heap(data: bytes, length: int, heap: int, index: int) -> bytes:
    """A text of any length, which lies among others."""
    if data[heap : heap + 4] != b"GCOL":
        raise Malformed("no heap of texts")
    at, end = heap + 16, heap + min(struct.unpack_from("<Q", data, heap + 8)[0], len(data))
    while at + 16 <= end:
        number, _, _, size = struct.unpack_from("<2HIQ", data, at)
        if number == index:
            return data[at + 16 : at + 16 + min(size, length)]
        if number == 0:
            break
        at += 16 + -(-size // 8) * 8
    raise Malformed("no such text")
