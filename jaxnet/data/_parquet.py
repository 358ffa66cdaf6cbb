"""Images in a column of a Parquet file, read one row group at a time.

Source of the format: Apache Parquet, whose files are divided into groups of rows. Read by
pyarrow, which is imported here where it is needed.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import accumulate, pairwise
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet.data._arrays import File, reopen
from jaxnet.data._rows import Numbered, Part, Rows, at_once, checked, decoded, to_float32, together
from jaxnet.data.pictures import decode, is_picture

MAGIC = b"PAR1"
COLUMNS = ("image", "images", "pixels")


def open_parquet(file: File) -> Part:
    """Finds the column of images in a Parquet file.

    It is called `image`, `images` or `pixels`, or is the only one that can be of images: lists
    of 784 numbers or of 28 lists of 28, uint8 or floats; 784 bytes; a picture's bytes, alone or
    as the field `bytes` of a struct, as the data sets of Hugging Face have it.
    """
    *_, parquet = _pyarrow()
    open_table = partial(parquet.ParquetFile, pre_buffer=False, page_checksum_verification=True)
    with _damage_named(file.name), reopen(file) as opened:
        table = open_table(opened)
        metadata, schema = table.metadata, table.schema_arrow
        sizes = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
        if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
            raise FileError(f"{file.name}: this Parquet file is damaged (its numbers of rows).")
    starts = [0, *accumulate(sizes)]
    column, lists = _column(schema, file.name)
    held: dict[int, Any] = {}

    def group(g: int) -> Any:
        if g not in held:
            held.clear()
            with _damage_named(file.name), reopen(file) as opened:
                table = open_table(opened, metadata=metadata).read_row_group(g, columns=[column])
                if len(table) != sizes[g]:
                    raise FileError(f"{file.name}: the group of rows {g} is cut short.")
                held[g] = table.column(0)
        return held[g]

    def read(start: int, stop: int, over: Event | None = None) -> Rows:
        parts: list[Rows] = []
        for g, (first, end) in enumerate(pairwise(starts)):
            at, until = max(start, first), min(stop, end)
            if at < until:
                values = group(g).slice(at - first, until - at)
                parts += _chunks(values, lists, Numbered(file.name, range(at, until)), over)
        return together(parts)

    part = Part(starts[-1], read, floats=file.name if _of_floats(schema, column) else None)
    if lists:
        return part
    return part._replace(at_once=at_once(part.n, _n_bytes(metadata, column)))


def _chunks(
    column: Any, lists: tuple[int, ...], names: Numbered, over: Event | None
) -> Iterator[Rows]:
    """Yields images chunk by chunk; combined, pictures could exceed Arrow's index range."""
    for chunk in column.chunks:
        of_chunk, names = names[: len(chunk)], names[len(chunk) :]
        yield _lists(chunk, lists, of_chunk) if lists else _bytes(chunk, of_chunk, over)


def _column(schema: Any, name: str) -> tuple[str, tuple[int, ...]]:
    """The name of the image column, and the lengths of its nested lists."""
    expected = "lists of 784 or of 28 times 28 numbers (uint8 or floats), or of bytes"
    kinds = {field.name: _kind(field.type) for field in schema}
    named = [name for name in COLUMNS if name in kinds]
    fitting = [name for name, kind in kinds.items() if kind is not None]
    if not named and len(fitting) != 1:
        raise FileError(
            f"{name}: expected a column called {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}, or only "
            f"one that can be of images; got {', '.join(map(repr, kinds)):.200}."
        )
    column = (named or fitting)[0]
    if len(schema.get_all_field_indices(column)) > 1:
        raise FileError(f"{name}: expected one column called {column!r}; got several.")
    kind = kinds[column]
    if kind is None:
        got = str(schema.field(column).type)
        raise FileError(f"{name}: expected {expected} in the column {column!r}; got {got:.200}.")
    return column, kind


def _kind(type_: Any) -> tuple[int, ...] | None:
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
    for lists in ((784,), (28, 28)):
        fits = len(declared) == len(lists) and all(
            d in (-1, n) for d, n in zip(declared, lists, strict=True)
        )
        if fits and (types.is_uint8(type_) or types.is_floating(type_)):
            return lists
    return None


def _of_floats(schema: Any, column: str) -> bool:
    """Whether a column holds lists of floats; binary columns may hold pictures or pixels."""
    type_ = schema.field(column).type
    while hasattr(type_, "value_type"):
        type_ = type_.value_type
    return _pyarrow()[0].types.is_floating(type_)


def _n_bytes(metadata: Any, column: str) -> int:
    """The size of a column in bytes, including its fields."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    chunks = (group.column(n) for group in groups for n in range(group.num_columns))
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if f"{chunk.path_in_schema}.".startswith(f"{column}.")
    )


def _lists(array: Any, lists: tuple[int, ...], names: Sequence[str]) -> Rows:
    """Images from lists; nulls and wrong lengths are errors of their rows."""
    pyarrow, compute, _ = _pyarrow()
    good = _fits(array, lists)
    lengths = compute.list_value_length(array)
    if not good.all():
        array = array.filter(pyarrow.array(good))
    for _ in lists:
        array = array.flatten()
    values = array.to_numpy(zero_copy_only=False).reshape(-1, 784)
    images = np.zeros((len(names), 784), values.dtype)
    images[good] = values
    rows = checked(images, names)
    for row in np.flatnonzero(~good).tolist():
        n = lengths[row].as_py()
        inside = "null or another length inside"
        got = inside if n == lists[0] else "null" if n is None else f"{n:,}"
        wanted = " lists of ".join(map(str, lists))
        rows.errors[row] = f"{names[row]}: expected a list of {wanted} numbers; got {got}."
    return rows


def _fits(array: Any, lists: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether each element is a list with these nested lengths and no nulls."""
    if not lists:
        return np.asarray(array.is_valid())
    n = np.asarray(_pyarrow()[1].list_value_length(array).fill_null(-1))
    inside = _fits(array.flatten(), lists[1:])
    good = n == lists[0]
    if not inside.all():
        of = np.repeat(np.arange(len(n)), n.clip(0))
        good[of[~inside]] = False
    return good


def _bytes(array: Any, names: Sequence[str], over: Event | None) -> Rows:
    """Images from bytes: pictures, detected by their first bytes, or 784 pixels."""
    pyarrow, compute, _ = _pyarrow()
    if pyarrow.types.is_struct(array.type):
        array = compute.struct_field(array, "bytes")
    raw: list[int] = []
    pictures: list[int] = []
    errors: dict[int, str] = {}
    values: list[bytes] = [value or b"" for value in array.to_pylist()]
    for row, value in enumerate(values):
        if is_picture(value):
            pictures.append(row)
        elif len(value) == 784:
            raw.append(row)
        else:
            got = f"{len(value):,} other bytes" if value else "none"
            errors[row] = f"{names[row]}: expected a picture's bytes or 784 pixels; got {got}."
    images = np.zeros((len(names), 784), np.float32 if pictures else np.uint8)
    pixels = np.frombuffer(b"".join(values[row] for row in raw), np.uint8).reshape(-1, 784)
    images[raw] = to_float32(pixels) if pictures else pixels
    if pictures:
        several = decoded(
            lambda at: decode(BytesIO(values[pictures[at]]), names[pictures[at]]),
            [names[row] for row in pictures],
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
        says = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(f"{name}: this Parquet file is damaged ({says:.200}).") from error


def _pyarrow() -> tuple[Any, Any, Any]:
    try:
        import pyarrow
        from pyarrow import compute, parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading Parquet files needs pyarrow: pip install 'jaxnet-digits[parquet]'"
        ) from error
    return pyarrow, compute, parquet
