"""A job of reading many images: piece by piece, while the next are fetched, into one file."""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxnet import inference
from jaxnet._util.files import FileError, replacing
from jaxnet.batch._tables import Table, writing
from jaxnet.data import Inputs, Rows
from jaxnet.formats import Spec
from jaxnet.network import Params

_T = TypeVar("_T")


class Job(NamedTuple):
    """What is read with what.

    Attributes:
        params, spec: the network.
        inputs: the images.
        labels: what they show, if it is known, shape `(n,)`.
        precision: as in `jaxnet.classify`.
        brightest: keep the activation of the brightest output alone.
        skip: whether an image that cannot be read is passed over, its row marked; else it
            ends the job.
    """

    params: Params
    spec: Spec
    inputs: Inputs
    labels: NDArray[Any] | None = None
    precision: str = "float32"
    brightest: bool = False
    skip: bool = False


class Tally(NamedTuple):
    """What has been read so far.

    Attributes:
        rows: images, those that could not be read among them.
        unread: of these, how many could not.
        right: how many digits are those of the labels; 0 if there are none.
    """

    rows: int = 0
    unread: int = 0
    right: int = 0


class Step(NamedTuple):
    """How far a job is.

    Attributes:
        tally: of all rows so far.
        table: the last of them; None where they were there before.
    """

    tally: Tally
    table: Table | None


def tables(job: Job, start: int = 0, stop: int | None = None) -> Generator[Table]:
    """Reads a range of the images; the next are fetched while some are worked on.

    Args:
        job: what is read with what.
        start, stop: the range; all, if not given.

    Yields:
        The rows, in order, `inputs.at_once` at a time; one table at least, maybe empty.

    Raises:
        FileError: an image cannot be read, and the job does not skip it.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> job = jaxnet.batch.Job(*jaxnet.load(), inputs)
        >>> [len(table.names) for table in jaxnet.batch.tables(job)]
        [3]
    """
    stop = job.inputs.n if stop is None else stop
    cuts = [*range(start, max(stop, start + 1), job.inputs.at_once), stop]
    over = threading.Event()
    pieces = (job.inputs.read(a, b, over) for a, b in pairwise(cuts))
    with closing(ahead(_answered(job, ahead(pieces)), over)) as answered:
        for rows, answers in answered:
            at, start = start, start + len(rows.names)
            labels = None if job.labels is None else job.labels[at:start]
            yield Table(answers, rows.names, labels, rows.errors if job.skip else None)


def _answered(job: Job, pieces: Generator[Rows]) -> Generator[tuple[Rows, inference.Answers]]:
    classify = _classifier(job)
    with closing(pieces):
        for rows in pieces:
            if rows.errors and not job.skip:
                raise FileError(next(iter(rows.errors.values())))
            yield rows, classify(rows.images)


def _classifier(job: Job) -> Callable[[inference.Images], inference.Answers]:
    return inference.classifier(
        job.params,
        **job.spec.squashes,
        precision=job.precision,
        brightest=job.brightest,
        check_range=False,  # each row has been, so that the bad ones have names
        batch_size=min(job.inputs.n, job.inputs.at_once),
    )


def warm(job: Job) -> None:
    """Compiles what a job needs, so that its time is that of the reading alone.

    Args:
        job: what is read with what.

    Raises:
        TypeError, ValueError: the network does not read images such as these.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> jaxnet.batch.warm(jaxnet.batch.Job(*jaxnet.load(), inputs))
    """
    n = min(job.inputs.n, job.inputs.at_once)
    images = np.zeros((n, 784), job.inputs.read(0, min(n, 1)).images.dtype)
    _classifier(job)(images)


def read(job: Job) -> Generator[Step]:
    """Reads all images of a job, writing nothing.

    Args:
        job: what is read with what.

    Yields:
        The rows, as `tables` does, each time with the tally of all so far.

    Raises:
        FileError, OSError: as `tables` does.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> job = jaxnet.batch.Job(*jaxnet.load(), inputs)
        >>> [step.tally.rows for step in jaxnet.batch.read(job)]
        [3]
    """
    tally = Tally()
    with closing(tables(job)) as parts:
        for table in parts:
            tally = _add(tally, table)
            yield Step(tally, table)


def write_file(job: Job, path: Path) -> Generator[Step]:
    """Writes all answers into one file, which appears whole or not at all.

    Args:
        job: what is read with what.
        path: its ending tells the format, one of `jaxnet.batch.ENDINGS`.

    Yields:
        What has been written, piece by piece.

    Raises:
        FileError, OSError: as `tables` does, or the file cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "digits.npy", numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([folder / "digits.npy"])
        >>> job = jaxnet.batch.Job(*jaxnet.load(), inputs)
        >>> [step.tally.rows for step in jaxnet.batch.write_file(job, folder / "answers.csv")]
        [3]
        >>> len((folder / "answers.csv").read_text().splitlines())
        4
    """
    with replacing(path) as file:
        yield from write_rows(job, file, path.suffix, 0, job.inputs.n, Tally())


def write_rows(
    job: Job, file: BinaryIO, ending: str, start: int, stop: int, tally: Tally
) -> Generator[Step]:
    """Writes the answers to a range of the images into an open file."""
    with closing(tables(job, start, stop)) as parts:
        first = next(parts)
        with writing(file, ending, stop - start, like=first) as write:
            for table in chain([first], parts):
                write(table)
                tally = _add(tally, table)
                yield Step(tally, table)


def ahead(items: Generator[_T], over: threading.Event | None = None) -> Generator[_T]:
    """Works an iterator off in a thread of its own, one item ahead."""
    ready: queue.Queue[tuple[_T, None] | tuple[None, BaseException]] = queue.Queue(1)
    over = over or threading.Event()

    def put(item: tuple[_T, None] | tuple[None, BaseException]) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                return ready.put(item, timeout=0.1)

    def work() -> None:
        try:
            with closing(items):
                while not over.is_set():
                    put((next(items), None))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        over.set()
        with suppress(RuntimeError):  # a signal came before it had begun, so that it ends at once
            thread.join()


def _add(tally: Tally, table: Table) -> Tally:
    bad, right = [*(table.errors or ())], 0
    if table.labels is not None:
        agree = table.answers.digits == table.labels
        agree[bad] = False
        right = int(agree.sum())
    return Tally(tally.rows + len(table.names), tally.unread + len(bad), tally.right + right)
