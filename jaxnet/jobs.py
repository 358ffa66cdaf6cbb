"""A job of reading many images: piece by piece, into shards that a kill leaves whole.

A folder of shards has a manifest, which says what is read with what and lists the shards that
are finished. It is replaced after each, atomically, as the shards are; so a job that was ended
at any moment goes on after the last of them, and ends with the same bytes.
"""

import hashlib
import json
import os
import platform
import queue
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from jaxnet import inference
from jaxnet.data.inputs import Inputs, Rows
from jaxnet.files import FileError, open_file, replacing
from jaxnet.formats.answers import Table, writing
from jaxnet.formats.safetensors import Info
from jaxnet.network import Params

_T = TypeVar("_T")

MANIFEST = "manifest.json"


class Job(NamedTuple):
    """What is read with what.

    Attributes:
        params, info: the network.
        inputs: the images.
        labels: what they show, if it is known, shape `(n,)`.
        precision: as in `jaxnet.classify`.
        brightest: keep the activation of the brightest output alone.
        skip: whether an image that cannot be read is passed over, its row marked; else it
            ends the job.
    """

    params: Params
    info: Info
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
        >>> from jaxnet.pretrained import PATH
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> job = jaxnet.jobs.Job(*jaxnet.load(PATH), inputs)
        >>> [len(table.names) for table in jaxnet.jobs.tables(job)]
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
    waiting: list[Rows] = []  # one at most: a stream is done with a batch before the next

    def images() -> Iterator[inference.Images]:
        for rows in pieces:
            if rows.errors and not job.skip:
                raise FileError(next(iter(rows.errors.values())))
            waiting.append(rows)
            yield rows.images

    with closing(pieces):
        answers = inference.stream(
            job.params,
            images(),
            **job.info.squashes,
            precision=job.precision,
            brightest=job.brightest,
        )
        for answer in answers:
            yield waiting.pop(), answer


def warm(job: Job) -> None:
    """Compiles what a job needs, so that its time is that of the reading alone.

    Args:
        job: what is read with what.

    Raises:
        TypeError, ValueError: the network does not read images such as these.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> from jaxnet.pretrained import PATH
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> jaxnet.jobs.warm(jaxnet.jobs.Job(*jaxnet.load(PATH), inputs))
    """
    n = min(job.inputs.n, job.inputs.at_once)
    images = np.zeros((n, 784), job.inputs.read(0, min(n, 1)).images.dtype)
    for _ in _answered(job, (rows for rows in [Rows(images, [], {})])):
        pass


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
        >>> from jaxnet.pretrained import PATH
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> job = jaxnet.jobs.Job(*jaxnet.load(PATH), inputs)
        >>> [step.tally.rows for step in jaxnet.jobs.read(job)]
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
        path: its ending tells the format, one of `jaxnet.formats.answers.ENDINGS`.

    Yields:
        What has been written, piece by piece.

    Raises:
        FileError, OSError: as `tables` does, or the file cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> from jaxnet.pretrained import PATH
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "digits.npy", numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([folder / "digits.npy"])
        >>> job = jaxnet.jobs.Job(*jaxnet.load(PATH), inputs)
        >>> [step.tally.rows for step in jaxnet.jobs.write_file(job, folder / "answers.csv")]
        [3]
        >>> len((folder / "answers.csv").read_text().splitlines())
        4
    """
    with replacing(path) as file:
        yield from _write(job, file, path.suffix, 0, job.inputs.n, Tally())


def write_shards(
    job: Job, folder: Path, *, ending: str, size: int, resume: bool
) -> Generator[Step]:
    """Writes the answers into a folder, in shards and with a manifest.

    Args:
        job: what is read with what.
        folder: is made, if it is not there; else it must be empty, or hold this very job.
        ending: the format, one of `jaxnet.formats.answers.ENDINGS`.
        size: rows in each shard; the last may have fewer.
        resume: go on where this job was ended.

    Yields:
        What is there already, without a table; then what has been written, piece by piece.

    Raises:
        FileError: the folder holds something else, or another process writes there, or an
            image cannot be read and is not skipped.
        OSError: a shard cannot be written; those that are finished stay.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> from jaxnet.pretrained import PATH
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "digits.npy", numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([folder / "digits.npy"])
        >>> job = jaxnet.jobs.Job(*jaxnet.load(PATH), inputs)
        >>> out, options = folder / "out", {"ending": ".csv", "size": 2, "resume": False}
        >>> [step.tally.rows for step in jaxnet.jobs.write_shards(job, out, **options)]
        [0, 2, 3]
        >>> sorted(path.name for path in out.iterdir())
        ['manifest.json', 'part-00000.csv', 'part-00001.csv']
    """
    n = job.inputs.n
    plan = {**_identity(job), "ending": ending, "shard_size": size, "rows": n}
    plan = json.loads(json.dumps(plan))  # as it will be read back
    starts = range(0, max(n, 1), size)
    digits = max(5, len(str(len(starts) - 1)))  # so that the names sort in this order
    shards = {
        f"part-{number:0{digits}}{ending}": range(start, min(start + size, n))
        for number, start in enumerate(starts)
    }
    folder.mkdir(exist_ok=True)
    with _alone(folder):
        done = _finished(folder, plan, shards, resume)
        tally = Tally(*(sum(shard[name] for shard in done.values()) for name in Tally._fields))
        yield Step(tally, None)
        for name, rows in shards.items():
            if name in done:
                continue
            before = tally
            with replacing(folder / name) as file:
                for step in _write(job, file, ending, rows.start, rows.stop, before):
                    tally = step.tally
                    yield step
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            shard = Tally(*(now - then for now, then in zip(tally, before, strict=True)))
            done[name] = {"sha256": digest, **shard._asdict()}
            _write_manifest(folder, plan, done)


def ahead(items: Generator[_T], over: threading.Event | None = None) -> Generator[_T]:
    """Works an iterator off in a thread of its own, one item ahead.

    Args:
        items: is advanced in that thread, and closed there when the last item was taken, or
            when this is closed.
        over: is set once no more items are wanted, for those that are being made to know.

    Yields:
        The items, in order. What the iterator raises is raised here.

    Example:
        >>> import jaxnet
        >>> list(jaxnet.jobs.ahead(n * n for n in range(4)))
        [0, 1, 4, 9]
    """
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


def _write(
    job: Job, file: BinaryIO, ending: str, start: int, stop: int, tally: Tally
) -> Generator[Step]:
    with closing(tables(job, start, stop)) as parts:
        first = next(parts)
        with writing(file, ending, stop - start, like=first) as write:
            for table in chain([first], parts):
                write(table)
                tally = _add(tally, table)
                yield Step(tally, table)


def _add(tally: Tally, table: Table) -> Tally:
    bad, right = [*(table.errors or ())], 0
    if table.labels is not None:
        agree = table.answers.digits == table.labels
        agree[bad] = False
        right = int(agree.sum())
    return Tally(tally.rows + len(table.names), tally.unread + len(bad), tally.right + right)


def _identity(job: Job) -> dict[str, Any]:
    """All that the answers depend on, so that only the very same job is gone on with."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(job.params)]
    network = hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()
    labels = job.labels
    if labels is not None:
        labels = hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
    versions: dict[str, str] = {}
    for name in ("jaxnet", "jax", "jaxlib", "numpy", "pyarrow", "pillow"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "versions": versions,
        "device": [jax.devices()[0].device_kind, platform.machine(), _processor()],
        "network": {"sha256": network, **job.info._asdict()},
        "inputs": job.inputs.identity,
        "labels": labels,
        "precision": job.precision,
        "brightest": job.brightest,
        "skip": job.skip,
    }


def _processor() -> str:
    """Which one this is: its kind decides how sums are rounded."""
    with suppress(OSError), open("/proc/cpuinfo", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keeps a second process from writing into the same folder; ends with this one."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has no such lock
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of file systems without locks
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FileError(
                    f"{folder}: another process is writing here; wait for it."
                ) from error
        yield
    finally:
        os.close(held)


def _finished(
    folder: Path, plan: dict[str, Any], shards: Mapping[str, range], resume: bool
) -> dict[str, dict[str, Any]]:
    """The shards that are there already, by name, once they were held against the manifest."""
    path = folder / MANIFEST
    partials = [*folder.glob(".jaxnet-*.partial")]  # of a process that was killed
    begun = path.exists()
    if not begun and len([*folder.iterdir()]) > len(partials):
        raise FileError(f"{folder}: not empty, and no answers of a job; name another folder.")
    if begun and not resume:
        raise FileError(f"{folder}: holds answers already; --resume goes on with the same job.")
    for partial in partials:
        partial.unlink()
    if not begun:
        _write_manifest(folder, plan, {})
        return {}
    with open_file(path) as file:
        content = file.read()
    try:
        before = json.loads(content)
        done = {
            str(shard["file"]): {key: shard[key] for key in ("sha256", *Tally._fields)}
            for shard in before["shards"]
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{path}: this manifest is damaged; name another folder.") from error
    changed = [name for name, value in plan.items() if before.get(name) != value]
    if changed:
        raise FileError(
            f"{folder}: begun by another job ({', '.join(changed)} differ); name another folder."
        )
    if not all(name in shards and _fits(shard, len(shards[name])) for name, shard in done.items()):
        raise FileError(f"{path}: this manifest is damaged; name another folder.")
    return {name: shard for name, shard in done.items() if _is_whole(folder / name, shard)}


def _fits(shard: dict[str, Any], n: int) -> bool:
    """Whether the manifest says of a shard what can be so."""
    numbers = [shard[name] for name in Tally._fields]
    return shard["rows"] == n and all(type(m) is int and 0 <= m <= n for m in numbers)


def _is_whole(path: Path, shard: dict[str, Any]) -> bool:
    try:
        with open_file(path) as file:
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
        return digest.hexdigest() == shard["sha256"]
    except FileNotFoundError:
        return False


def _write_manifest(folder: Path, plan: dict[str, Any], done: dict[str, dict[str, Any]]) -> None:
    shards = [{"file": name, **done[name]} for name in sorted(done)]
    with replacing(folder / MANIFEST) as file:
        file.write(json.dumps({**plan, "shards": shards}, indent=1).encode() + b"\n")
