"""Tables of answers, one row per image, written as CSV, JSON lines, Parquet or `.npy`."""

import json
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from jaxnet._util.files import FileError, check_free, replacing
from jaxnet._util.optional import package
from jaxnet.data._rows import Numbered, Places
from jaxnet.inference import Answers
from jaxnet.inference._confidence import UNSURE

BOX = ("left", "top", "right", "bottom")
_PARQUET = "pip install 'jaxnet-digits[parquet]'"
# Control characters but for tabs and new lines, and a backslash that looks like an escaped one.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\\(?=x[0-9a-f]{2})")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula
_ROW_GROUP = 131_072  # rows per row group of a Parquet file


class Table(NamedTuple):
    """Some rows of answers.

    Attributes:
        answers: digits and activations, all or only the largest.
        names: of the images.
        labels: the digits shown, if known.
        errors: why an image could not be read, by row; None if errors are not recorded.
        places: where in pictures the digits are, if any are in pictures.
        confidence: how likely each answer is right, from 0 to 1, if any are in pictures.
    """

    answers: Answers
    names: Sequence[str]
    labels: NDArray[Any] | None = None
    errors: Mapping[int, str] | None = None
    places: Places | None = None
    confidence: NDArray[np.float32] | None = None

    @property
    def n_inputs(self) -> int:
        """Number of images or pictures."""
        n = len(self.names)
        return n if self.places is None or not n else int(self.places.of[-1]) + 1

    @property
    def unsure(self) -> NDArray[np.bool_]:
        """Which answers are more likely wrong than right."""
        if self.places is None or self.confidence is None:
            return np.zeros(len(self.names), bool)
        return (self.confidence < UNSURE) | self.places.touching

    @property
    def without_digit(self) -> list[int]:
        """The rows that have no digit: images that could not be read, and digits that touch."""
        touching = [] if self.places is None else np.flatnonzero(self.places.touching).tolist()
        return sorted({*(self.errors or ()), *touching})


Write = Callable[[Table], object]


def json_lines(table: Table) -> Iterator[str]:
    """Formats each row as a line of JSON."""
    a = table.answers.activations
    if not np.isfinite(a).all():
        raise ValueError("JSON cannot hold an activation that is infinite or NaN.")
    begin, end = ("", "") if a.ndim == 1 else ("[", "]")
    boxes = None
    if table.places is not None:
        boxes = [f"[{', '.join(map(str, box))}]" for box in table.places.boxes.tolist()]
    columns = {
        "image": _quoted(table.names, json.dumps),
        "box": boxes,
        "digit": _digits(table, "null"),
        _name(table): _but_unread(table, "null", [f"{begin}{a}{end}" for a in _numbers(a, ", ")]),
        "confidence": _confidences(table, "null"),
        "unsure": _unsure(table),
        "label": None if table.labels is None else map(str, table.labels.tolist()),
        "error": _errors(table, json.dumps, "null"),
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    row = ", ".join(f'"{name}": %s' for name in columns)
    yield from map(f"{{{row}}}\n".__mod__, zip(*columns.values(), strict=True))


def check_ending(path: str | os.PathLike[str]) -> None:
    """Fails early if answers cannot be written to a file with this ending."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise FileError(
            f"{path}: answers are written as {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, not "
            f"{ending or 'this'}."
        )
    if ending == ".parquet":
        package("pyarrow.parquet", _PARQUET)


def write_answers(path: str | os.PathLike[str], table: Table) -> None:
    """Writes a table to a file, which appears whole or not at all."""
    check_ending(path)
    check_free(Path(path))
    n = len(table.names)
    with replacing(path) as file, WRITERS[Path(path).suffix.lower()](file, n, table) as write:
        write(table)


@contextmanager
def _write_csv(file: BinaryIO, n: int, like: Table) -> Generator[Write]:
    box = [] if like.places is None else BOX
    head = ",".join(["image", *box, "digit", *_columns(like), *_more(like)])
    file.write(f"{head}\r\n".encode())
    yield lambda table: file.write("".join(_csv_lines(table)).encode(errors="backslashreplace"))


@contextmanager
def _write_json_lines(file: BinaryIO, n: int, like: Table) -> Generator[Write]:
    yield lambda table: file.write("".join(json_lines(table)).encode())


@contextmanager
def _write_parquet(file: BinaryIO, n: int, like: Table) -> Generator[Write]:
    pa, parquet = package("pyarrow", _PARQUET), package("pyarrow.parquet", _PARQUET)
    schema = _arrow(like).schema
    repetitive = [name for name in ("digit", "label") if name in schema.names]
    options = {"compression": "zstd", "use_dictionary": repetitive}
    with parquet.ParquetWriter(file, schema, **options) as writer:
        held: list[Any] = []

        def flush() -> None:
            writer.write_table(pa.concat_tables(held))
            held.clear()

        def write(table: Table) -> None:
            held.append(_arrow(table))
            if sum(map(len, held)) >= _ROW_GROUP:
                flush()

        yield write
        if held:
            flush()


@contextmanager
def _write_npy(file: BinaryIO, n: int, like: Table) -> Generator[Write]:
    dtype = _record(like)
    if like.places is None:
        _npy_header(file, dtype, n)
        yield lambda table: file.write(_records(table, dtype).tobytes())
        return
    held: list[NDArray[Any]] = []  # the number of digits in pictures is known only at the end
    pictures = 0

    def write(table: Table) -> None:
        nonlocal pictures
        held.append(_records(table, dtype, pictures))
        pictures += table.n_inputs

    yield write
    _npy_header(file, dtype, sum(map(len, held)))
    file.writelines(records.tobytes() for records in held)


def _npy_header(file: BinaryIO, dtype: np.dtype[Any], n: int) -> None:
    descr = format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (n,)}
    format.write_array_header_1_0(file, header)


# Each format's writer: takes an open file, the number of rows, and a table with the columns of
# those to come; yields a function that writes a table. To add a format, give it a line here.
WRITERS: Mapping[str, Callable[[BinaryIO, int, Table], AbstractContextManager[Write]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
    ".npy": _write_npy,
}
ENDINGS = tuple(WRITERS)


def _csv_lines(table: Table) -> Iterator[str]:
    """The rows as Python's `csv` module would write them, but faster."""
    boxes = [] if table.places is None else table.places.boxes.T.tolist()
    missing = "," * (len(_columns(table)) - 1)
    columns = [
        _quoted(table.names, _csv_cell),
        *(map(str, edge) for edge in boxes),
        _digits(table, ""),
        _but_unread(table, missing, _numbers(table.answers.activations, ",")),
        _confidences(table, ""),
        _unsure(table),
        None if table.labels is None else map(str, table.labels.tolist()),
        _errors(table, _csv_cell, ""),
    ]
    rows = zip(*(column for column in columns if column is not None), strict=True)
    yield from (f"{row}\r\n" for row in map(",".join, rows))


def _digits(table: Table, missing: str) -> list[str]:
    texts = [*map(str, table.answers.digits.tolist())]
    for n in table.without_digit:
        texts[n] = missing
    return texts


def _confidences(table: Table, missing: str) -> list[str] | None:
    if table.confidence is None:
        return None
    return _but_unread(table, missing, [f"{c:.3f}" for c in table.confidence.tolist()])


def _unsure(table: Table) -> Iterable[str] | None:
    if table.confidence is None:
        return None
    return ("true" if unsure else "false" for unsure in table.unsure.tolist())


def _errors(table: Table, quote: Callable[[str], str], missing: str) -> Iterable[str] | None:
    errors = table.errors
    if errors is None:
        return None
    return (quote(errors[n]) if n in errors else missing for n in range(len(table.names)))


def _but_unread(table: Table, missing: str, texts: list[str]) -> list[str]:
    """The texts, except for those of images that could not be read."""
    for n in table.errors or ():
        texts[n] = missing
    return texts


def _csv_cell(text: str) -> str:
    """Escapes control characters, but for tabs and new lines, and puts ' before a formula."""
    # A terminal or a spreadsheet would obey them.
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _quoted(names: Sequence[str], quote: Callable[[str], str]) -> Iterable[str]:
    """Quoted names; those of one file's images are quoted only once."""
    if isinstance(names, Numbered):
        before, after = quote(f"{names.file}[#]").rsplit("#", 1)
        return [f"{before}{n}{after}" for n in names.numbers]
    return map(quote, names)


def _numbers(a: NDArray[Any], between: str) -> list[str]:
    """The activations of each row, with enough digits to keep every bit."""
    if not len(a):
        return []
    rows = a.reshape(len(a), -1)
    each = "%.9g" if a.dtype.itemsize <= 4 else "%r"
    row = between.join([each] * rows.shape[1])
    return ("\n".join([row] * len(rows)) % tuple(rows.ravel().tolist())).split("\n")


def _columns(table: Table) -> list[str]:
    a = table.answers.activations
    return ["activation"] if a.ndim == 1 else [f"activation_{n}" for n in range(a.shape[1])]


def _name(table: Table) -> str:
    return "activation" if table.answers.activations.ndim == 1 else "activations"


def _more(table: Table) -> list[str]:
    return (
        ["confidence", "unsure"] * (table.confidence is not None)
        + ["label"] * (table.labels is not None)
        + ["error"] * (table.errors is not None)
    )


def _record(table: Table) -> np.dtype[Any]:
    """The dtype of a row of a `.npy` file, which has no names or errors."""
    a = table.answers.activations
    fields: list[Any] = [
        ("digit", table.answers.digits.dtype.str),
        (_name(table), a.dtype.str, a.shape[1:]),
    ]
    if table.places is not None:
        fields = [("picture", "<i8"), ("box", "<i4", (4,)), *fields]
    if table.confidence is not None:
        fields += [("confidence", "<f4"), ("unsure", "?")]
    return np.dtype(fields + [("label", "i1")] * (table.labels is not None))


def _records(table: Table, dtype: np.dtype[Any], before: int = 0) -> NDArray[Any]:
    """The rows as records; for an image that could not be read, digit -1 and NaN activations."""
    records = np.empty(len(table.names), dtype)
    records["digit"], records[_name(table)] = table.answers
    if table.places is not None:
        records["picture"], records["box"] = table.places.of + before, table.places.boxes
    if table.confidence is not None:
        records["confidence"], records["unsure"] = table.confidence, table.unsure
    if table.labels is not None:
        records["label"] = table.labels
    bad = [*(table.errors or ())]
    records["digit"][table.without_digit], records[_name(table)][bad] = -1, np.nan
    return records


def _arrow(table: Table) -> Any:
    pa = package("pyarrow", _PARQUET)
    answers, names, labels, errors, places, confidence = table
    unread, without_digit = np.zeros((2, len(names)), bool)
    unread[[*(errors or ())]] = without_digit[table.without_digit] = True
    a = answers.activations
    values = pa.array(a.ravel())
    if a.ndim == 2:
        values = pa.FixedSizeListArray.from_arrays(values, a.shape[1], mask=pa.array(unread))
    else:
        values = pa.array(a, mask=unread)
    columns = {"image": _texts(names)}
    if places is not None:
        columns["box"] = pa.FixedSizeListArray.from_arrays(pa.array(places.boxes.ravel()), 4)
    columns |= {"digit": pa.array(answers.digits, mask=without_digit), _name(table): values}
    if confidence is not None:
        columns["confidence"] = pa.array(confidence, mask=unread)
        columns["unsure"] = pa.array(table.unsure)
    if labels is not None:
        columns["label"] = pa.array(labels.astype(np.int8))
    if errors is not None:
        columns["error"] = _texts([errors.get(n) for n in range(len(names))])
    return pa.table(columns)


def _texts(texts: Sequence[str | None]) -> Any:
    pa = package("pyarrow", _PARQUET)
    if isinstance(texts, Numbered):
        compute = package("pyarrow.compute", _PARQUET)
        of = texts.numbers
        numbers = pa.array(np.arange(of.start, of.stop, of.step)).cast("string")
        return compute.binary_join_element_wise(f"{_encodable(texts.file)}[", numbers, "]", "")
    return pa.array([text if text is None else _encodable(text) for text in texts], "string")


def _encodable(text: str) -> str:
    """The text with the lone surrogates of undecodable file names escaped."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
