"""Named arrays as the bytes of a safetensors file, the same bytes each time."""

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save


def to_bytes(arrays: Mapping[str, NDArray[Any]], notes: Mapping[str, str]) -> bytes:
    """Serializes arrays and notes, in a fixed order; safetensors itself does not keep one."""
    content = save(dict(arrays), dict(notes))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(notes.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
