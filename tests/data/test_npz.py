"""Archives as `numpy.savez` writes them, and others that only look like them."""

import io
import os
import zipfile
from functools import partial

import numpy as np
import pytest

from jaxnet._util.files import FileError
from jaxnet.data import open_inputs, read_images, read_labels

N = 700
CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (N, 784), np.uint8)
LABELS = CHANCE.integers(0, 10, N).astype(np.uint8)
TRAIN, TEST = slice(0, 500), slice(500, N)
SQUARE = PIXELS.reshape(-1, 28, 28)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names",
    [
        "x_train y_train x_test y_test",
        "train_images train_labels test_images test_labels",
        "X_training Y_training Xtest ytest",
    ],
)
def test_npz_of_splits(tmp_path, save, names):
    path = tmp_path / "mnist.npz"
    arrays = SQUARE[TRAIN], LABELS[TRAIN], SQUARE[TEST], LABELS[TEST].astype("i8")
    save(path, **dict(zip(names.split(), arrays, strict=True)))
    for part, asked, taken in (
        ("", {}, "test"),
        ("", {"split": "train"}, "train"),
        ("#train", {}, "train"),
        ("#test", {"split": "train"}, "test"),
    ):
        rows = {"train": TRAIN, "test": TEST}[taken]
        source = read_images(f"{path}{part}", **asked)
        np.testing.assert_array_equal(source.images, PIXELS[rows])
        assert source.names[7] == f"{path}#{taken}[7]"
        np.testing.assert_array_equal(read_labels(f"{path}{part}", **asked), LABELS[rows])


@pytest.mark.parametrize(
    "names", ["images labels", "x y", "arr_0 arr_1", "data target", "X_test y_test", "scans shown"]
)
@pytest.mark.parametrize("form", [(784,), (28, 28), (28, 28, 1), (1, 28, 28)])
def test_npz_of_one_set(tmp_path, names, form):
    images, labels = names.split()
    arrays = {labels: LABELS[:, None], images: np.asfortranarray(PIXELS.reshape(N, *form))}
    np.savez(tmp_path / "a", **arrays)
    source = read_images(tmp_path / "a.npz", split="train")
    np.testing.assert_array_equal(source.images, PIXELS)
    assert source.names[-1] == f"{tmp_path}/a.npz[{N - 1}]"
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npz"), LABELS)


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)


def npy(array):
    np.save(file := io.BytesIO(), array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (partial(zipped, members={"train.csv": "label"}), r"not of NumPy's arrays \('train.csv'\)"),
        (partial(zipped, members={}), r"not of NumPy's arrays \('nothing'\)"),
        (
            lambda p: np.savez(p, a=PIXELS, b=PIXELS),
            r"expected arrays of images.*a.npy \(700, 784\)",
        ),
        (lambda p: np.savez(p, a=np.zeros(3)), r"expected arrays of images and labels"),
        (
            lambda p: np.savez(p, x_train=PIXELS, x_val=PIXELS),
            "train and validation; name one, as in",
        ),
        (lambda p: np.savez(p, y=LABELS), "no images beside the labels"),
        (partial(zipped, members={"x.npy": npy(np.array([{}]))}), "array of numbers; got object"),
        (partial(zipped, members={"x.npy": npy(PIXELS)[:-9]}), "declares uint8 .* are there"),
        (partial(zipped, members={"x.npy": b"no"}), "header of this .npy file is damaged"),
        (
            partial(zipped, members={"x.npy": npy(PIXELS)}, compression=zipfile.ZIP_LZMA),
            "otherwise",
        ),
    ],
)
def test_bad_npz(tmp_path, write, says):
    write(tmp_path / "a.npz")
    with pytest.raises(FileError, match=rf"a\.npz: .*{says}"):
        open_inputs([tmp_path / "a.npz"])


def test_npz_without_a_part(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=PIXELS, y_train=LABELS, x_test=PIXELS)
    for read in (read_images, read_labels):
        with pytest.raises(FileError, match=r"no part .* called 'valid'; it has #train, #test"):
            read(f"{tmp_path}/a.npz#valid")
        with pytest.raises(ValueError, match="split: expected one of train, test, validation; got"):
            read(tmp_path / "a.npz", split="valid")
    with pytest.raises(FileError, match=r"a\.npz#test: no labels beside the images"):
        read_labels(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", PIXELS)
    with pytest.raises(FileError, match=r"no file is called .*#train, and this has no parts"):
        read_images(f"{tmp_path}/b.npy#train")
    os.rename(tmp_path / "b.npy", tmp_path / "b.npy#train")
    assert len(read_images(f"{tmp_path}/b.npy#train").images) == N
