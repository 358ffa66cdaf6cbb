"""The answers of a job in a folder of shards, which a kill leaves whole and which is gone on with.

The folder has a manifest, which says what is read with what and lists the shards that are
finished. It is replaced after each, atomically, as the shards are; so a job that was ended at any
moment goes on after the last of them, and ends with the same bytes.
"""

import hashlib
import json
import os
import platform
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnet._util.cores import cores
from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.batch._jobs import Job, Step, Tally, write_rows

MANIFEST = "manifest.json"


def write_shards(
    job: Job, folder: Path, *, ending: str, size: int, resume: bool
) -> Generator[Step]:
    """Writes the answers into a folder, in shards and with a manifest.

    Args:
        job: what is read with what.
        folder: is made, if it is not there; else it must be empty, or hold this very job.
        ending: the format, one of `jaxnet.batch.ENDINGS`.
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
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "digits.npy", numpy.zeros((3, 784), "uint8"))
        >>> inputs = jaxnet.data.open_inputs([folder / "digits.npy"])
        >>> job = jaxnet.batch.Job(*jaxnet.load(), inputs)
        >>> out, options = folder / "out", {"ending": ".csv", "size": 2, "resume": False}
        >>> [step.tally.rows for step in jaxnet.batch._shards.write(job, out, **options)]
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
                for step in write_rows(job, file, ending, rows.start, rows.stop, before):
                    tally = step.tally
                    yield step
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            shard = Tally(*(now - then for now, then in zip(tally, before, strict=True)))
            done[name] = {"sha256": digest, **shard._asdict()}
            _write_manifest(folder, plan, done)


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
        "device": [jax.devices()[0].device_kind, platform.machine(), _processor(), cores()],
        "network": {"sha256": network, **job.spec._asdict()},
        "inputs": job.inputs.identity,
        "labels": labels,
        "precision": job.precision,
        "brightest": job.brightest,
        "skip": job.skip,
    }


def _processor() -> str:
    """Which one this is: its kind decides how sums are rounded, as the number of cores does."""
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
