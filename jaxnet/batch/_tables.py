"""Tables of answers, one row per image, written as CSV, JSON lines, Parquet or `.npy`."""

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from jaxnet._util.files import FileError, check_free, replacing
from jaxnet._util.optional import package
from jaxnet.data import Numbered
from jaxnet.inference import Answers

_PARQUET = "pip install 'jaxnet-digits[parquet]'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet knows one
_ROW_GROUP = 131_072  # rows per row group of a Parquet file


class Table(NamedTuple):
    """Some rows of answers.

    Attributes:
        answers: digits and activations, all or only the largest.
        names: of the images.
        labels: the digits shown, if known.
        errors: why an image could not be read, by row; None if errors are not recorded.
    """

    answers: Answers
    names: Sequence[str]
    labels: NDArray[Any] | None = None
    errors: Mapping[int, str] | None = None


Write = Callable[[Table], object]


def json_lines(table: Table) -> Iterator[str]:
    """Formats each row as a line of JSON.

    Args:
        table: the rows.

    Yields:
        Objects with the keys `image`, `digit`, `activations` (or `activation`, only the largest),
        `label` if known, and `error` if errors are recorded.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.batch._tables import Table, json_lines
        >>> answers = jaxnet.Answers(numpy.array([1]), numpy.array([[0.25, 0.75]]))
        >>> list(json_lines(Table(answers, ["one.png"])))
        ['{"image": "one.png", "digit": 1, "activations": [0.25, 0.75]}\\n']
    """
    answers, names, labels, errors = table
    a = answers.activations
    if not np.isfinite(a).all():
        raise ValueError("JSON cannot hold an activation that is infinite or NaN.")
    begin, end = ("", "") if a.ndim == 1 else ("[", "]")
    rows = zip(
        _quoted(names, json.dumps),
        answers.digits.tolist(),
        _numbers(a, ", "),
        repeat(None, len(names)) if labels is None else labels.tolist(),
        strict=True,
    )
    for n, (image, digit, numbers, label) in enumerate(rows):
        known = "" if labels is None else f', "label": {label}'
        read, why = f'{digit}, "{_name(table)}": {begin}{numbers}{end}', ""
        if errors is not None:
            why = f', "error": {json.dumps(errors.get(n))}'
            read = f'null, "{_name(table)}": null' if n in errors else read
        yield f'{{"image": {image}, "digit": {read}{known}{why}}}\n'


def check_ending(path: str | os.PathLike[str]) -> None:
    """Fails early if answers cannot be written to a file with this ending.

    Args:
        path: the file to write.

    Raises:
        FileError: an unknown ending.
        ModuleNotFoundError: the package for the format is missing.

    Example:
        >>> import jaxnet
        >>> jaxnet.batch.check_ending("answers.csv")
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise FileError(
            f"{path}: answers are written as {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, not "
            f"{ending or 'this'}."
        )
    if ending == ".parquet":
        package("pyarrow.parquet", _PARQUET)


def write_answers(path: str | os.PathLike[str], table: Table) -> None:
    """Writes a table to a file, which appears whole or not at all.

    Args:
        path: its ending gives the format: .csv, .jsonl, .parquet or .npy.
        table: the rows.

    Raises:
        FileError: an unknown ending.
        OSError: the file cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> from jaxnet.batch._tables import Table, write_answers
        >>> path = pathlib.Path(tempfile.mkdtemp(), "answers.csv")
        >>> answers = jaxnet.Answers(numpy.array([1]), numpy.array([[0.25, 0.75]]))
        >>> write_answers(path, Table(answers, ["one.png"]))
        >>> path.read_text().splitlines()
        ['image,digit,activation_0,activation_1', 'one.png,1,0.25,0.75']
    """
    check_ending(path)
    check_free(Path(path))
    n = len(table.names)
    with replacing(path) as file, WRITERS[Path(path).suffix.lower()](file, n, table) as write:
        write(table)


@contextmanager
def _write_csv(file: BinaryIO, n: int, like: Table) -> Generator[Write]:
    head = ",".join(["image", "digit", *_columns(like), *_more(like)])
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
    descr = format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (n,)}
    format.write_array_header_1_0(file, header)
    yield lambda table: file.write(_records(table, dtype).tobytes())


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
    answers, names, labels, errors = table
    rows = zip(
        _quoted(names, _csv_cell),
        answers.digits.tolist(),
        _numbers(answers.activations, ","),
        repeat(None, len(names)) if labels is None else labels.tolist(),
        strict=True,
    )
    missing = "," * len(_columns(table))
    for n, (image, digit, numbers, label) in enumerate(rows):
        known = "" if labels is None else f",{label}"
        read, why = f",{digit},{numbers}", ""
        if errors is not None:
            why = f",{_csv_cell(errors.get(n, ''))}"
            read = f",{missing}" if n in errors else read
        yield f"{image}{read}{known}{why}\r\n"


def _csv_cell(text: str) -> str:
    """A cell; one that a spreadsheet would run as a formula begins with an apostrophe instead."""
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _quoted(names: Sequence[str], quote: Callable[[str], str]) -> Iterable[str]:
    """Quoted names; those of one file's images are quoted only once."""
    if isinstance(names, Numbered):
        before, after = quote(f"{names.file}[#]").rsplit("#", 1)
        return [f"{before}{n}{after}" for n in names.numbers]
    return map(quote, names)


def _numbers(a: NDArray[Any], between: str) -> Iterable[str]:
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
    return ["label"] * (table.labels is not None) + ["error"] * (table.errors is not None)


def _record(table: Table) -> np.dtype[Any]:
    """The dtype of a row of a `.npy` file, which has no names or errors."""
    a = table.answers.activations
    fields = [("digit", table.answers.digits.dtype.str), (_name(table), a.dtype.str, a.shape[1:])]
    return np.dtype(fields + [("label", "i1")] * (table.labels is not None))


def _records(table: Table, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The rows as records; for an image that could not be read, digit -1 and NaN activations."""
    records = np.empty(len(table.names), dtype)
    records["digit"], records[_name(table)] = table.answers
    if table.labels is not None:
        records["label"] = table.labels
    bad = [*(table.errors or ())]
    records["digit"][bad], records[_name(table)][bad] = -1, np.nan
    return records


def _arrow(table: Table) -> Any:
    pa = package("pyarrow", _PARQUET)
    answers, names, labels, errors = table
    unread = np.zeros(len(names), bool)
    unread[[*(errors or ())]] = True
    a = answers.activations
    values = pa.array(a.ravel())
    if a.ndim == 2:
        values = pa.FixedSizeListArray.from_arrays(values, a.shape[1], mask=pa.array(unread))
    else:
        values = pa.array(a, mask=unread)
    columns = {
        "image": _texts(names),
        "digit": pa.array(answers.digits, mask=unread),
        _name(table): values,
    }
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
