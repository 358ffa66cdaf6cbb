"""Images however many, read a range at a time, held against the same images in NumPy."""

import errno
import gc
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import open_inputs, read_images, write_idx
from jaxnet.data._arrays import Layout, found, read_rows
from jaxnet.data._paths import expand
from jaxnet.data._rows import Numbered, Rows, together

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N = 23
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
FLOATS = (PIXELS / 255).astype(np.float32)
SQUARE = PIXELS.reshape(N, 28, 28)


def png(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def page(at=9):
    """A white page with an upright bar."""
    pixels = np.full((40, 30), 255, np.uint8)
    pixels[5:35, at : at + 4] = 0
    return pixels


def column(path, array, *, called="image", group=5):
    beside = [f"{n}" for n in range(len(array))]
    table = pa.table({"id": beside, called: array, "label": np.arange(len(array))})
    parquet.write_table(table, path, row_group_size=group)


NPY = {
    "npy": PIXELS,
    "npy, square": SQUARE,
    "npy, Fortran": np.asfortranarray(PIXELS),
    "npy, square, Fortran": np.asfortranarray(SQUARE),
    "npy, half": FLOATS.astype("f2"),
    "npy, single": FLOATS,
    "npy, double": (PIXELS / 255),
    "npy, big-endian, Fortran": np.asfortranarray(FLOATS.reshape(N, 28, 28).astype(">f4")),
    "npy, long": (PIXELS / 255).astype(np.longdouble),
}
COLUMNS = {
    "lists": pa.array(list(PIXELS)),
    "large lists": pa.array(list(PIXELS), pa.large_list(pa.uint8())),
    "lists of half": pa.array(list(FLOATS.astype("f2"))),
    "lists of single": pa.array(list(FLOATS)),
    "lists of double": pa.array(list(PIXELS / 255)),
    "fixed lists": pa.FixedSizeListArray.from_arrays(PIXELS.ravel(), 784),
    "lists of lists": pa.array(SQUARE.tolist(), pa.list_(pa.list_(pa.uint8()))),
    "fixed lists of fixed lists": pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(PIXELS.ravel(), 28), 28
    ),
    "bytes": pa.array([row.tobytes() for row in PIXELS]),
    "fixed bytes": pa.array([row.tobytes() for row in PIXELS], pa.binary(784)),
    "large bytes": pa.array([row.tobytes() for row in PIXELS], pa.large_binary()),
}


def write(path, kind):
    if kind in NPY:
        with open(path, "wb") as file:
            np.save(file, NPY[kind])
    elif kind in COLUMNS:
        column(path, COLUMNS[kind])
    else:
        values = {"IDX": SQUARE, "IDX of floats": FLOATS, "IDX, gzip": PIXELS}[kind]
        write_idx(path.with_name("it.gz") if "gzip" in kind else path, values)
        if "gzip" in kind:
            path.with_name("it.gz").rename(path)


KINDS = [*NPY, *COLUMNS, "IDX", "IDX of floats", "IDX, gzip"]


@pytest.fixture
def pipe(monkeypatch):
    """Has the standard input be a pipe, which some bytes are written into."""
    with ExitStack() as stack:

        def fill(content):
            reading, writing = os.pipe()
            writer = threading.Thread(target=write_all, args=(writing, content))
            stdin = open(reading)  # noqa: SIM115
            monkeypatch.setattr(sys, "stdin", stdin)
            stack.callback(writer.join)
            stack.callback(stdin.close)
            writer.start()

        def write_all(writing, content):
            with suppress(BrokenPipeError), open(writing, "wb") as file:
                file.write(content)

        yield fill


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["a file", "standard input"])
def test_every_format(tmp_path, pipe, kind, way):
    path = tmp_path / "its name says nothing"
    write(path, kind)
    if way == "a file":
        inputs, name = open_inputs([path]), str(path)
    else:
        pipe(path.read_bytes())
        inputs, name = open_inputs(["-"]), "standard input"
    assert inputs.n == N
    floats = "half" in kind or "single" in kind or "double" in kind or "float" in kind
    floats |= "endian" in kind or "long" in kind
    for start, stop in [(0, N), (3, 17), (4, 5), (N - 1, N), (N, N), (0, 0), (3, 17)]:
        images, names, errors, _ = inputs.read(start, stop)
        assert images.shape == (stop - start, 784)
        if start < stop:
            assert images.dtype == (np.float32 if floats else np.uint8)
        expected = FLOATS if floats else PIXELS
        np.testing.assert_allclose(images, expected[start:stop], atol=1e-3 if "half" in kind else 0)
        assert [*names] == [f"{name}[{n}]" for n in range(start, stop)]
        assert errors == {}


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Files of every kind with bad images among them, and what each image should be read as."""
    folder = tmp_path_factory.mktemp("mixture")
    expected = []

    def add(name, image, error=None):
        expected.append((str(folder / name), np.zeros(784) if error else image, error))

    np.save(folder / "a.npy", PIXELS[:6])
    for n in range(6):
        add(f"a.npy[{n}]", FLOATS[n])
    np.save(folder / "none.npy", PIXELS[:0])
    floats = FLOATS[6:11].copy()
    floats[1, 5], floats[3, 0] = np.nan, 1.5
    np.save(folder / "b.npy", np.asfortranarray(floats))
    for n in range(5):
        says = {1: "expected floats from 0 to 1; got nan", 3: "from 0 to 1; got .* to 1.5"}.get(n)
        add(f"b.npy[{n}]", floats[n], says)
    (folder / "scans").mkdir()
    for n, content in enumerate([png(page()), b"no picture", png(page(), "JPEG"), png(0 * page())]):
        (folder / "scans" / f"{n}.png").write_bytes(content)
        says = {1: "expected PNG", 3: "nothing is drawn here"}.get(n)
        good = None if says else jaxnet.data.read_image(folder / "scans" / f"{n}.png")
        add(f"scans/{n}.png", good, says)
    rows = [*PIXELS[11:15].tolist(), None, [1, 2, 3], PIXELS[17].tolist()]
    column(folder / "c", pa.array(rows, pa.list_(pa.uint8())), group=3)
    for n in range(7):
        says = {4: "expected a list of 784 numbers; got null", 5: "784 numbers; got 3"}.get(n)
        add(f"c[{n}]", FLOATS[11 + n], says)
    write_idx(folder / "d.gz", SQUARE[18:])
    for n in range(5):
        add(f"d.gz[{n}]", FLOATS[18 + n])
    names = ["a.npy", "none.npy", "b.npy", "scans", "c", "d.gz", "none.npy"]
    return open_inputs([folder / name for name in names]), expected


@pytest.mark.compiled
@settings(deadline=None)
@given(st.data())
def test_ranges_equal_single_rows(mixture, data):
    inputs, expected = mixture
    assert inputs.n == len(expected)
    start = data.draw(st.integers(0, inputs.n))
    stop = data.draw(st.integers(start, inputs.n))
    images, names, errors, _ = inputs.read(start, stop)
    wanted = expected[start:stop]
    assert [*names] == [name for name, _, _ in wanted]
    assert [*errors] == [n for n, (_, _, says) in enumerate(wanted) if says]
    for n, says in errors.items():
        assert says.startswith(f"{names[n]}: ")
        assert not np.any(images[n])
        with pytest.raises(AssertionError, match=wanted[n][2]):
            raise AssertionError(says)
    if images.dtype == np.uint8:
        images = images / 255
    np.testing.assert_allclose(images, np.reshape([i for _, i, _ in wanted], (-1, 784)), atol=1e-6)


def test_uint8_stays_uint8(mixture):
    inputs, _ = mixture
    assert inputs.read(0, 6).images.dtype == np.uint8
    assert inputs.read(0, 7).images.dtype == np.float32
    assert inputs.read(inputs.n - 7, inputs.n).images.dtype == np.uint8


@pytest.mark.parametrize("bounds", [(-1, 2), (3, 2), (0, 32), (40, 50)])
def test_bad_ranges(mixture, bounds):
    with pytest.raises(ValueError, match=r"within 0 to 27; got"):
        mixture[0].read(*bounds)


def test_hugging_face_pictures(tmp_path):
    pages = [page(at) for at in range(4, 16)]
    rows = [{"bytes": png(pixels), "path": None} for pixels in pages]
    rows[3] = None
    rows[5] = {"bytes": None, "path": "gone.png"}
    rows[7] = {"bytes": png(pages[7])[:60], "path": None}
    rows[9] = {"bytes": b"x" * 783, "path": None}
    column(tmp_path / "test-00000-of-00001.parquet", pa.array(rows))
    images, names, errors, _ = open_inputs([tmp_path / "test-*.parquet"]).read(0, 12)
    assert {n: says.split("parquet")[1] for n, says in errors.items()} == {
        3: "[3]: expected a picture's bytes or 784 pixels; got none.",
        5: "[5]: expected a picture's bytes or 784 pixels; got none.",
        7: "[7]: this picture is damaged.",
        9: "[9]: expected a picture's bytes or 784 pixels; got 783 other bytes.",
    }
    assert names[11].endswith("parquet[11]")
    good = [n for n in range(12) if n not in errors]
    np.testing.assert_array_equal(images[good], [jaxnet.data.as_mnist(pages[n]) for n in good])


def test_mixed_column(tmp_path):
    values = [PIXELS[0].tobytes(), png(page()), None, PIXELS[1].tobytes()]
    column(tmp_path / "a.parquet", pa.array(values), called="the only one of bytes")
    inputs = open_inputs([tmp_path / "a.parquet"])
    assert inputs.read(0, 1).images.dtype == np.uint8
    images, _, errors, _ = inputs.read(0, 4)
    assert [*errors] == [2]
    np.testing.assert_allclose(images[[0, 3]], FLOATS[:2], atol=1e-7)
    (tmp_path / "a.png").write_bytes(values[1])
    np.testing.assert_array_equal(images[1], jaxnet.data.read_image(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("array", "wrong"),
    [
        (pa.array([[[1] * 28] * 28, [[1] * 28] * 27], pa.list_(pa.list_(pa.uint8()))), "got 27"),
        (
            pa.array([[[1] * 28] * 28, [[1] * 28] * 27 + [[1]]], pa.list_(pa.list_(pa.uint8()))),
            "got null or another length inside",
        ),
        (pa.array([[1] * 784, [None] * 784], pa.list_(pa.uint8())), "got null or another"),
        (pa.array([[1] * 784, None], pa.list_(pa.uint8(), 784)), "got null"),
        (pa.array([[1.0] * 784, [2.0] * 784]), "expected floats from 0 to 1; got 2.0 to 2.0"),
        (pa.array([bytes(784), bytes(785)]), "got 785 other bytes"),
    ],
)
def test_bad_rows(tmp_path, array, wrong):
    column(tmp_path / "a.parquet", array)
    images, _, errors, _ = open_inputs([tmp_path / "a.parquet"]).read(0, 2)
    assert [*errors] == [1]
    assert f"a.parquet[1]: expected {wrong.removeprefix('expected ')}" in errors[1] or (
        errors[1].startswith(f"{tmp_path}/a.parquet[1]: expected") and wrong in errors[1]
    )
    assert (images[0] == images.flat[0]).all()
    assert not images[1].any()


def test_duplicate_columns(tmp_path):
    images = pa.array([bytes(784)])
    table = pa.Table.from_arrays([images, images], ["image", "image"])
    parquet.write_table(table, tmp_path / "a")
    with pytest.raises(FileError, match="one column called 'image'; got several"):
        open_inputs([tmp_path / "a"])


def test_names_of_consecutive_images():
    """They stay unformatted, of which a million take longer than a million images."""
    parts = [Rows(PIXELS[a:b], Numbered("a", range(a, b)), {}) for a, b in ((2, 7), (7, 7), (7, 9))]
    images, names, errors, _ = together(parts, 28)
    assert isinstance(names, Numbered)
    assert [*names] == [f"a[{n}]" for n in range(2, 9)]
    np.testing.assert_array_equal(images, PIXELS[2:9])
    assert errors == {}
    names = together([parts[2], parts[0]], 28).names
    assert [*names] == [f"a[{n}]" for n in (7, 8, *range(2, 7))]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"label": [1]}, "expected a column called image, images or pixels, .* got 'label'"),
        ({"a": [bytes(784)], "b": [bytes(784)]}, "or only one .* got 'a', 'b'"),
        ({"image": [1], "b": [bytes(784)]}, "in the column 'image'; got int64"),
        ({"pixels": [["1"] * 784]}, r"integers or floats.* got list<.*string>"),
        ({"images": pa.array([[1] * 10], pa.list_(pa.uint8(), 10))}, "got fixed_size_list"),
        ({"image": [{"path": "a.png"}]}, "got struct<path: string>"),
        ({"image": [{"bytes": [1.0] * 784}]}, "got struct<bytes: list"),
    ],
)
def test_tables_without_images(tmp_path, columns, says):
    parquet.write_table(pa.table(columns), tmp_path / "a")
    with pytest.raises(FileError, match=f"a: .*{says}"):
        open_inputs([tmp_path / "a"])


def truncated(kind, keep):
    def make(path):
        write(path, kind)
        os.truncate(path, int(keep * path.stat().st_size))

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (truncated("npy", 0.9), r"declares uint8 .* but 16,\d+ follow"),
        (truncated("npy", 0.001), "header of this .npy file is damaged"),
        (truncated("IDX", 0.9), "declares uint8 .* cut short"),
        (truncated("IDX, gzip", 0.9), "damaged gzip|cut short"),
        (truncated("lists", 0.9), "this Parquet file is damaged"),
        (truncated("lists", 0.001), "this Parquet file is damaged"),
        (lambda path: path.write_bytes(b""), "this is empty"),
        (lambda path: path.write_text("name digit\n"), "expected PNG.* Parquet, CSV"),
        (lambda path: path.mkdir(), "no pictures in this folder"),
        (
            lambda path: write_idx(path, np.arange(5).astype("u1")),
            r"expected images of shape .* \(5,\)",
        ),
        (lambda path: path.write_text("name,digit\n"), "holds labels, but no images"),
    ],
)
def test_bad_files(tmp_path, make, says):
    np.save(tmp_path / "good.npy", PIXELS)
    make(tmp_path / "bad")
    with pytest.raises(FileError, match=f"bad: .*{says}"):
        open_inputs([tmp_path / "good.npy", tmp_path / "bad"])


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npy"):
        open_inputs([tmp_path / "a.npy"])
    with pytest.raises(FileError, match=r"a\*\.npy: no file has this name or matches"):
        open_inputs([tmp_path / "a*.npy"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="pipe: a pipe or a device"):
        open_inputs([tmp_path / "pipe"])


def test_npy_versions(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array(file, PIXELS, version=version)
        inputs = open_inputs([tmp_path / "a.npy"])
        np.testing.assert_array_equal(inputs.read(0, N).images, PIXELS)


@pytest.mark.compiled
def test_floats_are_known_at_opening(tmp_path):
    for kind in KINDS:
        write(tmp_path / "a", kind)
        inputs = open_inputs([tmp_path / "a"])
        floats = inputs.read(0, 1).images.dtype != np.uint8
        assert inputs.floats == (str(tmp_path / "a") if floats else None)


def test_large_pictures_in_small_chunks(tmp_path):
    column(tmp_path / "small", COLUMNS["bytes"])
    column(tmp_path / "large", pa.array([{"bytes": os.urandom(300_000)} for _ in range(9)]))
    assert open_inputs([tmp_path / "small"]).at_once > 2_000
    assert open_inputs([tmp_path / "large"]).at_once == 16
    assert open_inputs([tmp_path / "large", tmp_path / "small"]).at_once == 16


def test_no_paths(tmp_path):
    np.save(tmp_path / "a.npy", FLOATS[:0])
    write_idx(tmp_path / "b.gz", SQUARE[:0])
    column(tmp_path / "c", COLUMNS["lists"][:0])
    for paths in (
        [],
        [tmp_path / "a.npy"],
        [tmp_path / "b.gz", tmp_path / "c", tmp_path / "a.npy"],
    ):
        inputs = open_inputs(paths)
        assert inputs.n == 0
        assert inputs.read(0, 0).images.shape == (0, 784)


@pytest.mark.parametrize("kind", ["npy", "npy, Fortran", "IDX", "lists", "bytes"])
@pytest.mark.parametrize("change", [-784, 784, 0])
def test_changed_file(tmp_path, kind, change):
    path = tmp_path / "images"
    write(path, kind)
    inputs = open_inputs([path])
    inputs.read(0, 3)
    if change:
        os.truncate(path, path.stat().st_size + change)
    else:
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    says = ".* bytes before" if change else "it was written to since"
    with pytest.raises(FileError, match=rf"images: this file has changed: {says}"):
        inputs.read(10, 20)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="images"):
        inputs.read(10, 20)


@pytest.mark.parametrize("kind", ["npy", "npy, square, Fortran", "IDX"])
def test_rows_outlive_their_file(tmp_path, kind):
    """A map of a file that is cut short would end the process here."""
    write(tmp_path / "images", kind)
    images = open_inputs([tmp_path / "images"]).read(3, 20).images
    os.truncate(tmp_path / "images", 0)
    np.testing.assert_array_equal(images, PIXELS[3:20])


@pytest.mark.parametrize("fortran", [False, True])
def test_file_truncated_while_reading(tmp_path, fortran):
    path = tmp_path / "values"
    path.write_bytes(bytes(10))
    layout = Layout(np.dtype("u1"), (6, 2), 0, fortran)
    with pytest.raises(FileError, match="values: this file has changed: it was cut short"):
        read_rows(found("values", str(path), path.stat()), layout, 3, 6)


def test_missing_picture(tmp_path):
    for n in range(4):
        (tmp_path / f"{n}.png").write_bytes(png(page(at=5 + 3 * n)))
    before = read_images(tmp_path).images
    inputs = open_inputs([tmp_path])
    (tmp_path / "1.png").unlink()
    (tmp_path / "00.png").write_bytes(png(page()))  # one that was not there
    (tmp_path / "3.png").write_bytes(b"another")
    images, _, errors, _ = inputs.read(0, 4)
    assert errors == {
        1: f"{tmp_path}/1.png: No such file or directory.",
        3: f"{tmp_path}/3.png: this file has changed: {len(png(page(at=14)))} bytes before, 7 now.",
    }
    np.testing.assert_array_equal(images[[0, 2]], before[[0, 2]])


def test_patterns(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/deep/2.png", "b/1.png", "0.png"):
        (tmp_path / name).write_bytes(png(page()))
    write(tmp_path / "b" / "x", "IDX, gzip")

    def names(pattern):
        inputs = open_inputs([f"{tmp_path}/{pattern}"])
        found = [os.path.relpath(name, tmp_path) for name in inputs.read(0, inputs.n).names]
        return found

    assert names("**/*.png") == ["0.png", "b/1.png", "b/deep/2.png"]
    assert names("b/*") == ["b/1.png", *(f"b/x[{n}]" for n in range(N))]  # no folders
    (tmp_path / "[0].png").write_bytes(png(page()))
    assert names("[0].png") == ["[0].png"]  # a file of this name


def test_unreadable_folders_in_patterns(tmp_path):
    write(tmp_path / "a.npy", "npy")
    os.symlink("gone.npy", tmp_path / "b.npy")
    with pytest.raises(FileNotFoundError, match=r"b\.npy"):
        open_inputs([tmp_path / "*.npy"])
    (tmp_path / "b.npy").unlink()
    os.mkfifo(tmp_path / "b.npy")
    with pytest.raises(FileError, match=r"b\.npy: a pipe or a device"):
        open_inputs([tmp_path / "**" / "*.npy"])


@pytest.fixture
def unprivileged():
    """A folder, and no right to read what nobody may read, which the tests' user may have."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("pattern", ["*/*.png", "**/*.png", "**", "*/deep/*.png", "b/[d]*/*.png"])
def test_unreadable_folder(unprivileged, pattern):
    for name in ("a", "b"):
        (unprivileged / name / "deep").mkdir(parents=True)
        for place in (unprivileged / name, unprivileged / name / "deep"):
            (place / "0.png").write_bytes(png(page()))
    assert open_inputs([unprivileged / pattern]).n > 0
    (unprivileged / "b").chmod(0)
    try:
        with pytest.raises(PermissionError, match="/b"):
            open_inputs([unprivileged / pattern])
    finally:
        (unprivileged / "b").chmod(0o700)


@pytest.mark.parametrize("way", [".", "*.png"])
def test_unreadable_pictures(unprivileged, way):
    for n in range(6):
        (unprivileged / f"{n}.png").write_bytes(png(page()))
    for n, target in ((1, "gone.png"), (2, "2.png"), (3, "0.png/a.png"), (4, 300 * "a")):
        (unprivileged / f"{n}.png").unlink()
        os.symlink(target, unprivileged / f"{n}.png")
    (unprivileged / "5.png").chmod(0)
    os.mkfifo(unprivileged / "6.png")
    inputs = open_inputs([unprivileged / way])
    images, names, errors, _ = inputs.read(0, inputs.n)
    assert (inputs.n, [*errors]) == (7, [1, 2, 3, 4, 5, 6])
    for n, number in ((1, "ENOENT"), (2, "ELOOP"), (3, "ENOTDIR"), (4, "ENAMETOOLONG")):
        assert errors[n] == f"{names[n]}: {os.strerror(getattr(errno, number))}."
    assert errors[5].endswith("5.png: Permission denied.")
    assert "6.png: a pipe or a device" in errors[6]
    assert images[0].any()
    assert not images[1:].any()


def test_patterns_skip_the_output_folder(tmp_path):
    out = tmp_path / "scans" / "out"
    out.mkdir(parents=True)
    write(tmp_path / "scans" / "a", "npy")
    pattern = str(tmp_path / "scans" / "**" / "*")
    before = open_inputs([pattern], without=out)
    write(out / "part-00000.npy", "npy")
    os.symlink(out, tmp_path / "link")
    assert len(expand(pattern)) == 2
    for without in (out, tmp_path / "link", f"{out}/"):
        assert open_inputs([pattern], without=without).identity == before.identity
    assert len(expand(pattern, without=tmp_path / "scans" / "ou")) == 2


def test_identity(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "0.png").write_bytes(png(page()))
    np.save(tmp_path / "a.npy", PIXELS)
    paths = [folder, tmp_path / "*.npy", tmp_path / "a.npy"]

    def identity():
        found = open_inputs(paths).identity
        assert json.loads(json.dumps(found)) == found
        return found

    first = identity()
    a = str(tmp_path / "a.npy")
    assert first[2] == {
        **{"path": a, "absolute": a, "bytes": 128 + PIXELS.nbytes},
        "mtime_ns": os.stat(a).st_mtime_ns,
    }
    assert first == identity()
    (folder / "1.png").write_bytes(png(page()))
    second = identity()
    assert (first[0]["files"], second[0]["files"]) == (1, 2)
    assert second[1:] == first[1:]
    np.save(tmp_path / "a.npy", PIXELS[:3])
    third = identity()
    assert third[0] == second[0]
    assert third[1] != second[1]
    assert third[2] != second[2]


def test_identity_of_standard_input(pipe, monkeypatch):
    for at in (5, 9):
        pipe(png(page(at)))
        inputs = open_inputs(["-"])
        images, names, errors, _ = inputs.read(0, 1)
        assert (inputs.n, names, errors) == (1, ["standard input"], {})
        np.testing.assert_array_equal(images, inputs.read(0, 1).images)
        assert inputs.identity == [
            {
                "path": "-",
                "bytes": len(png(page(at))),
                "sha256": hashlib.sha256(png(page(at))).hexdigest(),
            }
        ]
    pipe(b"some text")
    with pytest.raises(FileError, match="standard input: expected PNG"):
        open_inputs(["-"])
    terminal, other_end = os.openpty()
    with open(terminal) as stdin, open(other_end):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(FileError, match="standard input: no input"):
            open_inputs(["-"])


def test_no_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as after `<&-`
    with pytest.raises(FileError, match="standard input: no input"):
        open_inputs(["-"])


def test_full_temporary_folder(tmp_path):
    write_idx(tmp_path / "a.gz", np.zeros((1000, 784), np.uint8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(OSError, match=r"a\.gz") as raised:
            open_inputs([tmp_path / "a.gz"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert raised.value.filename == gettempdir()


@pytest.mark.compiled
def test_temporary_files_are_deleted(tmp_path):
    write(tmp_path / "a", "IDX, gzip")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    inputs = open_inputs([tmp_path / "a"] * 5)
    rows = inputs.read(0, inputs.n)
    assert len(os.listdir("/proc/self/fd")) > before
    del inputs
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    np.testing.assert_array_equal(rows.images[-N:], PIXELS)


def test_missing_pyarrow(tmp_path, monkeypatch):
    write(tmp_path / "a", "lists")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxnet-digits\[parquet\]'"):
        open_inputs([tmp_path / "a"])


@pytest.mark.compiled
@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(["lists", "bytes"]), data=st.data())
def test_damaged_parquet(tmp_path_factory, kind, data):
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    write(path, kind)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(4, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        inputs = open_inputs([path])
        assert len(inputs.read(0, inputs.n).names) == inputs.n
    except FileError as error:
        assert str(path) in str(error)


@pytest.mark.process
def test_bounded_memory(tmp_path):
    """Three hundred megabytes of bytes, as many of floats the hard way round, in ranges."""
    code = """
import gc, resource, sys
import numpy as np
from jaxnet.data import open_inputs
assert "pyarrow" not in sys.modules
n = 400_000
shape = {"bytes.npy": (n, 784), "floats.npy": (n // 4, 784)}
for name, order in (("bytes.npy", "C"), ("floats.npy", "F")):
    with open(name, "wb") as file:
        descr = {"bytes.npy": "|u1", "floats.npy": "<f4"}[name]
        header = {"descr": descr, "fortran_order": order == "F", "shape": shape[name]}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + n * 784)
inputs = open_inputs(["bytes.npy", "floats.npy"])
assert inputs.n == n + n // 4
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, inputs.n, 10_000):
    assert not inputs.read(start, start + 10_000).images.any()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert int(process.stdout) < 100, "MiB"
