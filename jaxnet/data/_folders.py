"""Folders of pictures: which files are read, and which are passed over."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from jaxnet._util.files import FileError
from jaxnet.data._labels import is_label
from jaxnet.data.pictures._decode import SUFFIXES

_MOST_ENDINGS = 4  # named in a sentence


class Found(NamedTuple):
    """The files that a path stands for.

    Attributes:
        files: their paths.
        note: a sentence about what a folder has besides; None if it has nothing.
    """

    files: list[str]
    note: str | None = None


class _Folder:
    """The contents of a folder and of the subfolders that were entered."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.folders: list[str] = []  # not entered
        self.endings: Counter[str] = Counter()  # of other files
        self.n_hidden, self.n_links = 0, 0

    def add(self, path: str) -> None:
        """Adds what is in a folder."""
        with os.scandir(path) as entries:
            for entry in entries:
                is_picture = entry.name.lower().endswith(SUFFIXES)
                if entry.name.startswith("."):
                    self.n_hidden += is_picture
                elif entry.is_symlink() and os.path.isdir(entry):
                    self.n_links += 1
                elif entry.is_dir(follow_symlinks=False):
                    self.folders.append(str(Path(path, entry.name)))
                elif is_picture:
                    self.files.append(str(Path(path, entry.name)))
                else:
                    self.endings[Path(entry.name).suffix.lower() or "no ending"] += 1

    def note(self, path: str) -> str | None:
        """A sentence about what is passed over, and why."""
        named = ", ".join(f"{n:,} {name}" for name, n in self.endings.most_common(_MOST_ENDINGS))
        named += ", …" if len(self.endings) > _MOST_ENDINGS else ""
        parts = [
            f"{_number(n, thing)}{about}"
            for n, thing, about in (
                (sum(self.endings.values()), "file", f" of other kinds ({named:.80})"),
                (self.n_hidden, "hidden picture", ""),
                (self.n_links, "link", " to folders"),
                (len(self.folders), "folder", " (recursive=True goes into them)"),
            )
            if n
        ]
        return f"{path}: passed over {', '.join(parts)}." if parts else None


def pictures_in(path: str, *, recursive: bool = False) -> Found:
    """The pictures in a folder, or in its subfolders if these are named for what they show."""
    # Folders as `own/3` are entered if there are no pictures beside them; all others, too, if it is
    # recursive.
    found = _Folder()
    found.add(path)
    entered = [folder for folder in found.folders if is_label(os.path.basename(folder))]
    while recursive and found.folders:
        found.add(found.folders.pop())
    if not recursive and not found.files:
        found.folders = [folder for folder in found.folders if folder not in entered]
        for folder in entered:
            found.add(folder)
    note = found.note(path)
    if not found.files:
        rest = note.removeprefix(f"{path}: ") if note else ""
        says = f"no pictures in this folder ({', '.join(SUFFIXES)})"
        raise FileError(f"{path}: {says}{f'; {rest}' if rest else '.'}")
    return Found(sorted(found.files), note)


def _number(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' if n > 1 else ''}"
