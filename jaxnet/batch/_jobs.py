"""Classifies images chunk by chunk, prefetching the next chunk, into one output file."""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.arguments import ArgumentError
from jaxnet._util.files import FileError, replacing
from jaxnet.batch._tables import WRITERS, Table
from jaxnet.data import Inputs
from jaxnet.data._rows import Rows
from jaxnet.formats import Spec
from jaxnet.inference import Answers, confidence
from jaxnet.network import Params

_T = TypeVar("_T")


class Job(NamedTuple):
    """A classification job: a network, its inputs and options.

    Attributes:
        params, spec: the network.
        inputs: the images.
        classify: from `jaxnet.inference.classifier`.
        labels: the digits shown, if known, shape `(n,)`.
        precision: as in `jaxnet.classify`.
        brightest: keep only the largest activation of each image.
        skip: skip an image that cannot be read and mark its row; otherwise it ends the job.
    """

    params: Params
    spec: Spec
    inputs: Inputs
    classify: Callable[[Any], Answers]
    labels: NDArray[Any] | None = None
    precision: str = "float32"
    brightest: bool = False
    skip: bool = False


class Tally(NamedTuple):
    """Counts of a job so far.

    Attributes:
        rows: images or pictures, including those that could not be read.
        unread: those that could not be read.
        right: those classified correctly; 0 without labels.
    """

    rows: int = 0
    unread: int = 0
    right: int = 0


class Step(NamedTuple):
    """The progress of a job.

    Attributes:
        tally: of all rows so far.
        table: the newest rows; None for rows that an earlier run had written.
    """

    tally: Tally
    table: Table | None


def tables(job: Job, start: int = 0, stop: int | None = None) -> Generator[Table]:
    """Classifies a range of the images and yields tables in order, at least one, maybe empty."""
    stop = job.inputs.n if stop is None else stop
    cuts = [*range(start, max(stop, start + 1), job.inputs.at_once), stop]
    over = threading.Event()
    chunks = (job.inputs.read(a, b, over) for a, b in pairwise(cuts))
    with closing(ahead(_answered(job, ahead(chunks)), over)) as answered:
        for rows, answers in answered:
            table = _table(job, rows, answers)
            at, start = start, start + table.n_inputs
            if job.labels is not None:
                if len(table.names) != table.n_inputs:
                    raise ArgumentError("labels", "need one digit per picture; pass several=False.")
                table = table._replace(labels=job.labels[at:start])
            yield table


def _table(job: Job, rows: Rows, answers: Answers) -> Table:
    errors, sure = rows.errors if job.skip else None, None
    if rows.places is not None:
        sure = confidence(answers.activations, last_squash=job.spec.last_squash)
        if job.brightest:
            answers = answers._replace(activations=answers.activations.max(1))
    return Table(answers, rows.names, None, errors, rows.places, sure)


def _answered(job: Job, chunks: Generator[Rows]) -> Generator[tuple[Rows, Answers]]:
    with closing(chunks):
        for rows in chunks:
            if rows.errors and not job.skip:
                raise FileError(next(iter(rows.errors.values())))
            yield rows, job.classify(rows.images)


def warm(job: Job) -> None:
    """Compiles ahead of time, so that compilation is not counted in the throughput."""
    n = min(job.inputs.n, job.inputs.at_once)
    one = job.inputs.read(0, min(n, 1)).images
    job.classify(np.zeros((n, one.shape[1]), one.dtype))


def read(job: Job) -> Generator[Step]:
    """Classifies all images of a job, writing nothing."""
    tally = Tally()
    with closing(tables(job)) as parts:
        for table in parts:
            tally = _add(tally, table)
            yield Step(tally, table)


def write_file(job: Job, path: Path) -> Generator[Step]:
    """Writes all answers to one file, which appears whole or not at all."""
    with replacing(path, patience=0) as file:
        yield from write_rows(job, file, path.suffix.lower(), 0, job.inputs.n, Tally())


def write_rows(
    job: Job, file: BinaryIO, ending: str, start: int, stop: int, tally: Tally
) -> Generator[Step]:
    """Writes the answers to a range of the images to an open file."""
    with closing(tables(job, start, stop)) as parts:
        first = next(parts)
        with WRITERS[ending](file, stop - start, first) as write:
            for table in chain([first], parts):
                write(table)
                tally = _add(tally, table)
                yield Step(tally, table)


def ahead(items: Generator[_T], over: threading.Event | None = None) -> Generator[_T]:
    """Iterates in a background thread, one item ahead; sets `over` when the consumer stops."""
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
        with suppress(RuntimeError):  # a signal arrived before the thread started
            thread.join()


def _add(tally: Tally, table: Table) -> Tally:
    bad, right = [*(table.errors or ())], 0
    if table.labels is not None:
        agree = table.answers.digits == table.labels
        agree[bad] = False
        right = int(agree.sum())
    return Tally(tally.rows + table.n_inputs, tally.unread + len(bad), tally.right + right)
