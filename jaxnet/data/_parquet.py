"""Images in a column of a Parquet file, read a few thousand rows at a time.

Source of the format: Apache Parquet, whose files are divided into groups of rows, which may be of
any size. Read by pyarrow, which is imported here where it is needed.
"""

import math
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import accumulate
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet.data._arrays import MOST_FROM_ONE_BYTE, File, reopen, spread, white_of
from jaxnet.data._labels import COLUMNS as LABELS
from jaxnet.data._labels import as_labels
from jaxnet.data._rows import (
    AT_ONCE,
    Numbered,
    Part,
    Rows,
    at_once,
    checked,
    decoded,
    to_float32,
    together,
)
from jaxnet.data.pictures._decode import is_picture
from jaxnet.data.pictures._files import decode

MAGIC = b"PAR1"
_OPTIONS = {"pre_buffer": False, "buffer_size": 2**20, "page_checksum_verification": True}
_LABELS_AT_ONCE = 65_536
_BATCH = 1_024  # the most rows: pyarrow needs eight bytes for each byte on the way
_SMALL = 2**28  # bytes of images that are unpacked from a file of any size
IMAGE_COLUMNS = ("image", "images", "pixels")
_NAMES = f"{', '.join(IMAGE_COLUMNS[:-1])} or {IMAGE_COLUMNS[-1]}"


def open_parquet(file: File) -> Part:
    """Finds the column of images in a Parquet file."""
    # It is called `image`, `images` or `pixels`, or is the only one that can be of images: lists of
    # all pixels or of one for each row, integers or floats; a byte for each pixel; a picture's
    # bytes, alone or as the field `bytes` of a struct, as the data sets of Hugging Face have it.
    *_, parquet = _pyarrow()
    with _damage_named(file.name), reopen(file) as opened:
        table = parquet.ParquetFile(opened, **_OPTIONS)
        metadata, schema = table.metadata, table.schema_arrow
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        sizes = [group.num_rows for group in groups]
        if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
            raise FileError(f"{file.name}: this Parquet file is damaged (its numbers of rows).")
        # Of the columns themselves, pyarrow may abort the process over damaged metadata.
        n_bytes = sum(max(group.total_byte_size, 0) for group in groups)
    column = image_column(schema, file.name, file.side)
    lists = _kind(schema.field(column).type, file.side)
    n = sum(sizes)
    if n * file.side**2 > max(MOST_FROM_ONE_BYTE * file.size, _SMALL):
        raise FileError(
            f"{file.name}: declares {n:,} images in {file.size:,} bytes, more than fit into them."
        )
    several = AT_ONCE if lists else at_once(n, n_bytes)
    held = _Batches(file, metadata, [0, *accumulate(sizes)], column, min(several, _BATCH))

    with _damage_named(file.name):
        some = (batch for rows in spread(n) for _, batch in held.between(*rows))
        numbers = (_numbers(batch, lists, file.side) for batch in some)
        white, note = white_of(file, lambda: np.concatenate([np.empty(0, np.uint8), *numbers]))

    def read(start: int, stop: int, over: Event | None = None) -> Rows:
        parts: list[Rows] = []
        with _damage_named(file.name):
            for first, batch in held.between(start, stop):
                names = Numbered(file.name, range(first, first + len(batch)))
                parts.append(column_images(batch, names, file.side, over, white))
        return together(parts, file.side)

    floats = file.name if white or _of_floats(schema, column) else None
    return Part(n, read, several, floats, note and f"{file.name}: {note}.")


def read_labels(file: File) -> NDArray[np.uint8]:
    """Loads the column of labels in a Parquet file: integers, or texts of digits."""
    pyarrow, _, parquet = _pyarrow()
    values: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    with _damage_named(file.name), reopen(file) as opened:
        table = parquet.ParquetFile(opened, **_OPTIONS)
        names, n = table.schema_arrow.names, table.metadata.num_rows
        column = next((name for name in LABELS if name in names), None)
        if column is None or names.count(column) > 1:
            raise FileError(
                f"{file.name}: expected one column called {', '.join(LABELS)}; got "
                f"{', '.join(map(repr, names)):.200}."
            )
        if n > max(MOST_FROM_ONE_BYTE * file.size, _SMALL):
            raise FileError(f"{file.name}: declares {n:,} labels in {file.size:,} bytes.")
        for batch in table.iter_batches(_LABELS_AT_ONCE, columns=[column], use_threads=False):
            part = batch.column(0)
            if pyarrow.types.is_dictionary(part.type):
                part = part.dictionary_decode()
            try:
                part = part.cast(pyarrow.int64())
            except pyarrow.ArrowException as error:
                raise FileError(
                    f"{file.name}: expected integers in the column {column!r}; got "
                    f"{part.type!s:.80}."
                ) from error
            if part.null_count:
                raise FileError(f"{file.name}: the column {column!r} has rows without a label.")
            values.append(as_labels(part.to_numpy(), file.name))
    return np.concatenate(values)


def read_names(file: File) -> list[list[str]]:
    """The columns of texts and integers beside the labels: one may name pictures."""
    pyarrow, _, parquet = _pyarrow()
    kinds = pyarrow.types
    with _damage_named(file.name), reopen(file) as opened:
        table = parquet.ParquetFile(opened, **_OPTIONS)
        fields = [field for field in table.schema_arrow if field.name not in LABELS]
        names = [f.name for f in fields if kinds.is_string(f.type) or kinds.is_integer(f.type)]
        columns: list[list[str]] = [[] for _ in names]
        for batch in table.iter_batches(_LABELS_AT_ONCE, columns=names, use_threads=False):
            for column, part in zip(columns, batch.columns, strict=True):
                column += map(str, part.to_pylist())
    return columns


def column_images(
    column: Any,
    names: Sequence[str],
    side: int,
    over: Event | None = None,
    white: int | None = None,
) -> Rows:
    """Converts an Arrow array of images, as they are in Parquet files."""
    lists = _kind(column.type, side)
    if lists is None:
        raise ValueError(f"Expected a column of images; got {column.type!s:.200}.")
    if lists:
        return _lists(column, lists, names, white)
    return _bytes(column, names, side, over, white)


class _Batches:
    """Reads one column sequentially, in batches; restarts only for earlier rows."""

    def __init__(
        self, file: File, metadata: Any, starts: Sequence[int], column: str, size: int
    ) -> None:
        self.file, self.metadata, self.starts = file, metadata, starts
        self.column, self.size = column, size
        self.batches: Iterator[Any] = iter(())
        self.batch: Any = ()  # the newest, and its first row
        self.first = starts[-1]

    def between(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """The rows of a range, in pieces, each with the number of its first row."""
        with reopen(self.file):  # which raises if it has been written to
            pass
        if start < self.first:
            self._begin(start)
        while start < stop:
            end = self.first + len(self.batch)
            if start < end:
                until = min(stop, end)
                yield start, self.batch.slice(start - self.first, until - start)
                start = until
            else:
                self.first, self.batch = end, self._next()

    def _begin(self, start: int) -> None:
        """Begins with the group of rows that a row is in."""
        group = bisect_right(self.starts, start) - 1
        with reopen(self.file) as opened:
            if isinstance(self.file.place, str):
                opened = _pyarrow()[0].OSFile(self.file.place)
            table = _pyarrow()[2].ParquetFile(opened, metadata=self.metadata, **_OPTIONS)
        self.batches = table.iter_batches(
            self.size,
            row_groups=range(group, self.metadata.num_row_groups),
            columns=[self.column],
            use_threads=False,
        )
        self.first, self.batch = self.starts[group], self._next()

    def _next(self) -> Any:
        batch = next(self.batches, None)
        if batch is None:
            raise FileError(f"{self.file.name}: this Parquet file is cut short.")
        return batch.column(0)


def image_column(schema: Any, name: str, side: int) -> str:
    """Finds the column of images in a table of Arrow's."""
    expected = (
        f"lists of {side**2} or of {side} times {side} numbers (integers or floats), or of bytes"
    )
    kinds = {field.name: _kind(field.type, side) for field in schema}
    if {"image", "digit"} <= {*kinds} and {"activation", "activations"} & {*kinds}:
        raise FileError(f"{name}: these are answers of jaxnet's, not images.")
    named = [name for name in IMAGE_COLUMNS if name in kinds]
    fitting = [name for name, kind in kinds.items() if kind is not None]
    if not named and len(fitting) != 1:
        raise FileError(
            f"{name}: expected a column called {_NAMES}, or only one that can be of images; got "
            f"{', '.join(map(repr, kinds)):.200}."
        )
    column = (named or fitting)[0]
    if len(schema.get_all_field_indices(column)) > 1:
        raise FileError(f"{name}: expected one column called {column!r}; got several.")
    if kinds[column] is None:
        got = str(schema.field(column).type)
        raise FileError(f"{name}: expected {expected} in the column {column!r}; got {got:.200}.")
    return column


def _kind(type_: Any, side: int) -> tuple[int, ...] | None:
    """The lengths of an image column's nested lists, outermost first; None for other columns."""
    types = _pyarrow()[0].types
    encoded = types.is_struct(type_) and type_.get_field_index("bytes") >= 0
    content = type_.field("bytes").type if encoded else type_
    of_bytes = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    if any(is_such(content) for is_such in of_bytes):
        return ()
    declared: list[int] = []
    while types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        declared.append(type_.list_size if types.is_fixed_size_list(type_) else -1)
        type_ = type_.value_type
    for lists in ((side**2,), (side, side)):
        fits = len(declared) == len(lists) and all(
            d in (-1, n) for d, n in zip(declared, lists, strict=True)
        )
        if fits and (types.is_integer(type_) or types.is_floating(type_)):
            return lists
    return None


def _of_floats(schema: Any, column: str) -> bool:
    """Whether a column holds lists of floats; binary columns may hold pictures or pixels."""
    type_ = schema.field(column).type
    while hasattr(type_, "value_type"):
        type_ = type_.value_type
    return _pyarrow()[0].types.is_floating(type_)


def _lists(array: Any, lists: tuple[int, ...], names: Sequence[str], white: int | None) -> Rows:
    """Images from lists; nulls and wrong lengths are errors of their rows."""
    pyarrow, compute, _ = _pyarrow()
    good = _fits(array, lists)
    lengths = compute.list_value_length(array)
    if not good.all():
        array = array.filter(pyarrow.array(good))
    for _ in lists:
        array = array.flatten()
    images = values = array.to_numpy(zero_copy_only=False).reshape(-1, math.prod(lists))
    if not good.all():
        images = np.zeros((len(names), values.shape[1]), values.dtype)
        images[good] = values
    rows = checked(images, names, white)
    for row in np.flatnonzero(~good).tolist():
        n = lengths[row].as_py()
        inside = "null or another length inside"
        got = inside if n == lists[0] else "null" if n is None else f"{n:,}"
        wanted = " lists of ".join(map(str, lists))
        rows.errors[row] = f"{names[row]}: expected a list of {wanted} numbers; got {got}."
    return rows


def _numbers(array: Any, lists: tuple[int, ...] | None, side: int) -> NDArray[Any]:
    """All pixels of a column that are in lists or in bytes, in no order."""
    if lists:
        for _ in lists:
            array = array.flatten()
        return array.to_numpy(zero_copy_only=False)
    raw = [value for value in _in_bytes(array) if len(value) == side**2]
    return np.frombuffer(b"".join(raw), np.uint8)


def _in_bytes(array: Any) -> list[bytes]:
    """The bytes of each row, of none where there are none."""
    pyarrow, compute, _ = _pyarrow()
    if pyarrow.types.is_struct(array.type):
        array = compute.struct_field(array, "bytes")
    return [value or b"" for value in array.to_pylist()]


def _fits(array: Any, lists: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether each element is a list with these nested lengths and no nulls."""
    if not lists:
        return np.asarray(array.is_valid()) if array.null_count else np.ones(len(array), bool)
    n = np.asarray(_pyarrow()[1].list_value_length(array).fill_null(-1))
    inside = _fits(array.flatten(), lists[1:])
    good = n == lists[0]
    if not inside.all():
        of = np.repeat(np.arange(len(n)), n.clip(0))
        good[of[~inside]] = False
    return good


def _bytes(
    array: Any, names: Sequence[str], side: int, over: Event | None, white: int | None
) -> Rows:
    """Images from bytes: pictures, detected by their first bytes, or a byte for each pixel."""
    raw: list[int] = []
    pictures: list[int] = []
    errors: dict[int, str] = {}
    values = _in_bytes(array)
    for row, value in enumerate(values):
        if is_picture(value):
            pictures.append(row)
        elif len(value) == side**2:
            raw.append(row)
        else:
            got = f"{len(value):,} other bytes" if value else "none"
            errors[row] = (
                f"{names[row]}: expected a picture's bytes or {side**2} pixels; got {got}."
            )
    pixels = np.frombuffer(b"".join(values[row] for row in raw), np.uint8).reshape(-1, side**2)
    rows = checked(pixels, [names[row] for row in raw], white)
    errors |= {raw[at]: says for at, says in rows.errors.items()}
    images = np.zeros((len(names), side**2), np.float32 if pictures else rows.images.dtype)
    images[raw] = to_float32(rows.images) if pictures else rows.images
    if pictures:
        several = decoded(
            lambda at, room: decode(
                BytesIO(values[pictures[at]]), names[pictures[at]], room, side=side
            ),
            [names[row] for row in pictures],
            side,
            over,
        )
        images[pictures] = several.images
        errors |= {pictures[at]: says for at, says in several.errors.items()}
    return Rows(images, names, errors)


@contextmanager
def _damage_named(name: str) -> Generator[None]:
    """Turns any pyarrow error about a damaged file into one sentence."""
    try:
        yield
    except (FileError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileError(f"{name}: this Parquet file is damaged.") from error


def _pyarrow() -> tuple[Any, Any, Any]:
    try:
        import pyarrow
        from pyarrow import compute, parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading Parquet files needs pyarrow: pip install 'jaxnet-digits[parquet]'"
        ) from error
    return pyarrow, compute, parquet
