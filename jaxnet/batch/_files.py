"""Files in, files out: a job opened from paths, and its answers written where they belong."""

import os
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.arguments import ArgumentError, check_choice
from jaxnet._util.files import FileError, check_free
from jaxnet._util.pixels import side_of
from jaxnet.batch._jobs import Job, Step, Tally, read, write_file, write_rows
from jaxnet.batch._shards import write_shards
from jaxnet.batch._tables import check_ending
from jaxnet.data import Inputs, open_inputs
from jaxnet.data._labels import as_labels
from jaxnet.data._load import labels_of
from jaxnet.data._paths import expand
from jaxnet.formats import Spec, load
from jaxnet.formats._parts import with_spec
from jaxnet.inference import PRECISIONS, classifier
from jaxnet.network import Params, Squash

_HIGHEST = np.iinfo(np.int8).max  # the highest label that a table of answers can hold
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def classify_files(
    paths: Paths,
    params: Params | None = None,
    *,
    output: str | os.PathLike[str],
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    labels: str | os.PathLike[str] | NDArray[Any] | None = None,
    several: bool | None = None,
    precision: str = "float32",
    brightest: bool = False,
    on_error: str = "stop",
    format: str = ".parquet",
    shard_size: int = 1_000_000,
    resume: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
    transposed: bool = False,
) -> Tally:
    """Classifies files of images and writes one row per image, as `jaxnet classify` does.

    Args:
        paths: one or more, as for `jaxnet.data.open_inputs`.
        params: the network; by default the trained one.
        output: a file, whose ending gives the format (.csv, .jsonl, .parquet or .npy), or, without
            an ending, a folder of shards with a manifest.
        squash, last_squash: as for `jaxnet.save`.
        labels: the digits shown, shape `(n,)`, or a path as for `jaxnet.data.read_labels`: the
            same as that of the images, where it holds labels, too. Where a column of a table names
            the pictures, they get their labels by name.
        several: whether a picture may show more than one digit, and then has a row for each; by
            default, if there are no labels.
        precision, brightest: as for `jaxnet.inference.classifier`.
        on_error: "stop" at an image that cannot be read, or "skip" it and mark its row.
        format: of shards.
        shard_size: rows per shard.
        resume: continue an interrupted job in a folder of shards; its output is byte-identical to
            that of a job that was not interrupted.
        overwrite: replace an output file that exists.
        recursive, transposed: as for `jaxnet.data.open_inputs`.

    Returns:
        The number of rows, of images that could not be read, and of right answers.

    Raises:
        ValueError: a bad argument, or a network that does not fit the images.
        FileError, OSError: an input that cannot be read, or an output that cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "digits.npy", numpy.zeros((3, 784), "uint8"))
        >>> jaxnet.batch.classify_files(folder / "*.npy", output=folder / "answers.csv")
        Tally(rows=3, unread=0, right=0)
        >>> (folder / "answers.csv").read_text()[:18]
        'image,digit,activa'
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else [*paths]
    check_output(
        output,
        paths,
        [labels],
        format=format,
        resume=resume,
        overwrite=overwrite,
        recursive=recursive,
    )
    network = load() if params is None else with_spec(params, squash, last_squash)
    side = side_of(network[1].sizes[0], "params")
    inputs = open_inputs(
        paths,
        several=labels is None if several is None else several,
        without=output if is_folder(output) else None,
        recursive=recursive,
        transposed=transposed,
        side=side,
        skip=on_error == "skip",
    )
    job = open_job(
        *network,
        inputs,
        labels,
        precision=precision,
        brightest=brightest,
        on_error=on_error,
        recursive=recursive,
    )
    tally = Tally()
    running = steps(job, output, format=format, shard_size=shard_size, resume=resume)
    with closing(running):
        for step in running:
            tally = step.tally
    return tally


def open_job(
    params: Params,
    spec: Spec,
    inputs: Inputs,
    labels: str | os.PathLike[str] | NDArray[Any] | None = None,
    *,
    precision: str = "float32",
    brightest: bool = False,
    on_error: str = "stop",
    recursive: bool = False,
) -> Job:
    """Makes a job, after checking that its inputs, labels and options fit together."""
    check_choice(("stop", "skip"), on_error, "on_error")
    check_choice(PRECISIONS, precision, "precision")
    if PRECISIONS[precision].lossy and inputs.floats:
        raise ArgumentError(
            "precision", f"{precision} needs uint8; {inputs.floats} is read as floats."
        )
    is_path = isinstance(labels, str | os.PathLike)
    side = side_of(spec.sizes[0], "params")
    known: Any = labels
    if is_path:
        known, inputs = labels_of(inputs, labels, recursive=recursive, side=side)
    elif labels is not None:
        known = as_labels(np.asarray(labels), "labels")
    classify = classifier(
        params,
        **spec.squashes,
        precision=precision,
        brightest=brightest and not inputs.pictures,  # whose confidence needs all outputs
        check_range=False,  # the inputs report each image that is out of range
        batch_size=min(inputs.n, inputs.at_once),
    )
    if known is not None:
        name, n_outputs = labels if is_path else "labels", max(len(params[-1].biases), 2)
        if len(known) != inputs.n:
            raise FileError(f"{name}: {len(known):,} labels for {inputs.n:,} images.")
        if known.max(initial=0) >= n_outputs:  # a single one answers 0 or 1
            raise FileError(
                f"{name}: labels up to {known.max()}, but the network has {n_outputs} answers, "
                f"0 to {n_outputs - 1}."
            )
        if known.max(initial=0) > _HIGHEST:
            raise FileError(f"{name}: labels up to {known.max()}; {_HIGHEST} is the highest here.")
    return Job(params, spec, inputs, classify, known, precision, brightest, on_error == "skip")


def steps(
    job: Job,
    output: str | os.PathLike[str] | BinaryIO | None = None,
    *,
    format: str = ".parquet",
    shard_size: int = 1_000_000,
    resume: bool = False,
) -> Generator[Step]:
    """Runs a job step by step, writing to a file, to a folder of shards or nowhere."""
    if output is None:
        return read(job)
    if not isinstance(output, str | os.PathLike):
        check_ending(f"output{format}")
        return write_rows(job, output, format, 0, job.inputs.n, Tally())
    if not is_folder(output):
        return write_file(job, Path(output))
    if shard_size < 1:
        raise ArgumentError("shard_size", f"expected at least 1 row; got {shard_size}.")
    return write_shards(job, Path(output), ending=format, size=shard_size, resume=resume)


def is_folder(output: str | os.PathLike[str]) -> bool:
    """Whether an output is a folder of shards: it has no ending, or ends with a slash."""
    return not Path(output).suffix or os.fspath(output).endswith(("/", os.sep))


def check_output(
    output: str | os.PathLike[str],
    paths: Iterable[str | os.PathLike[str]],
    others: Iterable[Any] = (),
    *,
    format: str = ".parquet",
    resume: bool = False,
    overwrite: bool = False,
    recursive: bool = False,
) -> None:
    """Fails before any work if the output cannot be written or would overwrite an input."""
    target = Path(output)
    if not target.name:
        raise ArgumentError("output", f"expected a file or a folder; got '{target}'.")
    if not is_folder(output):
        check_ending(target)
        if resume:
            raise ArgumentError("resume", "only a folder of shards can be resumed; got a file.")
        several = [expand(os.fspath(path), recursive=recursive) for path in paths]
        inputs = [Path(file) for files in several for file in files]
        inputs += [Path(p) for p in others if isinstance(p, str | os.PathLike)]
        check_free(target, inputs, overwrite=overwrite)
        return
    check_ending(target.with_suffix(format))
    if not target.exists():
        check_free(target)
    elif not target.is_dir():
        raise FileError(f"{target}: this is a file; choose a folder, or a file with an ending.")
