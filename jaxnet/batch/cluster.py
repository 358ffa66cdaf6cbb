"""Distributed classification with Ray Data.

    import ray
    from jaxnet.batch import cluster

    ray.init()                                       # or the address of a cluster
    dataset = cluster.read("digits.parquet")         # or CSV, .npy, IDX, folders of pictures
    answers = cluster.classify(dataset, jaxnet.pretrained())
    answers.drop_columns(["image"]).write_parquet("answers")
    cluster.flat(answers).write_csv("answers")       # which has no lists

Both return at once; the work begins when rows are requested. If a worker dies its work is retried
elsewhere, and every row is emitted exactly once. Workers need jaxnet installed, and files
must lie where all of them can read them. Ray needs at least two cores: with one, a step may
wait for ever for the core of another.

Rows come out as they are done. For the order in which they went in, set before:

    ray.data.DataContext.get_current().execution_options.preserve_order = True
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxnet import inference
from jaxnet._util.files import FileError
from jaxnet._util.optional import package
from jaxnet._util.pixels import is_pixel_dtype, side_of
from jaxnet.data import open_inputs, read_labels
from jaxnet.data._arrays import COARSE, is_one_image
from jaxnet.data._parquet import IMAGE_COLUMNS, column_images, image_column
from jaxnet.data._paths import expand
from jaxnet.data._rows import Numbered
from jaxnet.data.pictures._decode import SUFFIXES, is_picture
from jaxnet.inference._classify import concatenate
from jaxnet.network import SIDE, Params, Squash, check_params

__all__ = ["as_images", "classify", "read"]

try:
    import pyarrow as pa
    import ray.data
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "A cluster needs Ray: pip install 'jaxnet-digits[ray]'", name=error.name
    ) from error

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_BLOCK = 16_384  # images of one file per block


def classify(
    dataset: ray.data.Dataset,
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    column: str | None = None,
    batch_size: int = 16_384,
    workers: int | None = None,
    num_gpus: float = 0,
) -> ray.data.Dataset:
    """Classifies the image of every row, in workers that compile the network once each.

    Args:
        dataset: with one image a row, as `as_images` converts it. Bytes reach the device as
            bytes.
        params: the network, of square images; for one in a file, call `jaxnet.load(path)`.
        squash, last_squash: as in `forward`; with a file, `**spec.squashes`.
        column: where the images are; by default `image`, `images` or `pixels`, or the only column
            that can be of images, as in Parquet files.
        batch_size: images that a worker reads at a time, at most.
        workers: how many there are at most; by default as many as have work and room.
        num_gpus: GPUs for each. Without one, a worker takes one core, and leaves GPUs alone.

    Returns:
        The dataset with two more columns: `digit`, an integer from 0 to 9, and `activations`, a
        list of ten floats. All others are as they were.

    Raises:
        TypeError, ValueError: no network of square images, or numbers below what is needed.
        ray.exceptions.RayTaskError: when rows are requested, if a column is missing or there
            already, or holds no images; it quotes the sentence that says so.

    Example:
        >>> dataset = cluster.read("scans")  # doctest: +SKIP
        >>> cluster.classify(dataset, jaxnet.pretrained()).show()  # doctest: +SKIP

    It is run in `examples/cluster.py`, since a cluster takes seconds to start.
    """
    check_params(params)
    side = side_of(params[0][0].shape[1], "params")
    for name, number, least in (
        ("batch_size", batch_size, 1),
        ("workers", 1 if workers is None else workers, 1),
        ("num_gpus", num_gpus, 0),
    ):
        if number < least:
            raise ValueError(f"Expected {name} of {least} or more; got {number} instead.")
    # In NumPy, since deserializing a JAX array would start a device.
    host = jax.tree.map(np.asarray, params)
    return dataset.map_batches(
        _Classifier,
        fn_constructor_args=(host, squash, last_squash, column, batch_size, num_gpus > 0, side),
        batch_format="pyarrow",
        # Without GPUs, do not let Ray coalesce files into one batch, for a single worker.
        batch_size=batch_size if num_gpus else None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_gpus=num_gpus or None,
        udf_modifying_row_count=False,
    )


def flat(answers: ray.data.Dataset) -> ray.data.Dataset:
    """Makes answers a table of single values, which CSV can hold, as `jaxnet classify` writes."""
    return answers.map_batches(_flat, batch_format="pyarrow", udf_modifying_row_count=False)


def read(paths: Paths, *, labels: bool = False, side: int = SIDE) -> ray.data.Dataset:
    """Makes a dataset of images in files; each file is read by one worker, in blocks.

    Args:
        paths: one or several. Parquet: files, folders of them, or addresses such as
            `s3://bucket/digits.parquet`. Or whatever `jaxnet.data.read_images` takes: CSV, IDX,
            `.npy` and `.npz` files, pictures, which are brought into MNIST's form, and folders of
            these.
        labels: read what the images show, too, from files that hold both. Columns of Parquet files
            are read in any case.
        side: as for `jaxnet.data.open_inputs`.

    Returns:
        What the Parquet files hold; of others, the columns `path`, `index`, the place in the
        file from 0, `image`, a list of pixels, and `label`, if wanted.

    Raises:
        ValueError: no paths, or Parquet among others.
        FileError: a folder with nothing to read in it.
        OSError: there is no such file.
        ray.exceptions.RayTaskError: when rows are requested, if a file is damaged or holds no
            images; it quotes the sentence that says so.

    Example:
        >>> cluster.read(["one.npy", "t10k-images-idx3-ubyte.gz"]).count()  # doctest: +SKIP
        10001
    """
    names = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    # Workers may have another working directory.
    names = [os.fspath(p) if "://" in os.fspath(p) else os.path.abspath(p) for p in names]
    kinds = {_is_parquet(name) for name in names}
    if len(kinds) != 1:
        raise ValueError(
            "Expected paths of one kind, one at least; got "
            f"{'Parquet among others' if kinds else 'none'} instead."
        )
    if kinds == {True}:
        return ray.data.read_parquet(names)
    files = [{"path": file} for name in names for file in _files(Path(name))]
    read_each = partial(_read_each, labels=labels, side=side)
    return ray.data.from_items(files).map_batches(read_each, batch_size=1)


def as_images(column: pa.ChunkedArray, name: str = "image", *, side: int = SIDE) -> NDArray[Any]:
    """Converts an Arrow column to images, as `classify` does with each batch.

    Args:
        column: lists or tensors of 784 or 28×28 in each row, integers from 0 to 255 or floats
            from 0 to 1; 784 bytes; or a picture's bytes, alone or as the field `bytes` of a struct,
            as Hugging Face has them.
        name: of the column, for the message.
        side: of the images, instead of 28.

    Returns:
        Images for `jaxnet.classify`, shape `(n, side²)`: uint8 or floats.

    Raises:
        ValueError: anything else, or rows with nothing in them.

    Example:
        >>> import pyarrow
        >>> as_images(pyarrow.chunked_array([[bytes(784), bytes(784)]])).shape
        (2, 784)
    """
    if not len(column):
        return np.empty((0, side**2), np.uint8)
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = column.flatten()[column.type.get_field_index("bytes")]
    if column.null_count == 0 and _holds_pictures(column):
        names = Numbered(name, range(len(column)))
        images, _, errors, _ = column_images(column.combine_chunks(), names, side)
        for says in errors.values():
            raise ValueError(says)
        return images
    values, shape = _values(column)
    fault = None
    if column.null_count:
        fault = f"nothing in {column.null_count} of {len(column)} rows"
    elif not is_one_image(shape, side):
        fault = f"{column.type} of {' × '.join(map(str, shape)) or 'single values'}"
    elif side <= COARSE and 1 < values.max() <= COARSE:
        fault = (
            f"numbers up to {values.max()}, whose scale is unclear: divide them by that of white"
        )
    elif values.dtype.kind in "ui" and values.dtype != np.uint8:
        low, high = values.min(), values.max()
        if low < 0 or high > 255 or high == 1:
            fault = f"integers from {low} to {high}"
        values = values.astype(np.uint8)
    elif not is_pixel_dtype(values.dtype):
        fault = f"{column.type}"
    elif values.dtype.kind == "f" and not (values.min() >= 0 and values.max() <= 1):
        fault = f"floats from {values.min()} to {values.max()}"
    if fault:
        raise ValueError(
            f"Expected an image in each row of the column {name!r}, {side**2} or {side}×{side} "
            f"integers from 0 to 255 or floats from 0 to 1; got {fault} instead."
        )
    return values.reshape(-1, side**2)


class _Classifier:
    """A worker: holds the network and its classifier between batches."""

    def __init__(
        self,
        params: Params,
        squash: Squash,
        last_squash: Squash,
        column: str | None,
        batch_size: int,
        on_gpu: bool,
        side: int,
    ) -> None:
        if not on_gpu:
            jax.config.update("jax_platforms", "cpu")
            os.environ["NPROC"] = "1"  # XLA's threads: the other cores are other workers'
        self.column, self.batch_size, self.side = column, batch_size, side
        self.classify = inference.classifier(
            jax.tree.map(jnp.asarray, params),
            squash=squash,
            last_squash=last_squash,
            batch_size=batch_size,
        )

    def __call__(self, rows: pa.Table) -> pa.Table:
        names = rows.column_names
        column = self.column or next((name for name in IMAGE_COLUMNS if name in names), None)
        column = column or image_column(rows.schema, "the dataset", self.side)
        taken = {"digit", "activations"}.intersection(names)
        if names.count(column) != 1 or taken:
            raise ValueError(
                f"Expected a column {column!r}, and none that is named digit or activations; "
                f"got {', '.join(names)} instead. To rename them, use dataset.rename_columns."
            )
        images = as_images(rows[column], column, side=self.side)
        size = self.batch_size
        starts = range(0, max(len(images), 1), size)
        digits, activations = concatenate(self.classify(images[at : at + size]) for at in starts)
        # Parquet has no types that are narrower than a float.
        activations = activations.astype(np.promote_types(activations.dtype, np.float32))
        rows = rows.append_column("digit", pa.array(digits))
        return rows.append_column("activations", _lists(activations))


def _flat(rows: pa.Table) -> pa.Table:
    """The columns of single values, and one for each activation."""
    columns: dict[str, Any] = {}
    for name in rows.column_names:
        type_ = rows[name].type
        if name == "activations":
            several = rows[name].combine_chunks()
            values = several.flatten().to_numpy(zero_copy_only=False).reshape(len(several), -1)
            columns |= {f"activation_{n}": pa.array(a) for n, a in enumerate(values.T.copy())}
        elif not (pa.types.is_nested(type_) or pa.types.is_binary(type_)):
            columns |= {} if isinstance(type_, pa.BaseExtensionType) else {name: rows[name]}
    if "activation_0" not in columns:
        got = ", ".join(rows.column_names)
        raise ValueError(f"Expected answers, with a column 'activations'; got {got} instead.")
    return pa.table(columns)


def _holds_pictures(column: pa.ChunkedArray) -> bool:
    """Whether a column of bytes has pictures' among them."""
    types = pa.types
    if not (types.is_binary(column.type) or types.is_large_binary(column.type)):
        return False
    compute = package("pyarrow.compute")
    return any(map(is_picture, compute.binary_slice(column, 0, 16).unique().to_pylist()))


def _values(column: pa.ChunkedArray) -> tuple[NDArray[Any], tuple[int | str, ...]]:
    """All values of a column, flattened, and the shape of each row."""
    array = column.combine_chunks()
    if array.null_count:
        return np.empty(0), ()
    if hasattr(array, "to_numpy_ndarray"):  # a tensor, of Arrow's own or of Ray's
        tensor = array.to_numpy_ndarray()
        return tensor.ravel(), tensor.shape[1:]
    if isinstance(array, (pa.BinaryArray, pa.LargeBinaryArray, pa.FixedSizeBinaryArray)):
        texts = array.to_pylist()
        return np.frombuffer(b"".join(texts), np.uint8), (_shared(map(len, texts)),)
    shape = ()
    while isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        shape += (_shared(array.value_lengths().unique().to_pylist()),)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False), shape


def _shared(lengths: Iterable[int]) -> int | str:
    """The common length, if there is one."""
    different = set(lengths)
    return different.pop() if len(different) == 1 else "different lengths"


def _lists(rows: NDArray[Any]) -> pa.FixedSizeListArray:
    """Rows as Parquet's native lists, which every program reads."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def _is_parquet(name: str) -> bool:
    """Whether a path is Parquet; a URL is, since nothing else is read from URLs."""
    path = Path(name)
    if "://" in name or path.suffix == ".parquet":
        return True
    return path.is_dir() and next(path.rglob("*.parquet"), None) is not None


def _files(path: Path) -> list[str]:
    """The file itself, or those in a folder that may hold images."""
    if not path.is_dir():
        for file in expand(str(path)):
            os.stat(file)  # fails now rather than in a worker, if it is not there
        return [str(path)]
    suffixes = (".npy", ".npz", ".csv", *SUFFIXES)
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and p.name[0] != ".")
    if files:
        return [str(p) for p in files]
    try:
        return expand(str(path))  # a folder for each digit
    except FileError as error:
        kinds = ", ".join((".parquet", *suffixes))
        raise FileError(f"{path}: no images in this folder ({kinds}).") from error


def _read_each(files: Any, labels: bool, side: int) -> Iterator[pa.Table]:
    for path in map(str, files["path"]):
        inputs = open_inputs([path], side=side)
        known = read_labels(path, side=side) if labels else None
        if known is not None and len(known) != inputs.n:
            raise FileError(f"{path}: {len(known):,} labels for {inputs.n:,} images.")
        for at in range(0, inputs.n, _BLOCK):
            images, _, errors, _ = inputs.read(at, min(at + _BLOCK, inputs.n))
            for says in errors.values():
                raise FileError(says)
            index = np.arange(at, at + len(images))
            table = {"path": [path] * len(images), "index": index, "image": _lists(images)}
            if known is not None:
                table["label"] = known[at : at + len(images)]
            yield pa.table(table)
