"""A guard against ZIP bombs in other frameworks' files."""

import os
import zipfile
from typing import BinaryIO

from jaxnet._util.files import FileError

_SMALL = 2**26  # bytes that a file of any size may unpack to
_TIMES = 4  # weights hardly shrink when they are packed


def check_archive(file: BinaryIO, path: str | os.PathLike[str]) -> None:
    """Raises if a ZIP archive unpacks to far more than its size; ignores other files."""
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception:  # not an archive, or a damaged one: whoever reads it will say so
        unpacked = 0
    file.seek(0)
    if unpacked > max(_TIMES * size, _SMALL):
        raise FileError(
            f"{path}: unpacks to {unpacked:,} bytes, too many for a network in {size:,} bytes."
        )
