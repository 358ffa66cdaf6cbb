"""Paths of images: files, folders of pictures, and patterns such as `scans/**/*.png`."""

import fnmatch
import glob
import os
from collections.abc import Iterator
from contextlib import suppress

from jaxnet._util.files import FileError
from jaxnet.data._folders import Found, pictures_in

STDIN = "-"


def expand(
    path: str, without: str | os.PathLike[str] | None = None, *, recursive: bool = False
) -> list[str]:
    """Expands a path to files, as `open_inputs` does."""
    return find(path, without, recursive=recursive).files


def find(
    path: str, without: str | os.PathLike[str] | None = None, *, recursive: bool = False
) -> Found:
    """Expands a path to files, with a note of what a folder has besides."""
    path, _ = split_fragment(path)
    if path == STDIN:
        return Found([])
    if os.path.isdir(path):
        return pictures_in(path, recursive=recursive)
    if os.path.lexists(path) or not glob.has_magic(path):
        return Found([path])
    files = _matching(path)
    if without is not None:
        apart = os.path.join(os.path.realpath(without), "")
        folders = {folder: os.path.realpath(folder) for folder in map(os.path.dirname, files)}
        files = [
            file
            for file in files
            if not os.path.join(folders[os.path.dirname(file)], "").startswith(apart)
        ]
    if not files:
        raise FileError(f"{path}: no file has this name or matches it as a pattern.")
    return Found(sorted(files))


def split_fragment(path: str) -> tuple[str, str | None]:
    """Splits `mnist.npz#train` into the path and the part of the file, None without one."""
    file, sign, fragment = path.rpartition("#")
    if not file or not sign or os.path.lexists(path) or not fragment.isidentifier():
        return path, None
    return file, fragment


def _matching(pattern: str) -> list[str]:
    """The files that a pattern matches, as `glob.glob` would find them."""
    # But `**` does not follow links to folders, which may lead in circles; and a folder that may
    # not be read raises PermissionError.
    pattern = pattern.replace(os.sep, "/")
    rest = pattern.lstrip("/")
    # What the parts so far match: folders, and in the end files.
    found = {pattern.removesuffix(rest)}
    parts = [part for part in rest.split("/") if part]
    for part, is_last in zip(parts, [*[False] * (len(parts) - 1), True], strict=True):
        now: set[str] = set()
        for folder in found:
            if part == "**":
                below = {*_below(folder)}
                now |= {e for f in below for e in _entries(f, "*")} if is_last else below
            elif glob.has_magic(part):
                now |= {*_entries(folder, part)}
            else:
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.lstat(folder + part)
                    now.add(folder + part)
        found = now if is_last or part == "**" else {f"{f}/" for f in now if os.path.isdir(f)}
    return [file for file in found if not os.path.isdir(file)]


def _entries(folder: str, part: str) -> Iterator[str]:
    """What a part of a pattern matches in a folder; hidden entries only if it asks for them."""
    for entry in _scanned(folder):
        if fnmatch.fnmatch(entry.name, part) and (entry.name[0] != "." or part[0] == "."):
            yield folder + entry.name


def _below(folder: str) -> Iterator[str]:
    """A folder and all below it, but hidden ones and links."""
    left = [folder]
    while left:
        yield (folder := left.pop())
        left += [
            f"{folder}{entry.name}/"
            for entry in _scanned(folder)
            if entry.name[0] != "." and entry.is_dir(follow_symlinks=False)
        ]


def _scanned(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder; an empty list if it is not a folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder or ".") as entries:
        return [*entries]
    return []
