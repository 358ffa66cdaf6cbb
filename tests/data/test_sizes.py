"""Images of other sizes than MNIST's: in every format, drawn, photographed, trained and read."""

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import find_digits, open_inputs, read_images, read_labels, synthetic, write_idx
from tests.subprocesses import run

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N = 40
LABELS = np.arange(N) % 10


def table(path, column):
    parquet.write_table(pa.table({"image": column, "label": LABELS}), path, row_group_size=7)


def csv(path, squares, header=""):
    rows = np.column_stack([LABELS, squares.reshape(N, -1)])
    np.savetxt(path, rows, fmt="%g", delimiter=",", header=header, comments="")


def named_csv(path, squares):
    n_pixels = squares[0].size
    csv(path, squares, ",".join(["label", *(f"pixel{n}" for n in range(n_pixels))]))


# How to write images, shape `(n, side, side)`, of numbers that the format has.
FORMATS = {
    "square.npy": np.save,
    "flat.npy": lambda path, squares: np.save(path, squares.reshape(N, -1)),
    "fortran.npy": lambda path, squares: np.save(path, np.asfortranarray(squares)),
    "channels.npy": lambda path, squares: np.save(path, squares[..., None]),
    "a.npz": lambda path, squares: np.savez(path, data=squares, target=LABELS),
    "idx": lambda path, squares: write_idx(path, squares.astype("f4")),
    "idx.gz": lambda path, squares: write_idx(path, squares.astype("f4")),
    "plain.csv": csv,
    "named.csv": named_csv,
    "lists.parquet": lambda path, squares: table(path, pa.array([*squares.reshape(N, -1)])),
    "nested.parquet": lambda path, squares: table(path, pa.array(squares.tolist())),
}
WITH_LABELS = [name for name in FORMATS if name.endswith(("npz", "csv", "parquet"))]


def drawn(side):
    images = jax.vmap(lambda key: synthetic.draw(key, 3, side=side))(
        jax.random.split(jax.random.key(side), N)
    )
    return np.asarray(images).reshape(N, side, side)


@pytest.mark.compiled
@pytest.mark.parametrize("side", [8, 16, 32, 40])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name, side):
    images = drawn(side)
    FORMATS[name](tmp_path / name, images)
    np.testing.assert_allclose(
        read_images(tmp_path / name, side=side).images, images.reshape(N, -1), atol=2e-6
    )
    if name in WITH_LABELS:
        np.testing.assert_array_equal(read_labels(tmp_path / name, side=side), LABELS)
    with pytest.raises(FileError, match=r"784|28 lists of 28"):
        read_images(tmp_path / name)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4", "f8"])
@pytest.mark.parametrize("name", FORMATS)
def test_sixteen_is_white(tmp_path, name, dtype):
    """As in scikit-learn's digits, whose pixels count the ink in 4×4 others."""
    squares = (16 * drawn(8)).round().astype(dtype)
    FORMATS[name](tmp_path / name, squares)
    inputs = open_inputs([tmp_path / name], side=8)
    rows = inputs.read(0, N)
    np.testing.assert_array_equal(rows.images, squares.reshape(N, 64).astype("f4") / 16)
    assert not rows.errors
    assert "pixels go up to 16, so 16 is taken for white." in inputs.notes[0]
    assert inputs.floats == str(tmp_path / name)


def test_bytes_in_a_column(tmp_path):
    squares = (16 * drawn(8)).round().astype(np.uint8)
    for white in (16, 255):
        values = [(x * (white / 16)).astype(np.uint8).tobytes() for x in squares]
        table(tmp_path / "bytes.parquet", pa.array(values))
        images = read_images(tmp_path / "bytes.parquet", side=8).images
        images = images / 255 if images.dtype == np.uint8 else images
        np.testing.assert_allclose(images, squares.reshape(N, 64) / 16, atol=1 / 255)


@pytest.mark.parametrize("side", [16, 17, 28])
def test_other_numbers_for_white(tmp_path, side):
    """Of 17×17, what goes to 16 is dark; and a brighter pixel says that 16 is not white."""
    squares = np.full((N, side, side), 16, np.uint8)
    squares[1, 2, 3] = 17 if side == 16 else 16
    np.save(tmp_path / "dark.npy", squares)
    source = read_images(tmp_path / "dark.npy", side=side)
    np.testing.assert_array_equal(source.images, squares.reshape(N, -1))
    notes = open_inputs([tmp_path / "dark.npy"], side=side).notes
    assert ("pixels go up to 17, so 255 is taken for white" in str(notes)) == (side == 16)


@pytest.mark.parametrize("name", ["square.npy", "plain.csv", "lists.parquet"])
def test_a_rounding_error_beyond_one(tmp_path, name):
    """What is no whole number is no count: white is 1."""
    images = drawn(16).copy()
    images[3, 8, 8] = 1.0000002
    FORMATS[name](tmp_path / name, images)
    source = read_images(tmp_path / name, side=16)
    np.testing.assert_allclose(source.images, images.reshape(N, -1), atol=2e-6)
    images[3, 8, 8] = 1.27
    FORMATS[name](tmp_path / name, images)
    rows = open_inputs([tmp_path / name], side=16).read(0, N)
    assert rows.errors.keys() == {3}


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["u1", "i8"])
@pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
def test_dark_images_first(tmp_path, ending, dtype):
    images = np.zeros((5_000, 64), dtype)
    images[4_000:] = np.tile((16 * drawn(8)).round().reshape(N, 64), (25, 1))
    path = tmp_path / f"dark.{ending}"
    if ending == "npy":
        np.save(path, images)
    elif ending == "csv":
        np.savetxt(path, images, fmt="%d", delimiter=",")
    else:
        parquet.write_table(pa.table({"image": [*images]}), path, row_group_size=500)
    np.testing.assert_array_equal(read_images(path, side=8).images, images.astype("f4") / 16)


@pytest.mark.compiled
@pytest.mark.parametrize("at", [0, 64])
def test_csv_without_a_header(tmp_path, at):
    """Both of its outer columns are small integers, of which only labels end at nine."""
    digits = load_digits()
    pixels = np.roll(digits.data, 5, axis=1)  # so that no outer column is black
    np.savetxt(tmp_path / "a.csv", np.insert(pixels, at, digits.target, 1), "%d", ",")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.csv", side=8), digits.target)
    images = read_images(tmp_path / "a.csv", side=8).images
    np.testing.assert_array_equal(images, pixels.astype("f4") / 16)
    two = np.column_stack([digits.target, pixels.clip(0, 9)[:, :63], digits.target, digits.target])
    np.savetxt(tmp_path / "b.csv", two[:, :65], "%d", ",")
    with pytest.raises(FileError, match="neither the first nor the last holds labels"):
        read_images(tmp_path / "b.csv", side=8)


def test_columns_in_another_order(tmp_path):
    """As scikit-learn names them; sorted by name, `pixel_0_10` comes before `pixel_0_2`."""
    squares = (255 * drawn(16)).astype(np.uint8)
    names = [f"pixel_{row}_{column}" for row in range(16) for column in range(16)]
    order = np.argsort(names)
    header = ",".join([*np.array(names)[order], "target"])
    rows = np.column_stack([squares.reshape(N, -1)[:, order], LABELS])
    np.savetxt(tmp_path / "a.csv", rows, "%d", ",", header=header, comments="")
    images = read_images(tmp_path / "a.csv", side=16).images
    np.testing.assert_array_equal(images, squares.reshape(N, -1))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.csv", side=16), LABELS)


@pytest.mark.parametrize("bad", [17, -1, np.nan, np.inf])
def test_a_bad_row_is_its_own(tmp_path, bad):
    """One that is not looked at first and does not fit the scale is an error of its row."""
    images = np.tile(np.float32([0, 16]), (6_000, 32))
    images[500, 7] = bad
    np.save(tmp_path / "sixteen.npy", images)
    rows = open_inputs([tmp_path / "sixteen.npy"], side=8).read(0, 6_000)
    assert rows.errors.keys() == {500}
    assert "expected floats from 0 to 16; got" in rows.errors[500]
    np.testing.assert_array_equal(np.delete(rows.images, 500, 0)[:, :2], [[0, 1]] * 5_999)
    assert not rows.images[500].any()


def test_no_images(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 8, 8), np.uint8))
    empty = pa.array([], pa.list_(pa.uint8()))
    parquet.write_table(pa.table({"image": empty}), tmp_path / "none.parquet")
    for name in ("none.npy", "none.parquet"):
        assert open_inputs([tmp_path / name], side=8).read(0, 0).images.shape == (0, 64)


@pytest.mark.compiled
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("kind", [synthetic.draw, synthetic.draw_component])
def test_drawings_are_of_one_shape(kind, factor):
    """A larger drawing, reduced, is the smaller one, but for the pen's blurred edge."""
    for n in range(10):
        key = jax.random.key(n)
        large = np.asarray(kind(key, n, side=28 * factor)).reshape(28 * factor, -1)
        reduced = large.reshape(28, factor, 28, factor).mean((1, 3))
        small = np.asarray(kind(key, n)).reshape(28, 28)
        np.testing.assert_allclose(reduced.sum(), small.sum(), rtol=0.02)
        assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.99


@pytest.mark.compiled
@pytest.mark.parametrize("side", [8, 16, 28, 32, 64])
def test_photos(side):
    """Each digit fills 20 of 28 parts of its image, centered by mass."""
    page = np.full((160, 300), 235, np.uint8)
    for n, left in enumerate((30, 170)):
        ink = np.asarray(synthetic.draw(jax.random.key(n), 3 + n, side=100)).reshape(100, 100)
        page[30:130, left : left + 100] -= (200 * ink).astype(np.uint8)
    found = find_digits(page, side=side).images.reshape(2, side, side)
    at = (np.arange(side) + 0.5) / side
    for image in found:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        assert abs(longest - 20 / 28 * side) <= 1
        middle = [image.sum(axis) @ at / image.sum() for axis in (0, 1)]
        np.testing.assert_allclose(middle, 14.5 / 28, atol=0.6 / side)


def test_pictures_of_the_networks_size(tmp_path):
    """They are taken as they are, since how a data set frames its digits is not known."""
    squares = (255 * drawn(16)).astype(np.uint8)
    squares[:, :, :3] = squares[:, :3] = 0
    squares[:, 15, 15] = 255  # in a corner, where no frame would leave it
    for n, square in enumerate(squares):
        Image.fromarray(square).save(tmp_path / f"{n:02}.png")
    images = read_images(tmp_path, side=16).images
    expected = np.where(squares < 26, 0, squares / 255).reshape(N, -1)
    np.testing.assert_allclose(images, expected, atol=1e-3)


@pytest.mark.compiled
@pytest.mark.slow
def test_digits_of_scikit_learn(tmp_path):
    """Its file as it is: trained, classified, looked at, by commands."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for name, part in (("train.npz", order[:1_400]), ("test.npz", order[1_400:])):
        np.savez(tmp_path / name, images=digits.images[part], labels=digits.target[part])
    given = ["train.npz", "--sizes", "64-32-10", "--epochs", 30, "--output", "n.safetensors"]
    trained = run("train", *given, cwd=tmp_path)
    assert trained.returncode == 0
    assert "pixels go up to 16, so 16 is taken for white" in trained.stderr
    params, spec = jaxnet.load(tmp_path / "n.safetensors")
    test = read_images(tmp_path / "test.npz", side=8).images
    labels = digits.target[order[1_400:]]
    right = (jaxnet.classify(params, test, **spec.squashes).digits == labels).mean()
    assert right > 0.9
    weights = ["--weights", "n.safetensors"]
    told = run("classify", "test.npz", "--labels", "test.npz", *weights, cwd=tmp_path)
    assert f"{100 * right:.2f} %" in told.stdout
    for arguments in (
        ["draw", "saliency", "test.npz", "--output", "saliency.png"],
        ["draw", "exciting", "--natural", "--layer", 2, "--neuron", 3, "--output", "3.png"],
    ):
        assert run(*arguments, *weights, cwd=tmp_path).returncode == 0
    wrong = run("classify", "test.npz", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "expected images of shape (n, 28, 28) or (n, 784)" in wrong.stderr


@pytest.mark.compiled
def test_no_square(tmp_path):
    jaxnet.save(tmp_path / "n.safetensors", jaxnet.init(jax.random.key(0), (1_000, 10)))
    for command in (["classify"], ["probe"], ["draw", "image"]):
        told = run(*command, "--weights", "n.safetensors", cwd=tmp_path)
        assert "n.safetensors: expected a square number of pixels" in told.stderr
    told = run("train", "drawn", "--sizes", "1000-10", "--output", "m.safetensors", cwd=tmp_path)
    assert "--sizes: expected a square number of pixels" in told.stderr
    told = run("train", "--sizes", "64-10", "--output", "m.safetensors", cwd=tmp_path)
    assert "Expected a network of 784 inputs for MNIST's images; got one of 64." in told.stderr
