"""What the network read, as text: a line an image, in JSON or in CSV."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from jaxnet.files import FileError, check_free, replacing
from jaxnet.inference import Answers


def json_lines(
    answers: Answers, names: Sequence[str], labels: NDArray[Any] | None = None
) -> Iterator[str]:
    """Says what was read in each image, as a line of JSON.

    Args:
        answers: what the network read.
        names: of the images, as many as there are answers.
        labels: what they show, if it is known.

    Yields:
        Objects with the keys `image`, `digit`, `activations` and, if known, `label`.

    Example:
        >>> import numpy, jaxnet
        >>> answers = jaxnet.Answers(numpy.array([1]), numpy.array([[0.25, 0.75]]))
        >>> list(jaxnet.formats.answers.json_lines(answers, ["one.png"]))
        ['{"image": "one.png", "digit": 1, "activations": [0.25, 0.75]}\\n']
    """
    keys = ("image", "digit", "activations", "label")
    for row in _rows(answers, names, labels):
        yield json.dumps(dict(zip(keys, row, strict=False)), allow_nan=False) + "\n"


def check_output(path: str | os.PathLike[str]) -> None:
    """Raises what `write_answers` would raise of a path, before there are any answers.

    Example:
        >>> import jaxnet
        >>> jaxnet.formats.answers.check_output("answers.csv")
    """
    path = Path(path)
    if path.suffix not in (".csv", ".jsonl"):
        raise FileError(
            f"{path}: answers are written to .csv or .jsonl, not {path.suffix or 'this'}."
        )
    check_free(path)


def write_answers(
    path: str | os.PathLike[str],
    answers: Answers,
    names: Sequence[str],
    labels: NDArray[Any] | None = None,
) -> None:
    """Writes what was read to a file, which appears whole or not at all.

    Args:
        path: ends in `.csv`, or in `.jsonl` for what `json_lines` says.
        answers, names, labels: as for `json_lines`.

    Raises:
        FileError: another ending.
        OSError: the file cannot be written.

    Example: see `jaxnet classify --output`.
    """
    check_output(path)
    with replacing(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        if Path(path).suffix == ".jsonl":
            text.writelines(json_lines(answers, names, labels))
        else:
            outputs = [f"activation_{n}" for n in range(answers.activations.shape[1])]
            writer = csv.writer(text)
            writer.writerow(["image", "digit", *outputs] + ["label"] * (labels is not None))
            for image, digit, activations, *label in _rows(answers, names, labels):
                writer.writerow([image, digit, *activations, *label])
        text.detach()  # flushes, and leaves the file open


def _rows(
    answers: Answers, names: Sequence[str], labels: NDArray[Any] | None
) -> Iterator[tuple[str, int, list[float], *tuple[int, ...]]]:
    """The image, its digit, its activations and, if known, its label, in Python's own types."""
    columns = [names, answers.digits.tolist(), answers.activations.tolist()]
    return zip(*columns, *([] if labels is None else [labels.tolist()]), strict=True)
