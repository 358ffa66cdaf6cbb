"""Images by their path: what is in a file decides, not what it is called."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxnet._util.files import FileError
from jaxnet.data import Source, read_images, read_labels, write_idx
from jaxnet.data._load import join

NPY = b"\x93NUMPY\x01\x00"


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)


def save_picture(path, at=30):
    page = np.full((100, 80), 255, np.uint8)
    page[20:80, at : at + 8] = 0
    Image.fromarray(page).save(path)


@pytest.mark.parametrize("name", ["images", "images.gz", "images.png"])
def test_idx_by_any_name(tmp_path, images, name):
    write_idx(tmp_path / name, images)
    source = read_images(tmp_path / name)
    np.testing.assert_array_equal(source.images, images.reshape(5, 784))
    assert source.names == [f"{tmp_path / name}[{n}]" for n in range(5)]


@pytest.mark.parametrize(
    ("change", "n"),
    [
        (lambda a: a, 5),
        (lambda a: a.reshape(5, 784), 5),
        (lambda a: a[0], 1),
        (lambda a: a[0].reshape(784), 1),
        (lambda a: a[:0], 0),
        (lambda a: np.asfortranarray(a), 5),
    ],
)
def test_npy_shapes(tmp_path, images, change, n):
    np.save(tmp_path / "images.npy", change(images))
    source = read_images(tmp_path / "images.npy")
    np.testing.assert_array_equal(source.images, images[:n].reshape(n, 784))
    assert len(source.names) == n


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_npy_of_floats(tmp_path, images, dtype):
    np.save(tmp_path / "images.npy", (images / 255).astype(dtype))
    source = read_images(tmp_path / "images.npy")
    assert source.images.dtype == np.float32
    np.testing.assert_allclose(source.images, images.reshape(5, 784) / 255, atol=1e-3)


def test_folder_order(tmp_path):
    for name in ("b.png", "a.jpg", "C.PNG"):
        save_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_text("the file manager's own")
    source = read_images(tmp_path)
    assert [name.rsplit("/")[-1] for name in source.names] == ["C.PNG", "a.jpg", "b.png"]
    assert source.images.shape == (3, 784)


def test_bad_picture_in_a_folder(tmp_path):
    save_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("not a picture")
    with pytest.raises(FileError, match=r"b\.png"):
        read_images(tmp_path)


def test_join(images):
    rows = images.reshape(5, 784)
    bytes_ = Source(rows[:2], ["a", "b"])
    both = join([bytes_, Source(rows[2:], ["c", "d", "e"])])
    np.testing.assert_array_equal(both.images, rows)
    assert both.images.dtype == np.uint8
    assert both.names == list("abcde")
    mixed = join([bytes_, Source(rows[2:].astype(np.float32) / 255, ["c", "d", "e"])])
    np.testing.assert_allclose(mixed.images, rows / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((5, 28, 27), "u1"), r"\(n, 28, 28\) or \(n, 784\); got shape \(5, 28, 27\)"),
        (np.zeros(5, "u1"), r"shape \(5,\)"),
        (np.zeros((), "u1"), r"shape \(\)"),
        (np.full((5, 784), 256), r"images\.npy\[0\]: expected integers from 0 to 255; got 256 to"),
        (np.full((5, 784), -1), "from 0 to 255; got -1 to -1"),
        (np.eye(5, 784, dtype="i4"), "got 0 to 1; save zeros and ones as floats"),
        (np.zeros((5, 784), "?"), "got bool"),
        (np.full((5, 784), 255.0), r"from 0 to 1; got 255\.0 to 255\.0"),
        (np.full((5, 784), np.nan), "got nan"),
        (np.full((5, 784), -0.1), r"got -0\.1"),
        (np.array([{}]), "array of numbers; got object"),
    ],
)
def test_bad_arrays(tmp_path, array, says):
    np.save(tmp_path / "images.npy", array, allow_pickle=True)
    with pytest.raises(FileError, match=says):
        read_images(tmp_path / "images.npy")


def test_labels_instead_of_images(tmp_path):
    write_idx(tmp_path / "labels", np.arange(10).astype("u1"))
    with pytest.raises(FileError, match=r"labels: expected images .* got shape \(10,\)"):
        read_images(tmp_path / "labels")


@pytest.mark.parametrize(
    "shape", ["(True, 784)", "(0, 10**30)", "(-5, 784)", f"({'1, ' * 65})", f"({'9' * 4000},)"]
)
def test_impossible_shapes(tmp_path, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path = tmp_path / "odd.npy"
    path.write_bytes(NPY + len(header).to_bytes(2, "little") + header + bytes(784))
    with pytest.raises(FileError, match=r"odd\.npy"):
        read_images(path)


def test_empty_folder(tmp_path):
    with pytest.raises(FileError, match="no pictures in this folder"):
        read_images(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_images(tmp_path / "nothing.png")


def test_one_bad_image(tmp_path, images):
    floats = images.reshape(5, 784) / 255
    floats[3, 7] = np.inf
    np.save(tmp_path / "images.npy", floats)
    with pytest.raises(
        FileError, match=r"images\.npy\[3\]: expected floats from 0 to 1; got .* inf"
    ):
        read_images(tmp_path / "images.npy")


def test_pattern_order(tmp_path, images):
    for name in ("b.npy", "a.npy"):
        np.save(tmp_path / name, images[: 2 + (name == "b.npy")])
    source = read_images(tmp_path / "*.npy")
    assert [name.rsplit("/")[-1] for name in source.names] == [
        *("a.npy[0]", "a.npy[1]"),
        *("b.npy[0]", "b.npy[1]", "b.npy[2]"),
    ]


@pytest.mark.parametrize("dtype", ["u1", "i8", "i4", "u2"])
def test_labels(tmp_path, dtype):
    np.save(tmp_path / "labels.npy", np.arange(10).astype(dtype))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.npy"), np.arange(10))
    assert read_labels(tmp_path / "labels.npy").dtype == np.uint8
    write_idx(tmp_path / "labels", np.arange(10).astype("u1"))
    np.testing.assert_array_equal(read_labels(tmp_path / "labels"), np.arange(10))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((5, 2), "u1"), r"shape \(n,\); got uint8 \(5, 2\)"),
        (np.zeros(5), "got float64"),
        (np.array([0, 256]), "from 0 to 255; got 0 to 256"),
        (np.array([-1, 3]), "got -1 to 3"),
    ],
)
def test_bad_labels(tmp_path, array, says):
    np.save(tmp_path / "labels.npy", array)
    with pytest.raises(FileError, match=says):
        read_labels(tmp_path / "labels.npy")


@pytest.mark.compiled
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.binary(max_size=100)
    | st.binary(max_size=100).map(lambda tail: NPY + tail)
    | st.tuples(st.text("{}()[]'descr:fotan_, 0123456789<>u1f4TrueFalse", max_size=80), st.binary())
    .map(lambda pair: (pair[0].encode() + b"\n", pair[1]))
    .map(lambda pair: NPY + len(pair[0]).to_bytes(2, "little") + pair[0] + pair[1])
    | st.tuples(
        st.sampled_from(["|u1", "<f4", ">f8", "|O", "|S3", "<M8[s]", "<i8", "|V0", "x"]),
        st.sampled_from(["(5, 784)", "(0, 784)", "(-1,)", "(1, 28, 28)", "(10**20,)", "5", "(2,)"]),
        st.binary(),
    )
    .map(lambda t: (f"{{'descr': '{t[0]}', 'fortran_order': False, 'shape': {t[1]}, }}\n", t[2]))
    .map(lambda pair: NPY + len(pair[0]).to_bytes(2, "little") + pair[0].encode() + pair[1])
)
def test_arbitrary_bytes(tmp_path, content):
    path = tmp_path / "arbitrary"
    path.write_bytes(content)
    for read in (read_images, read_labels):
        try:
            read(path)
        except FileError as error:
            assert str(path) in str(error)
