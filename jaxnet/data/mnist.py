"""MNIST: 60,000 handwritten digits for training and 10,000 for testing.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, replacing
from jaxnet.data._idx import read_idx
from jaxnet.network import SIDE

__all__ = ["MIRRORS", "Digits", "load_mnist"]

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_PREFIX = {"train": "train", "test": "t10k"}
_SHA256 = {  # of the uncompressed bytes: the same digits are published in several compressions
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Digits(NamedTuple):
    """Images and their labels.

    Attributes:
        images: uint8 of shape `(n, 784)`, from 0 (black) to 255 (white).
        labels: uint8 of shape `(n,)`, 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def load_mnist(
    split: Literal["train", "test"],
    folder: str | os.PathLike[str] | None = None,
    *,
    mirrors: Sequence[str] = MIRRORS,
) -> Digits:
    """Loads MNIST's train or test split from disk or cache, downloading it if necessary.

    Looks in `folder`. Without one, looks in the folder that the environment variable
    `JAXNET_DATA` names, then in the user's cache, and then downloads the files into that
    cache, checked by SHA-256.

    Args:
        split: "train" for the 60,000 images to learn from, "test" for the 10,000 others.
        folder: holds the files under their published names, compressed or not.
        mirrors: addresses to download from, tried in turn; none forbids downloading.

    Returns:
        The images and their labels.

    Raises:
        FileError: the files are neither found nor downloaded, do not hold images with labels, or
            are not MNIST's: Fashion-MNIST and others have the same names, but another SHA-256.
        OSError: a file cannot be read.
        ValueError: another split.

    Example:
        >>> import jaxnet
        >>> images, labels = jaxnet.data.load_mnist("test")  # doctest: +SKIP
        >>> images.shape, labels.shape  # doctest: +SKIP
        ((10000, 784), (10000,))
    """
    if split not in _PREFIX:
        raise ValueError(f"Expected split 'train' or 'test'; got {split!r} instead.")
    images_path, labels_path = (
        _find(Path(folder), name) if folder else _find_or_fetch(name, mirrors)
        for name in (f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-labels-idx1-ubyte")
    )
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise FileError(
            f"{images_path}: expected images, uint8 of shape (n, {SIDE}, {SIDE}); "
            f"got {images.dtype} {images.shape}."
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
        raise FileError(
            f"{labels_path}: expected {len(images):,} labels, uint8 from 0 to 9, one per image "
            f"of {images_path}; got {labels.dtype} {labels.shape} up to {labels.max(initial=0)}."
        )
    for path, array, name in (
        (images_path, images, f"{_PREFIX[split]}-images-idx3-ubyte"),
        (labels_path, labels, f"{_PREFIX[split]}-labels-idx1-ubyte"),
    ):
        if _digest(array) != _SHA256[name]:
            raise FileError(
                f"{path}: has the name of an MNIST file but other content (Fashion-MNIST uses the "
                "same names); pass the image and label files by path instead."
            )
    return Digits(images.reshape(-1, SIDE**2), labels)


def split_of(images: NDArray[Any]) -> str | None:
    """The split of MNIST that images are, by their SHA-256, wherever they come from."""
    if images.dtype != np.uint8 or len(images) not in (60_000, 10_000):
        return None
    digest = _digest(images.reshape(-1, SIDE, SIDE))
    names = {_SHA256[f"{prefix}-images-idx3-ubyte"]: split for split, prefix in _PREFIX.items()}
    return names.get(digest)


def is_mnists_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is named like one of MNIST's; its content may be something else."""
    return Path(path).name.removesuffix(".gz").replace(".idx", "-idx") in _SHA256


def _digest(array: NDArray[np.uint8]) -> str:
    """The SHA-256 of the array as an IDX file."""
    digest = hashlib.sha256(bytes([0, 0, 8, array.ndim]))
    digest.update(np.array(array.shape, ">u4").tobytes())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _find(folder: Path, name: str) -> Path:
    """Finds a file in a folder, compressed or not, with a dash or a dot in its name."""
    for variant in (name, name.replace("-idx", ".idx")):
        for path in (folder / variant, folder / f"{variant}.gz"):
            if path.is_file():
                return path
    raise FileError(f"{folder}: no {name} or {name}.gz here.")


def _find_or_fetch(name: str, mirrors: Sequence[str]) -> Path:
    """Finds a file on disk, or downloads it to the user's cache."""
    named = ""
    if folder := os.environ.get("JAXNET_DATA"):
        with suppress(FileError):
            return _find(Path(folder), name)
        is_there = "has no such file" if os.path.isdir(folder) else "is no folder"
        named = f"; JAXNET_DATA names {folder}, which {is_there}"
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise FileError(
            f"{name}: not found{named}. MNIST is downloaded by pooch: pip install "
            "'jaxnet-digits[mnist]', or set the variable JAXNET_DATA to the folder of its files."
        ) from error
    cache = Path(pooch.os_cache("jaxnet"))
    with suppress(FileError):
        return _find(cache, name)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{name}.gz"
    failures: list[str] = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{path.name}"
        try:
            with replacing(path) as file:
                pooch.HTTPDownloader(progressbar=True)(url, file, None)
                file.seek(0)
                with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                    if hashlib.file_digest(unpacked, "sha256").hexdigest() != _SHA256[name]:
                        raise FileError("sent other bytes than MNIST's")
            return path
        except (OSError, EOFError, zlib.error, ValueError) as error:
            failures.append(f"{urlsplit(url).netloc} {_why(error)}")
    tried = "; ".join(failures) or "no mirrors"
    raise FileError(
        f"MNIST was not found and could not be downloaded ({tried}){named}. Put {name}.gz and the "
        f"others into {cache}, or name the folder that holds them in the variable JAXNET_DATA."
    )


def _why(error: Exception) -> str:
    """Why a download failed, in a few words; network packages take many."""
    if isinstance(error, FileError):
        return str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status:
        return f"answers {status}"
    damaged = isinstance(error, EOFError | zlib.error | gzip.BadGzipFile)
    return "sent damaged data" if damaged else "cannot be reached"
