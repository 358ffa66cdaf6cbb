"""Pictures in files of their own, of which many are decoded together."""

from collections.abc import Sequence
from functools import partial
from threading import Event

from jaxnet.data._arrays import File, reopen
from jaxnet.data._rows import Part, Rows, at_once, decoded
from jaxnet.data.pictures import Digits
from jaxnet.data.pictures._decode import Room
from jaxnet.data.pictures._files import decode
from jaxnet.data.pictures._find import thumbnails


def side_by_side(files: Sequence[File], several: bool) -> Part:
    """Consecutive pictures as one part, to decode them in parallel."""
    n_at_once = at_once(len(files), sum(max(file.size, 0) for file in files))
    read = partial(_read_pictures, files, several)
    return Part(len(files), read, n_at_once, files[0].name, pictures=True)


def _read_pictures(
    files: Sequence[File], several: bool, start: int, stop: int, over: Event | None
) -> Rows:
    files = files[start:stop]

    def picture(at: int, room: Room | None) -> Digits:
        with reopen(files[at]) as opened:
            opened.seek(0)
            return decode(opened, files[at].name, room, several=several, side=files[at].side)

    stored = [
        (file.place if isinstance(file.place, str) else "", file.size, file.mtime_ns)
        for file in files
    ]
    names, side = [file.name for file in files], files[0].side
    return decoded(picture, names, side, over, thumbnails(stored, side))
