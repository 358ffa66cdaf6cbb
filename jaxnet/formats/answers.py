"""What the network read, row for row, in a file: CSV, JSON lines, Parquet or `.npy`."""

import csv
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from jaxnet.files import FileError, check_free, replacing
from jaxnet.formats.optional import package
from jaxnet.inference import Answers

_PARQUET = "pip install 'jaxnet[parquet]'"
ENDINGS = (".csv", ".jsonl", ".parquet", ".npy")


class Table(NamedTuple):
    """Some rows of what was read.

    Attributes:
        answers: digits and activations, those of the brightest output alone or all.
        names: of the images, as many.
        labels: what they show, if it is known.
        errors: for rows that could not be read, why; None where that is not provided for.
    """

    answers: Answers
    names: Sequence[str]
    labels: NDArray[Any] | None = None
    errors: Mapping[int, str] | None = None


Write = Callable[[Table], object]


def json_lines(table: Table) -> Iterator[str]:
    """Says what was read in each image, as a line of JSON.

    Args:
        table: the rows.

    Yields:
        Objects with the keys `image`, `digit`, `activations` (or `activation`, of the
        brightest alone) and, if known, `label`; where errors are provided for, `error`.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.formats.answers import Table, json_lines
        >>> answers = jaxnet.Answers(numpy.array([1]), numpy.array([[0.25, 0.75]]))
        >>> list(json_lines(Table(answers, ["one.png"])))
        ['{"image": "one.png", "digit": 1, "activations": [0.25, 0.75]}\\n']
    """
    keys = ["image", "digit", _name(table), *_more(table)]
    for row in _rows(table):
        yield json.dumps(dict(zip(keys, row, strict=True)), allow_nan=False) + "\n"


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raises what `write_answers` would raise of a name, before there are any answers.

    Args:
        path: of the file to write.

    Raises:
        FileError: no ending that answers are written in, or the package for it is missing.

    Example:
        >>> import jaxnet
        >>> jaxnet.formats.answers.check_ending("answers.csv")
    """
    ending = Path(path).suffix
    if ending not in ENDINGS:
        raise FileError(
            f"{path}: answers are written to {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, not "
            f"{ending or 'this'}."
        )
    if ending == ".parquet":
        package("pyarrow", _PARQUET)


def write_answers(path: str | os.PathLike[str], table: Table) -> None:
    """Writes what was read to a file, which appears whole or not at all.

    Args:
        path: its ending tells the format, one of `ENDINGS`.
        table: the rows.

    Raises:
        FileError: another ending.
        OSError: the file cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> from jaxnet.formats.answers import Table, write_answers
        >>> path = pathlib.Path(tempfile.mkdtemp(), "answers.csv")
        >>> answers = jaxnet.Answers(numpy.array([1]), numpy.array([[0.25, 0.75]]))
        >>> write_answers(path, Table(answers, ["one.png"]))
        >>> path.read_text().splitlines()
        ['image,digit,activation_0,activation_1', 'one.png,1,0.25,0.75']
    """
    check_ending(path)
    check_free(Path(path))
    n = len(table.names)
    with replacing(path) as file, writing(file, Path(path).suffix, n, like=table) as write:
        write(table)


@contextmanager
def writing(file: BinaryIO, ending: str, n: int, *, like: Table) -> Generator[Write]:
    """Writes tables one after another into one file.

    Args:
        file: open for writing, at its beginning.
        ending: the format, one of `ENDINGS`.
        n: rows in all the tables.
        like: a table with the columns of those to come.

    Yields:
        A function that writes the rows of a table.

    Example:
        >>> import io, numpy, jaxnet
        >>> from jaxnet.formats.answers import Table, writing
        >>> table = Table(jaxnet.Answers(numpy.array([7]), numpy.array([0.9])), ["7.png"])
        >>> file = io.BytesIO()
        >>> with writing(file, ".csv", 2, like=table) as write:
        ...     write(table)
        ...     write(table)
        >>> file.getvalue().splitlines()
        [b'image,digit,activation', b'7.png,7,0.9', b'7.png,7,0.9']
    """
    match ending:
        case ".npy":
            dtype = _record(like)
            descr = format.dtype_to_descr(dtype)
            header = {"descr": descr, "fortran_order": False, "shape": (n,)}
            format.write_array_header_1_0(file, header)
            yield lambda table: file.write(_records(table, dtype).tobytes())
        case ".parquet":
            parquet = package("pyarrow.parquet", _PARQUET)
            with parquet.ParquetWriter(file, _arrow(like).schema, compression="zstd") as writer:
                yield lambda table: writer.write_table(_arrow(table))
        case ".jsonl":
            yield lambda table: file.write("".join(json_lines(table)).encode())
        case _:
            head = ["image", "digit", *_columns(like), *_more(like)]
            file.write(_csv([head]))
            yield lambda table: file.write(_csv(_cells(table)))


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def _cells(table: Table) -> Iterator[list[object]]:
    missing = [""] * len(_columns(table))
    for image, digit, a, *more in _rows(table, missing):
        yield [image, digit, *(a if isinstance(a, list) else [a]), *more]


def _columns(table: Table) -> list[str]:
    a = table.answers.activations
    return ["activation"] if a.ndim == 1 else [f"activation_{n}" for n in range(a.shape[1])]


def _name(table: Table) -> str:
    return "activation" if table.answers.activations.ndim == 1 else "activations"


def _more(table: Table) -> list[str]:
    return ["label"] * (table.labels is not None) + ["error"] * (table.errors is not None)


def _rows(table: Table, missing: Any = None) -> Iterator[list[Any]]:
    """Image, digit, activations and, where they are known, label and error, in Python's types."""
    answers, names, labels, errors = table
    columns = [names, answers.digits.tolist(), answers.activations.tolist()]
    if labels is not None:
        columns.append(labels.tolist())
    for n, row in enumerate(zip(*columns, strict=True)):
        if errors is None:
            yield [*row]
        elif n in errors:
            yield [row[0], None, missing, *row[3:], errors[n]]
        else:
            yield [*row, None]


def _record(table: Table) -> np.dtype[Any]:
    """A row of a `.npy` file; it has no room for names and reasons."""
    a = table.answers.activations
    fields = [("digit", table.answers.digits.dtype.str), (_name(table), a.dtype.str, a.shape[1:])]
    return np.dtype(fields + [("label", "i1")] * (table.labels is not None))


def _records(table: Table, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The rows as records; where nothing was read, the digit is -1, and activations are NaN."""
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
        "image": pa.array(
            [name.encode(errors="backslashreplace").decode() for name in names], "string"
        ),
        "digit": pa.array(answers.digits, mask=unread),
        _name(table): values,
    }
    if labels is not None:
        columns["label"] = pa.array(labels.astype(np.int8))
    if errors is not None:
        columns["error"] = pa.array([errors.get(n) for n in range(len(names))], "string")
    return pa.table(columns)
