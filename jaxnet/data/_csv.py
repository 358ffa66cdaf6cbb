"""Images and labels in CSV files, one image per line, as Kaggle has MNIST.

A first pass finds the lines, so that any range can be read without those before it; pyarrow, which
is imported here where it is needed, turns their text into numbers.
"""

import re
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet._util.optional import package
from jaxnet.data._arrays import COARSE, SEEN, File, reopen, spread, white_of
from jaxnet.data._labels import COLUMNS, as_labels
from jaxnet.data._rows import Numbered, Part, Rows, together

_TEXT = bytes({*range(32, 127), *range(128, 256), 9, 10, 13})
_BOM = b"\xef\xbb\xbf"
_PIXEL = re.compile(r"[a-z_ ]*\d+([x_]\d+)?")  # pixel0, px_1, 28x28, pixel_7_7, 783
_NO_PIXELS = ("", "id", "index", "imageid", "unnamed: 0")  # names of a column of row numbers
_ANSWERS = ("image", "digit", "activation")  # how the columns of `jaxnet classify` begin
_EVERY = 256  # lines between two whose position is kept
_TOGETHER = 2**22  # bytes of text that are parsed at once
_LONGEST = 2**16  # bytes of a line
_LONGEST_NUMBER = 40
_FEW = 100  # lines, in which all labels may be the same
_HIGHEST = 61  # label, of EMNIST's
_PIECE = 2**20


class _Table(NamedTuple):
    """The lines and columns of a file.

    Attributes:
        file: the file.
        n: the number of rows, without the header.
        places: where every `_EVERY`-th row begins, and the end of the last.
        delimiter: between the columns.
        n_columns: how many there are.
        pixels: the numbers of the columns of an image, in order; None if there are none.
        label: the number of the column of labels, if there is one.
        names: of the columns; none without a header.
        note: what was decided without a header.
    """

    file: File
    n: int
    places: NDArray[np.int64]
    delimiter: bytes
    n_columns: int
    pixels: Sequence[int] | None
    label: int | None
    names: Sequence[str] = ()
    note: str | None = None


def begins_csv(head: bytes) -> bool:
    """Whether a file begins as CSV does: with columns, or one of labels, with or without a name."""
    head = head.removeprefix(_BOM)
    if not head or head.translate(None, _TEXT) or head.lstrip()[:1] in b"<{[#":
        return False
    first, second, *_ = [*head.lstrip().splitlines(), b"", b""]
    is_name = first.strip(b" \"'").decode(errors="replace").casefold() in COLUMNS
    label = second if is_name else first
    return any(d in first for d in b",;\t") or label.strip().isdigit()


def open_csv(file: File) -> Part:
    """Finds the images in a CSV file, and how their pixels are written."""
    table = _open(file)
    if tuple(name.split("_")[0] for name in table.names[:3]) == _ANSWERS:
        raise FileError(f"{file.name}: these are answers of jaxnet's, not images.")
    if table.pixels is None:
        raise FileError(
            f"{file.name}: holds labels, but no images ({file.side**2} columns of pixels)."
        )
    scale, of_floats, note = _scale(table)

    def read(start: int, stop: int, _: Event | None = None) -> Rows:
        texts = _texts(table, start, stop)
        return together([_images(table, *text, scale, of_floats) for text in texts], file.side)

    notes = "; ".join(filter(None, (table.note, note)))
    floats = file.name if of_floats else None
    return Part(table.n, read, floats=floats, note=notes and f"{file.name}: {notes}.")


def read_labels(file: File) -> NDArray[np.uint8]:
    """Loads the column of labels in a CSV file."""
    table = _open(file)
    if table.label is None:
        raise FileError(f"{file.name}: expected a column called {', '.join(COLUMNS)}.")
    labels = [np.empty(0, np.uint8)]
    for first, text, n in _texts(table, 0, table.n):
        values = _parsed(table, text, [table.label], "int64", n)
        if values is None:
            lines = enumerate(_lines(text), first)
            values = np.array([_label(table, row, line) for row, line in lines])
        labels.append(as_labels(values.reshape(-1), file.name))
    return np.concatenate(labels)


def read_names(file: File) -> list[list[str]]:
    """The columns beside the labels of a CSV file without pixels: one may name pictures."""
    table = _open(file)
    if table.pixels is not None or table.label is None or table.n_columns == 1:
        return []
    others = [n for n in range(table.n_columns) if n != table.label]
    columns: list[list[str]] = [[] for _ in others]
    for _, text, n in _texts(table, 0, table.n):
        values = _parsed(table, text, others, "string", n)
        if values is None:
            raise FileError(f"{file.name}: expected {table.n_columns} columns in every line.")
        for column, part in zip(columns, values.T.tolist(), strict=True):
            column += part
    return columns


def _label(table: _Table, row: int, line: bytes) -> int:
    """The label in a line that pyarrow could not parse."""
    assert table.label is not None
    says = numbers = _numbers(table, line, [table.label])
    if not isinstance(numbers, str):
        says = f"expected a label in column {table.label + 1}; got {numbers[0]}"
        if abs(numbers[0]) < 2**31 and numbers[0] == np.floor(numbers[0]):  # NaN is not
            return int(numbers[0])
    raise FileError(f"{table.file.name}[{row}]: {says}.")


def _open(file: File) -> _Table:
    with reopen(file) as opened:
        opened.seek(0)
        head = opened.read(_LONGEST + len(_BOM)).removeprefix(_BOM).lstrip(b"\r\n")
        first = head.split(b"\n", 1)[0].rstrip(b"\r")
        delimiter = max((b",", b";", b"\t"), key=first.count)
        cells = [cell.strip(b"\"' ") for cell in first.split(delimiter)]
        numbers = [*map(_is_number, cells)]
        # A picture's name and its label.
        is_pair = len(cells) == 2 and all(cells) and sum(numbers) == 1
        has_header = not (all(numbers) or is_pair) or _counts(cells)
        bom = opened.seek(0) or (len(_BOM) if opened.read(len(_BOM)) == _BOM else 0)
        places, n = _places(opened, file.name, bom, skip=int(has_header))
    names = [cell.decode(errors="replace").casefold() for cell in cells] if has_header else None
    table = _Table(file, n, places, delimiter, len(cells), None, None)
    if is_pair:
        return table._replace(label=numbers.index(True))
    if names is None:
        return _without_header(table)
    return _with_header(table, names)


def _with_header(table: _Table, names: Sequence[str]) -> _Table:
    """Finds the columns by their names."""
    labels = [names.index(name) for name in COLUMNS if name in names]
    label = labels[0] if labels else None
    pixels = [n for n, name in enumerate(names) if _PIXEL.fullmatch(name)]
    n_pixels = table.file.side**2
    if len(pixels) != n_pixels:
        pixels = [n for n, name in enumerate(names) if name not in (*COLUMNS, *_NO_PIXELS)]
    else:  # sorted by their numbers, in whatever order the columns are
        pixels.sort(key=lambda n: [*map(int, re.findall(r"\d+", names[n]))])
    if len(pixels) != n_pixels and (label is None or len(names) >= n_pixels):
        raise _no_images(table, f"{names[0]!r:.40}, …, {names[-1]!r:.40}")
    known = pixels if len(pixels) == n_pixels else None
    return table._replace(pixels=known, label=label, names=names)


def _without_header(table: _Table) -> _Table:
    """Without names, as many columns as an image has are pixels, and one more is the label."""
    n_pixels = table.file.side**2
    if table.n_columns == n_pixels:
        return table._replace(pixels=range(n_pixels))
    if table.n_columns == 1:
        return table._replace(label=0)
    if table.n_columns != n_pixels + 1:
        raise _no_images(table, "no header")
    # Guess which end column holds the labels: small integers that are not all equal.
    known: list[NDArray[Any]] = [np.zeros((0, 2), np.float32)]
    for start in {0, max(table.n - SEEN, 0)}:
        for _, text, n in _texts(table, start, min(start + SEEN, table.n)):
            values = _parsed(table, text, [0, n_pixels], "float32", n)
            known += [] if values is None else [values]
    ends = np.concatenate(known)
    whole = ((ends >= 0) & (ends == np.floor(ends))).all(0)  # also as 7.000e+00, as NumPy writes
    # Pixels that go up to 16 only are as small as letters' labels; then labels are digits.
    coarse = table.file.side <= COARSE
    small = whole & (ends.max(0, initial=0) <= (9 if coarse else _HIGHEST))
    fits = small & (np.ptp(ends, 0) > 0) if len(ends) else [False, False]
    if fits[1] and not fits[0]:
        label, where = n_pixels, "last"
    elif not (coarse and fits[1]) and (fits[0] or (small[0] and 0 < len(ends) < _FEW)):
        label, where = 0, "first"
    else:
        raise FileError(
            f"{table.file.name}: no header, and {n_pixels + 1} columns of which neither the "
            "first nor the last holds labels; add a header with a column called label."
        )
    pixels = [n for n in range(n_pixels + 1) if n != label]
    note = f"no header; the {where} of its {n_pixels + 1} columns is taken for the labels"
    return table._replace(pixels=pixels, label=label, note=note)


def _no_images(table: _Table, got: str) -> FileError:
    return FileError(
        f"{table.file.name}: expected {table.file.side**2} columns of pixels, and one called label "
        f"if the labels are known; got {table.n_columns:,} ({got})."
    )


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _counts(cells: Sequence[bytes]) -> bool:
    """Whether the header is 0, 1, 2, …, as pandas writes for unnamed columns."""
    return len(cells) > 2 and all(cell == b"%d" % n for n, cell in enumerate(cells))


def _places(opened: BinaryIO, name: str, begin: int, skip: int) -> tuple[NDArray[np.int64], int]:
    """Where every `_EVERY`-th row begins, and the end; and how many rows there are."""
    found: list[NDArray[np.int64]] = []
    opened.seek(begin)
    at, n, before = begin, -skip, b"\n"
    while True:
        piece = opened.read(_PIECE)
        if not piece and before == b"\n":
            break
        signs = np.frombuffer(before + (piece or b"\n"), np.uint8)  # the last line may lack an end
        ends = np.flatnonzero(signs[1:] == 10)
        starts = np.concatenate([[begin - at], ends[:-1] + 1])[: len(ends)]
        lengths = ends - starts
        starts = starts[(lengths > 1) | ((lengths == 1) & (signs[ends] != 13))]  # not blank ones
        rows = np.arange(n, n + len(starts))
        found.append(starts[(rows >= 0) & (rows % _EVERY == 0)] + at)
        begin, n = int(ends[-1]) + 1 + at if len(ends) else begin, n + len(starts)
        at, before = at + len(piece), piece[-1:] or b"\n"
        if max(lengths.max(initial=0), at - begin) > _LONGEST:
            raise FileError(f"{name}: has a line of more than {_LONGEST:,} bytes; this is not CSV.")
    return np.concatenate([*found, [at]]), max(n, 0)


def _texts(table: _Table, start: int, stop: int) -> Iterator[tuple[int, bytes, int]]:
    """The text of a range of rows in pieces, each with its first row and the number of rows."""
    while start < stop:
        first = start // _EVERY
        last = first + 1
        while last * _EVERY < stop and table.places[last + 1] - table.places[first] <= _TOGETHER:
            last += 1
        with reopen(table.file) as opened:
            opened.seek(table.places[first])
            text = opened.read(int(table.places[last] - table.places[first]))
        until = min(stop, last * _EVERY)
        if start % _EVERY or until % _EVERY:
            lines = _lines(text)[start - first * _EVERY : until - first * _EVERY]
            text = b"\n".join(lines)
        yield start, text, until - start
        start = until


def _lines(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line not in (b"", b"\r")]


def _parsed(
    table: _Table, text: bytes, columns: Sequence[int], kind: str, n: int
) -> NDArray[Any] | None:
    """Columns as numbers of a type, shape `(n, columns)`; None if they are no such numbers."""
    pa, csv = package("pyarrow", extra="parquet"), package("pyarrow.csv", extra="parquet")
    names = [f"{column}" for column in range(table.n_columns)]
    chosen = [names[column] for column in columns]
    type_ = getattr(pa, kind)()
    try:
        parsed = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(column_names=names, block_size=_PIECE),
            csv.ParseOptions(delimiter=table.delimiter.decode()),
            csv.ConvertOptions(
                column_types=dict.fromkeys(chosen, type_), include_columns=chosen, null_values=[]
            ),
        )
    except pa.ArrowException:
        return None
    if len(parsed) != n:
        return None
    return np.ascontiguousarray(np.array([column.to_numpy() for column in parsed.columns]).T)


def _numbers(table: _Table, line: bytes, columns: Sequence[int]) -> NDArray[np.float32] | str:
    """The numbers in some columns of a line; or what is wrong with it."""
    cells = [cell.strip(b" \r\"'") for cell in line.split(table.delimiter)]
    if len(cells) != table.n_columns:
        return f"expected {table.n_columns:,} columns; got {len(cells):,}"
    for column in columns:
        if len(cells[column]) > _LONGEST_NUMBER or not _is_number(cells[column]):
            return f"expected a number in column {column + 1}; got {_shown(cells[column])}"
    return np.array([float(cells[column]) for column in columns]).astype(np.float32)


def _shown(cell: bytes) -> str:
    return f"{cell[:20].decode(errors='replace')!r}" if cell else "nothing"


def _floats(table: _Table, text: bytes, n: int) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Parses lines to pixels; unparsable lines become zeros, each with an error message."""
    assert table.pixels is not None
    values = _parsed(table, text, table.pixels, "float32", n)
    errors: dict[int, str] = {}
    if values is None:
        values = np.zeros((n, len(table.pixels)), np.float32)
        lines = _lines(text)
        if len(lines) != n:
            raise FileError(f"{table.file.name}: this file has changed while it was read.")
        for row, line in enumerate(lines):
            numbers = _numbers(table, line, table.pixels)
            if isinstance(numbers, str):
                errors[row] = numbers
            else:
                values[row] = numbers
    return values, errors


def _scale(table: _Table) -> tuple[int, bool, str | None]:
    """The number for white, whether pixels are fractions, and a note, by the first rows."""
    assert table.pixels is not None
    # Of small images, from everywhere in the file: the first ones may be dark.
    ranges = spread(table.n) if table.file.side <= COARSE else [(0, min(table.n, SEEN))]
    known: list[NDArray[Any]] = [np.zeros(0, np.uint8)]
    for rows in ranges:
        for _, text, n in _texts(table, *rows):
            some = _parsed(table, text, table.pixels, "uint8", n)
            known.append((_floats(table, text, n)[0] if some is None else some).ravel())
    values = np.concatenate(known)
    values = values[np.isfinite(values)]
    white, note = white_of(table.file, lambda: values)
    whole, top = bool((values == np.floor(values)).all()), values.max(initial=0)
    # Fractions that go a little beyond 1 are no fractions of 255.
    if white or 0 < top <= (1 if whole else 2):
        return white or 1, True, note
    return 255, not whole, note


def _images(table: _Table, first: int, text: bytes, n: int, scale: int, of_floats: bool) -> Rows:
    """The images in some lines; bad ones are errors of their rows."""
    assert table.pixels is not None
    names = Numbered(table.file.name, range(first, first + n))
    values = None if of_floats else _parsed(table, text, table.pixels, "uint8", n)
    if values is not None:
        return Rows(values, names, {})
    values, wrong = _floats(table, text, n)
    low, high = values.min(1), values.max(1)
    good = (low >= 0) & (high <= scale)  # NaN is not
    if not of_floats:
        good &= (values == np.floor(values)).all(1)
    for row in np.flatnonzero(~good).tolist():
        kind = "numbers" if of_floats else "integers"
        wrong[row] = f"expected {kind} from 0 to {scale}; got {low[row]} to {high[row]}"
    values[[*wrong]] = 0
    images = values / np.float32(scale) if of_floats else values.astype(np.uint8)
    return Rows(images, names, {row: f"{names[row]}: {wrong[row]}." for row in sorted(wrong)})
