"""Data sets as people have them: read as NumPy or Python's `csv` would, or refused in words."""

import csv
import gzip
import io
import os
import re
import zipfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from jaxnet._util.files import FileError
from jaxnet.data import open_inputs, read_images, read_labels, write_idx

N = 700  # more than the lines between two places that are kept
CHANCE = np.random.default_rng(0)
PIXELS = (CHANCE.integers(0, 256, (N, 784)) * (CHANCE.random((N, 784)) < 0.2)).astype(np.uint8)
LABELS = CHANCE.integers(0, 10, N).astype(np.uint8)
NAMES = [f"pixel{n}" for n in range(784)]
SQUARES = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]


def write_csv(path, rows, header=None, **options):
    """By Python's own `csv`, which knows nothing of Arrow."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, **options)
        if header:
            writer.writerow(header)
        writer.writerows(rows.tolist() if isinstance(rows, np.ndarray) else rows)


def labeled(pixels=PIXELS, labels=LABELS):
    return np.column_stack([labels, pixels])


def as_float(images):
    return images / np.float32(255) if images.dtype == np.uint8 else images


@pytest.mark.parametrize(
    ("rows", "header", "options"),
    [
        (labeled(), ["label", *NAMES], {}),
        (np.column_stack([PIXELS, LABELS]), [*NAMES, "label"], {}),
        (np.insert(PIXELS, 300, LABELS, 1), [*NAMES[:300], "label", *NAMES[300:]], {}),
        (labeled(), ["label", *SQUARES], {}),
        (labeled(), ["class", *NAMES], {"lineterminator": "\n"}),
        (labeled(), ["Label", *NAMES], {"quoting": csv.QUOTE_ALL}),
        (labeled(), ["target", *NAMES], {"delimiter": ";"}),
        (labeled(), ["digit", *NAMES], {"delimiter": "\t"}),
        (np.column_stack([np.arange(N), labeled()]), ["", "label", *NAMES], {}),
        (np.column_stack([np.arange(N), labeled()]), ["id", "label", *NAMES], {}),
        (labeled(PIXELS[:, ::-1]), ["label", *NAMES[::-1]], {}),
        (labeled(), None, {}),
        (np.column_stack([PIXELS, LABELS]), None, {}),
        (labeled(PIXELS.astype(float)), ["label", *NAMES], {}),
    ],
)
def test_csv(tmp_path, rows, header, options):
    path = tmp_path / "its name says nothing"
    write_csv(path, rows, header, **options)
    inputs = open_inputs([path])
    assert inputs.n == N
    for start, stop in ((0, N), (0, 1), (255, 257), (256, 512), (300, 301), (N, N), (5, 690)):
        rows = inputs.read(start, stop)
        assert rows.images.dtype == np.uint8
        np.testing.assert_array_equal(rows.images, PIXELS[start:stop])
        assert [*rows.names] == [f"{path}[{n}]" for n in range(start, stop)]
        assert rows.errors == {}
    np.testing.assert_array_equal(read_labels(path), LABELS)
    assert bool(inputs.notes) == (header is None)


@pytest.mark.parametrize("header", [NAMES, None, list(range(784))])
def test_csv_without_labels(tmp_path, header):
    write_csv(tmp_path / "test.csv", PIXELS, header)
    inputs = open_inputs([tmp_path / "test.csv"])
    np.testing.assert_array_equal(inputs.read(0, inputs.n).images, PIXELS)
    assert inputs.notes == ()
    with pytest.raises(FileError, match=r"test\.csv: expected a column called label, "):
        read_labels(tmp_path / "test.csv")


def test_columns_without_names_are_told(tmp_path):
    write_csv(tmp_path / "a.csv", labeled())
    write_csv(tmp_path / "b.csv", np.column_stack([PIXELS, LABELS]))
    for name, where in (("a", "first"), ("b", "last")):
        path = tmp_path / f"{name}.csv"
        assert open_inputs([path]).notes == (
            f"{path}: no header; the {where} of its 785 columns is taken for the labels.",
        )
    both = np.column_stack([PIXELS, PIXELS[:, 400]])
    write_csv(tmp_path / "c.csv", both)
    with pytest.raises(FileError, match=r"c\.csv: no header, and 785 columns of which neither"):
        open_inputs([tmp_path / "c.csv"])


@pytest.mark.parametrize("scale", [1, 255])
def test_csv_of_fractions(tmp_path, scale):
    values = (PIXELS / 255 * scale).round(4) - (PIXELS > 200) * 0.001 * scale
    write_csv(tmp_path / "a.csv", np.column_stack([LABELS, values]), ["label", *NAMES])
    inputs = open_inputs([tmp_path / "a.csv"])
    assert inputs.floats == str(tmp_path / "a.csv")
    np.testing.assert_allclose(inputs.read(0, N).images, values / scale, atol=1e-6)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.csv"), LABELS)


def test_csv_of_black_and_white(tmp_path):
    """Zeros and ones are black and white, not two shades of black."""
    write_csv(tmp_path / "a.csv", (PIXELS > 99).astype(int), NAMES)
    np.testing.assert_array_equal(read_images(tmp_path / "a.csv").images, PIXELS > 99)


def test_csv_forms(tmp_path):
    """A byte order mark, blank lines, and no line end after the last line."""
    write_csv(file := tmp_path / "a.csv", labeled(), ["label", *NAMES])
    lines = file.read_bytes().split(b"\r\n")
    file.write_bytes(
        b"\xef\xbb\xbf" + b"\r\n\r\n".join(lines[:300]) + b"\n" + b"\n".join(lines[300:-1])
    )
    np.testing.assert_array_equal(read_images(file).images, PIXELS)
    np.testing.assert_array_equal(read_labels(file), LABELS)
    write_csv(file, labeled())
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    np.testing.assert_array_equal(read_images(file).images, PIXELS)


def test_bad_rows_of_csv(tmp_path):
    rows = [*map(list, labeled().tolist())]
    rows[3][5], rows[300][784], rows[301][7] = "x", 256, ""
    rows[302], rows[303], rows[690][9] = rows[302][:-1], [7], -1
    rows[691][9] = "nan"
    write_csv(tmp_path / "a.csv", rows, ["label", *NAMES])
    images, _, errors = open_inputs([tmp_path / "a.csv"]).read(0, N)
    assert {n: says.split(": ", 1)[1] for n, says in errors.items()} == {
        3: "expected a number in column 6; got 'x'.",
        300: "expected integers from 0 to 255; got 0.0 to 256.0.",
        301: "expected a number in column 8; got nothing.",
        302: "expected 785 columns; got 784.",
        303: "expected 785 columns; got 1.",
        690: f"expected integers from 0 to 255; got -1.0 to {max(PIXELS[690])}.0.",
        691: "expected integers from 0 to 255; got nan to nan.",
    }
    good = [n for n in range(N) if n not in errors]
    np.testing.assert_array_equal(images[good], PIXELS[good])
    assert not images[[*errors]].any()
    assert errors[3].startswith(f"{tmp_path}/a.csv[3]: ")
    with pytest.raises(FileError, match=r"a\.csv\[302\]: expected 785 columns; got 784"):
        read_labels(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "image,digit,activation_0,activation_1\na.png,1,0.2,0.8\n",
            "these are answers of jaxnet's",
        ),
        ("name,size\na,1\n", r"expected 784 columns of pixels.*; got 2 \('name', …, 'size'\)"),
        ("1,2,3\n4,5,6\n", r"got 3 \(no header\)"),
        ("ImageId,Label\n1,7\n", "holds labels, but no images"),
        (",".join(f"label{n % 9}" for n in range(900)), "got 900"),
        ("label," + "7" * 100_000, "line of more than 65,536 bytes"),
    ],
)
def test_csv_without_images(tmp_path, text, says):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FileError, match=rf"a\.csv: .*{says}"):
        open_inputs([tmp_path / "a.csv"])


def test_labels_alone(tmp_path):
    write_csv(tmp_path / "submission.csv", np.column_stack([np.arange(N), LABELS]), ["Id", "Label"])
    np.savetxt(tmp_path / "labels.txt", LABELS, "%d")
    for name in ("submission.csv", "labels.txt"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS)
    (tmp_path / "bad.csv").write_text("label,x\n1,2\n7.5,2\n")
    with pytest.raises(FileError, match=r"bad\.csv\[1\]: expected a label in column 1; got 7\.5"):
        read_labels(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text("label,x\n1,2\nseven,2\n")
    with pytest.raises(FileError, match=r"bad\.csv\[1\]: expected a number in column 1; got 'sev"):
        read_labels(tmp_path / "bad.csv")


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
    images, _, errors = open_inputs([tmp_path / "a.npy"]).read(4, 12)
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
    images, _, errors = open_inputs([tmp_path / "a"]).read(0, N)
    assert [*errors] == [3]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[4:], PIXELS[4:])


def test_several_files_of_labels(tmp_path):
    for n in range(3):
        write_csv(tmp_path / f"{n}.csv", labeled()[n * 200 : n * 200 + 200], ["label", *NAMES])
    np.testing.assert_array_equal(read_labels(tmp_path / "*.csv"), LABELS[:600])
    np.testing.assert_array_equal(read_images(tmp_path / "*.csv").images, PIXELS[:600])


def test_no_labels(tmp_path):
    (tmp_path / "a").write_bytes(b"\x80\x81 nothing known")
    with pytest.raises(FileError, match=r"a: expected labels in IDX, .*, \.npz, Parquet, CSV\."):
        read_labels(tmp_path / "a")
    (tmp_path / "b").write_bytes(gzip.compress(b"label,pixel0\n"))
    with pytest.raises(FileError, match="b: not an IDX file"):
        read_labels(tmp_path / "b")
