"""Data sets as people have them: folders for classes, EMNIST, QMNIST, Hugging Face's Parquet."""

import gzip
import re

import numpy as np
import pytest
from PIL import Image

from jaxnet._util.files import FileError
from jaxnet.data import open_inputs, read_images, read_labels, write_idx

N = 700
CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (N, 784), np.uint8)
LABELS = CHANCE.integers(0, 10, N).astype(np.uint8)
SQUARE = PIXELS.reshape(-1, 28, 28)


def as_float(images):
    return images / np.float32(255) if images.dtype == np.uint8 else images


@pytest.fixture
def classes(tmp_path):
    """Ten pictures in a folder for each of three classes."""
    for n in range(30):
        page = np.full((28, 28), 255, np.uint8)
        page[4:24, 4 + n % 20 : 7 + n % 20] = 0
        folder = tmp_path / "own" / f"{(0, 3, 10)[n % 3]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(page).save(folder / f"{n:02}.png")
    return tmp_path / "own"


def test_folder_for_each_class(classes):
    names = read_images(classes).names
    assert names == sorted(str(path) for path in classes.rglob("*.png"))
    expected = [int(name.split("/")[-2]) for name in names]
    assert sorted(expected) == [0] * 10 + [3] * 10 + [10] * 10
    for path in (classes, classes / "*" / "*.png", classes / "**"):
        np.testing.assert_array_equal(read_labels(path), expected)
    np.testing.assert_array_equal(read_labels(classes / "3"), [3] * 10)
    np.testing.assert_array_equal(read_labels(classes / "10" / "02.png"), [10])
    # With pictures beside them, folders are just folders.
    (classes / "3" / "04.png").rename(classes / "04.png")
    assert len(read_images(classes).names) == 1
    with pytest.raises(
        FileError, match=r"04\.png: expected this picture in a folder .*; got 'own'"
    ):
        read_labels(classes)


def test_what_a_folder_passes_over(classes):
    assert open_inputs([classes]).notes == ()
    (classes / "other" / "deep").mkdir(parents=True)
    (classes / "3" / "inside").mkdir()
    (classes / "3" / "07.png").rename(classes / "other" / "deep" / "07.png")
    for name in ("a.txt", "b.txt", "c.db", "README", "3/d.TXT", "3/.e.png", ".DS_Store"):
        (classes / name).write_text("no picture")
    (classes / "here").symlink_to(".")
    inputs = open_inputs([classes])
    assert inputs.n == 29
    files = "5 files of other kinds (3 .txt, 1 .db, 1 no ending)"
    assert inputs.notes[0].replace("1 no ending, 1 .db", "1 .db, 1 no ending") == (
        f"{classes}: passed over {files}, 1 hidden picture, 1 link to folders, "
        "2 folders (recursive=True goes into them)."
    )
    inputs = open_inputs([classes], recursive=True)
    assert inputs.n == 30
    assert f"{classes}/other/deep/07.png" in inputs.read(0, 30).names
    assert "1 link to folders." in inputs.notes[0]
    (classes / "top.png").write_bytes((classes / "3" / "04.png").read_bytes())
    assert open_inputs([classes]).n == 1
    assert open_inputs([classes], recursive=True).n == 31


def test_empty_folder_says_what_is_there(tmp_path):
    (tmp_path / "scans").mkdir()
    np.save(tmp_path / "a.npy", PIXELS)
    says = (
        r"no pictures in this folder \(.*\); passed over 1 file .*1 \.npy.*, 1 folder \(recursive="
    )
    with pytest.raises(FileError, match=says):
        open_inputs([tmp_path])


@pytest.mark.parametrize("form", [(28, 28, 1), (1, 28, 28)])
@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "i8", "u2", ">i4", "f4"])
@pytest.mark.parametrize("fortran", [False, True])
def test_shapes_and_integers(tmp_path, form, kind, fortran):
    array = PIXELS.reshape(N, *form)
    array = (array / 255).astype(kind) if kind == "f4" else array.astype(kind)
    np.save(tmp_path / "a.npy", np.asfortranarray(array) if fortran else array)
    inputs = open_inputs([tmp_path / "a.npy"])
    images = inputs.read(3, N).images
    assert images.dtype == (np.float32 if kind == "f4" else np.uint8)
    assert (inputs.floats is None) == (kind != "f4")
    np.testing.assert_allclose(as_float(images), as_float(PIXELS[3:]), atol=1e-7)
    np.save(tmp_path / "one.npy", array[0])
    assert read_images(tmp_path / "one.npy").images.shape == (1, 784)


def test_integers_out_of_range(tmp_path):
    array = PIXELS.astype("i4")
    array[5, 0], array[7, 0], array[9] = 256, -1, array[9] > 0
    np.save(tmp_path / "a.npy", array)
    images, _, errors, _ = open_inputs([tmp_path / "a.npy"]).read(4, 12)
    assert [*errors] == [1, 3, 5]
    assert re.search(r"a\.npy\[5\]: expected integers from 0 to 255; got 0 to 256\.$", errors[1])
    assert errors[5].endswith("got 0 to 1; save zeros and ones as floats.")
    np.testing.assert_array_equal(images[[0, 2, 4]], PIXELS[[4, 6, 8]])


def test_qmnist_labels(tmp_path):
    table = CHANCE.integers(0, 4000, (N, 8)).astype("i4")
    table[:, 0] = LABELS
    write_idx(tmp_path / "qmnist-test-labels-idx2-int.gz", table)
    np.testing.assert_array_equal(read_labels(tmp_path / "qmnist-test-labels-idx2-int.gz"), LABELS)
    np.save(tmp_path / "a.npy", table)  # which nobody has so
    with pytest.raises(FileError, match=r"shape \(n,\); got int32 \(700, 8\)"):
        read_labels(tmp_path / "a.npy")


def test_transposed(tmp_path):
    write_idx(tmp_path / "emnist", SQUARE.transpose(0, 2, 1))
    inputs = open_inputs([tmp_path / "emnist"], transposed=True)
    np.testing.assert_array_equal(inputs.read(5, 90).images, PIXELS[5:90])
    assert inputs.read(0, 1).images.dtype == np.uint8
    np.testing.assert_array_equal(read_images(tmp_path / "emnist", transposed=True).images, PIXELS)
    assert inputs.identity != open_inputs([tmp_path / "emnist"]).identity


def test_hugging_face_labels(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"bytes": row.tobytes(), "path": None} for row in PIXELS]
    for name, labels in (
        ("label", pa.array(LABELS, pa.int64())),
        ("label", pa.array(map(str, LABELS.tolist()))),
        ("class", pa.array(map(str, LABELS.tolist())).dictionary_encode()),
    ):
        table = pa.table({"image": rows, name: labels})
        parquet.write_table(table, tmp_path / "a.parquet", row_group_size=64)
        np.testing.assert_array_equal(read_images(tmp_path / "a.parquet").images, PIXELS)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.parquet"), LABELS)
    for labels, says in (
        ([None, 1], "rows without a label"),
        (["a", "b"], "expected integers in the column 'label'; got string"),
        ([1, 256], "labels from 0 to 255"),
        ([1.5, 2.0], "expected integers"),
    ):
        parquet.write_table(pa.table({"image": rows[:2], "label": labels}), tmp_path / "b")
        with pytest.raises(FileError, match=f"b: .*{says}"):
            read_labels(tmp_path / "b")
    parquet.write_table(pa.table({"image": rows}), tmp_path / "c")
    with pytest.raises(FileError, match=r"c: expected one column called label.*; got 'image'"):
        read_labels(tmp_path / "c")


def test_lists_of_integers(tmp_path):
    """As pandas and Ray write lists of Python's integers."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = PIXELS.astype(int)
    rows[3, 0] = 256
    parquet.write_table(pa.table({"image": pa.array(rows.tolist())}), tmp_path / "a")
    images, _, errors, _ = open_inputs([tmp_path / "a"]).read(0, N)
    assert [*errors] == [3]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[4:], PIXELS[4:])


def test_no_labels(tmp_path):
    (tmp_path / "a").write_bytes(b"\x80\x81 nothing known")
    with pytest.raises(FileError, match=r"a: expected labels in IDX, .*, \.npz, Parquet, CSV\."):
        read_labels(tmp_path / "a")
    (tmp_path / "b").write_bytes(gzip.compress(b"label,pixel0\n"))
    with pytest.raises(FileError, match="b: not an IDX file"):
        read_labels(tmp_path / "b")
