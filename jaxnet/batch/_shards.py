"""Resumable, crash-safe output: a folder of shards and a manifest.

The manifest records the job and lists the finished shards. It is replaced atomically after each
shard, as are the shards; so a job that was interrupted at any moment continues after the last of
them, and its output is byte-identical.
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
from jaxnet._util.files import FileError, lock, open_file, replacing
from jaxnet.batch._jobs import Job, Step, Tally, write_rows

MANIFEST = "manifest.json"


def write_shards(
    job: Job, folder: Path, *, ending: str, size: int, resume: bool
) -> Generator[Step]:
    """Writes the answers to a folder of shards; first yields what an earlier run had written."""
    n = job.inputs.n
    plan = {**_identity(job), "ending": ending, "shard_size": size, "rows": n}
    plan = json.loads(json.dumps(plan))  # as it will be read back
    starts = range(0, max(n, 1), size)
    digits = max(5, len(str(len(starts) - 1)))  # zero-padded, to sort in order
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
    """Everything the answers depend on; a job is resumed only if this is unchanged."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(job.params)]
    network = hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()
    labels = job.labels
    if labels is not None:
        labels = hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
    versions: dict[str, str] = {}
    for name in ("jaxnet-digits", "jax", "jaxlib", "numpy", "pyarrow", "pillow"):
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
    """The CPU model, which affects rounding, as does the number of cores."""
    with suppress(OSError), open("/proc/cpuinfo", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Locks the folder against other processes; the lock ends with this process."""
    if os.name == "nt":  # Windows cannot open a folder
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        if not lock(held):
            raise FileError(
                f"{folder}: another process is writing here; wait until it has finished."
            )
        yield
    finally:
        os.close(held)


def _finished(
    folder: Path, plan: dict[str, Any], shards: Mapping[str, range], resume: bool
) -> dict[str, dict[str, Any]]:
    """The finished shards by name, verified against the manifest."""
    path = folder / MANIFEST
    partials = [*folder.glob(".jaxnet-*.partial")]  # of a process that was killed
    begun = path.exists()
    if not begun and len([*folder.iterdir()]) > len(partials):
        raise FileError(f"{folder}: not empty, and has no manifest; choose another folder.")
    if begun and not resume:
        raise FileError(f"{folder}: holds answers already; continue the same job with resume=True.")
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
        raise FileError(f"{path}: this manifest is damaged; choose another folder.") from error
    changed = [name for name, value in plan.items() if before.get(name) != value]
    if changed:
        raise FileError(
            f"{folder}: another job's output ({', '.join(changed)} differ); choose another folder."
        )
    if not all(name in shards and _fits(shard, len(shards[name])) for name, shard in done.items()):
        raise FileError(f"{path}: this manifest is damaged; choose another folder.")
    return {name: shard for name, shard in done.items() if _is_whole(folder / name, shard)}


def _fits(shard: dict[str, Any], n: int) -> bool:
    """Whether a manifest entry is plausible."""
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
