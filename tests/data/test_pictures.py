"""Pictures of every kind, brought into MNIST's form: real files, real decoders."""

import errno
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import as_mnist, read_image
from jaxnet.data.pictures._files import decode


@pytest.fixture(scope="module")
def seven():
    import jax

    return np.asarray(jaxnet.data.synthetic.draw(jax.random.key(3), 7)).reshape(28, 28)


def page(digit, *, scale=8, light=True, shape=(500, 400), at=(150, 60)):
    """A digit on a page, enlarged, in bytes; dark on light, or light on dark."""
    big = Image.fromarray((255 * digit).astype(np.uint8))
    big = big.resize((scale * 28, scale * 28), Image.Resampling.BICUBIC)
    sheet = np.zeros(shape, np.uint8)
    sheet[at[0] : at[0] + scale * 28, at[1] : at[1] + scale * 28] = big
    return 255 - sheet if light else sheet


def reads(image):
    return int(jaxnet.predict(jaxnet.pretrained(), np.asarray(image)))


@pytest.mark.compiled
def test_enlarged_inverted_and_shifted_mnist(mnist, tmp_path):
    """As PNG files, 250 of the test images: at most one point fewer are read rightly."""
    images, labels = (part[:250] for part in mnist["test"])
    params = jaxnet.pretrained()
    rng = np.random.default_rng(0)
    framed = []
    for n, image in enumerate(images.reshape(-1, 28, 28) / 255):
        scale = int(rng.integers(2, 9))
        at = rng.integers(0, 500 - 28 * scale, 2)
        Image.fromarray(page(image, scale=scale, shape=(500, 500), at=at, light=n % 2)).save(
            tmp_path / "page.png"
        )
        framed.append(read_image(tmp_path / "page.png"))
    before = (jaxnet.classify(params, images).digits == labels).mean()
    after = (jaxnet.classify(params, np.stack(framed)).digits == labels).mean()
    assert after >= before - 0.01


@pytest.mark.compiled
def test_mnist_frame(seven):
    image = as_mnist(page(seven)).reshape(28, 28)
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        assert abs(image.sum(1 - axis) @ np.arange(28) / image.sum() - 14) <= 0.51
    assert image.dtype == np.float32
    assert image.min() == 0
    assert image.max() == 1


@pytest.mark.parametrize("light", [True, False])
def test_invariance(seven, light):
    expected = as_mnist(page(seven))
    for variant in (
        page(seven, light=light),
        page(seven, light=light, at=(3, 170)),
        page(seven, light=light, scale=12),
        page(seven, light=light) // 2 + 60,
        page(seven, light=light) / 255,
        np.repeat(page(seven, light=light)[..., None], 3, -1),
    ):
        assert abs(as_mnist(variant) - expected).mean() < 0.02


@pytest.mark.parametrize(("ground", "ink"), [(0.45, 0.0), (0.55, 1.0), (0.5, 0.2), (0.2, 0.6)])
def test_ink_on_gray(seven, ground, ink):
    picture = ground + (ink - ground) * page(seven, light=False) / 255
    assert abs(as_mnist(picture) - as_mnist(page(seven))).mean() < 0.02


LIGHT = np.add.outer(np.linspace(0, 0.3, 500), np.linspace(0, 0.7, 400))


@pytest.mark.compiled
@pytest.mark.parametrize(
    "photo",
    [
        lambda paper, rng: paper * (1 - 0.5 * LIGHT),
        lambda paper, rng: paper * np.where(LIGHT > 0.6, 0.8, 1),
        lambda paper, rng: paper + 0.04 * rng.standard_normal(paper.shape),
        lambda paper, rng: paper * np.where(np.arange(500)[:, None] % 50 < 2, 0.85, 1),
        lambda paper, rng: (
            0.4 * paper * (1 - 0.3 * LIGHT) + 0.02 * rng.standard_normal(paper.shape)
        ),
        lambda paper, rng: 0.9 - 0.6 * paper + 0.03 * rng.standard_normal(paper.shape),
    ],
    ids=["falling light", "a shadow", "noise", "lined paper", "dim and noisy", "a blackboard"],
)
def test_photos(photo, mnist):
    """Digits that are read rightly as they are, on paper under a lamp: 9 of 10 at the least."""
    images, labels = mnist["test"]
    rightly = jaxnet.classify(jaxnet.pretrained(), images).digits == labels
    images, labels = images[rightly][:50], labels[rightly][:50]
    rng = np.random.default_rng(0)
    papers = [0.1 + 0.8 * page(x.reshape(28, 28) / 255, scale=10) / 255 for x in images]
    framed = np.stack([as_mnist(photo(paper, rng).clip(0, 1)) for paper in papers])
    assert (jaxnet.classify(jaxnet.pretrained(), framed).digits == labels).mean() >= 0.9


def test_transparency(seven):
    opacity = page(seven, light=False)
    for ink in (0, 255):
        picture = np.full((*opacity.shape, 4), ink, np.uint8)
        picture[..., 3] = opacity
        assert abs(as_mnist(picture) - as_mnist(opacity)).mean() < 0.01


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"),
        ("1", "png"),
        ("P", "png"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("I;16", "png"),
        ("L", "jpg"),
        ("RGB", "jpg"),
        ("CMYK", "jpg"),
        ("RGB", "webp"),
        ("L", "bmp"),
        ("P", "gif"),
    ],
)
def test_every_file_format(seven, tmp_path, mode, suffix):
    picture = page(seven)
    image = Image.fromarray(picture)
    if mode == "I;16":
        image = Image.fromarray(picture.astype(np.uint16) * 257)
    elif mode != "L":
        image = image.convert("RGB").convert(mode)
    path = tmp_path / f"seven.{suffix}"
    image.save(path)
    assert abs(read_image(path) - as_mnist(picture)).mean() < 0.03
    assert reads(read_image(path)) == 7


@pytest.mark.compiled
@pytest.mark.parametrize("wide", [False, True])
def test_large_pictures(seven, tmp_path, wide):
    big = Image.fromarray(page(seven)).resize((2400, 3000))
    if wide:
        big = Image.fromarray(np.asarray(big).astype(np.uint16) * 257)
    big.save(tmp_path / "big.png")
    assert reads(read_image(tmp_path / "big.png")) == 7


def test_exif_rotation(seven, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to view"
    Image.fromarray(np.rot90(page(seven))).save(tmp_path / "turned.jpg", exif=exif)
    assert reads(read_image(tmp_path / "turned.jpg")) == 7


def png(width, height, data=b""):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        png(28, 28),
        png(28, 28, zlib.compress(bytes(28 * 29))[:-9]),
        png(100_000, 100_000, zlib.compress(bytes(10_000))),  # ten gigabytes, it says
        png(12_000, 12_000, zlib.compress(bytes(12_000 * 12_001))),  # 144 megabytes, truly
    ],
    ids=["empty", "text", "svg", "no data", "truncated", "bomb", "large"],
)
def test_not_a_picture(tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(FileError, match=str(path)):
        read_image(path)


def test_truncated_jpeg(seven, tmp_path):
    Image.fromarray(page(seven)).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="truncated"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("value", [0, 128, 255])
def test_empty_page(tmp_path, value):
    Image.fromarray(np.full((50, 50), value, np.uint8)).save(tmp_path / "empty.png")
    with pytest.raises(FileError, match=r"empty\.png: nothing is drawn"):
        read_image(tmp_path / "empty.png")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros(784),
        np.zeros((0, 28)),
        np.zeros((28, 28, 2)),
        np.zeros((5, 28, 28)),
        np.eye(28, dtype=int),
        np.eye(28) * 255,
        np.full((28, 28), np.nan),
        -np.eye(28),
        np.eye(28).astype(str),
    ],
)
def test_bad_arrays(picture):
    with pytest.raises(ValueError, match="expected"):
        as_mnist(picture)


def seeds():
    """Small valid files, for hypothesis to damage."""
    picture = Image.fromarray(np.pad(np.full((4, 2), 255, np.uint8), 4))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP"):
        file = io.BytesIO()
        picture.save(file, kind)
        yield file.getvalue()


@pytest.mark.compiled
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    seed=st.sampled_from([b"", *seeds()]),
    cut=st.floats(0, 1),
    damage=st.binary(max_size=20),
    place=st.floats(0, 1),
)
def test_arbitrary_bytes(tmp_path, seed, cut, damage, place):
    content = bytearray(seed[: int(len(seed) * cut)])
    at = int(len(content) * place)
    content[at : at + len(damage)] = damage
    (tmp_path / "arbitrary").write_bytes(content)
    try:
        image = read_image(tmp_path / "arbitrary")
    except FileError as error:
        assert str(tmp_path) in str(error)
    else:
        assert image.shape == (784,)
        assert 0 <= image.min() <= image.max() == 1


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_other_errors_pass_through(error):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise error

    with pytest.raises(type(error)) as raised:
        decode(Failing(b"some bytes"), "a.png", side=28)
    assert raised.value is error


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "tif"), ("1", "tif"), ("RGB", "avif"), ("1", "pbm"), ("L", "pgm")]
)
def test_less_common_formats(seven, tmp_path, mode, suffix):
    path = tmp_path / f"seven.{suffix}"
    Image.fromarray(page(seven)).convert("RGB").convert(mode).save(path)
    assert reads(read_image(path)) == 7
    assert reads(jaxnet.data.read_images(path).images[0]) == 7
    assert reads(jaxnet.data.read_images(tmp_path).images[0]) == 7


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_bits_of_scanners(seven, tmp_path, bits):
    """What a scanner measured in fewer bits is stored in 16."""
    deep = page(seven).astype(np.uint16) * ((2**bits - 1) // 255)
    for suffix in ("png", "tif"):
        Image.fromarray(deep).save(tmp_path / f"seven.{suffix}")
        assert reads(read_image(tmp_path / f"seven.{suffix}")) == 7


@pytest.mark.compiled
def test_heic(seven, tmp_path, monkeypatch):
    """Read where pillow-heif is installed, and named where it is not."""
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "seven.heic"
    heif.from_pillow(Image.fromarray(page(seven)).convert("RGB")).save(path)
    assert reads(read_image(path)) == 7
    assert reads(jaxnet.data.read_images(path).images[0]) == 7
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(FileError, match=r"seven\.heic: this is a HEIC picture.*pillow-heif"):
        read_image(path)


@pytest.mark.parametrize("size", [28, 40, 63])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_small_pictures_one_by_one_and_together(seven, tmp_path, mode, size):
    """The short way of many small files gives what reading one does."""
    for n, light in enumerate([True, False]):
        small = page(seven, scale=1, light=light, shape=(28, 28), at=(0, 0))
        image = Image.fromarray(small).resize((size, size))
        image = (
            Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
            if mode == "I;16"
            else image.convert("RGB").convert(mode)
        )
        image.save(tmp_path / f"{n}.png")
    together = jaxnet.data.open_inputs([tmp_path])
    images = together.read(0, 2).images
    for n, image in enumerate(images):
        assert (image == read_image(tmp_path / f"{n}.png")).all()
    if size == 28 and mode == "L":
        assert abs(images[1] - seven.ravel()).max() < 0.1  # as it is, but for what is faint


@pytest.mark.compiled
def test_no_damaged_small_picture_is_read(seven, tmp_path, capfd):
    """Each byte of a small PNG changed, and each cut: an error, or the very picture."""
    path = tmp_path / "a.png"
    Image.fromarray(page(seven, scale=1, shape=(28, 28), at=(0, 0))).save(path)
    whole, expected = path.read_bytes(), read_image(path)
    damaged = [whole[:n] + bytes([whole[n] ^ 64]) + whole[n + 1 :] for n in range(len(whole))]
    damaged += [whole[:n] for n in range(0, len(whole), 7)]
    for content in damaged:
        path.write_bytes(content)
        rows = jaxnet.data.open_inputs([tmp_path]).read(0, 1)
        if not rows.errors:
            try:
                assert (rows.images[0] == read_image(path)).all()
            except FileError:
                pytest.fail("read together what is refused alone")
    assert expected.any()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (1, 900), (900, 1), (3, 64), (20, 400), (64, 64)]
)
def test_shapes_of_small_pictures(shape):
    """An image, or one sentence; never more memory than the picture's size asks for."""
    rng = np.random.default_rng(0)
    for picture in (np.zeros(shape, np.uint8), rng.integers(0, 256, shape).astype(np.uint8)):
        for find in (jaxnet.data.find_digits, as_mnist):
            try:
                found = find(picture)
            except ValueError as error:
                assert "drawn" in str(error)
            else:
                assert np.isfinite(getattr(found, "images", found)).all()


@pytest.mark.compiled
def test_a_small_row_of_digits(mnist):
    """Pictures of 28 pixels high are enlarged first where there may be several digits."""
    images, labels = mnist["test"]
    right = jaxnet.classify(jaxnet.pretrained(), images).digits == labels
    five = images[right][:5].reshape(5, 28, 28)
    found = jaxnet.data.find_digits(np.hstack(five))
    digits = jaxnet.classify(jaxnet.pretrained(), found.images).digits
    assert (digits == labels[right][:5]).all()
    for n, (left, top, right_edge, bottom) in enumerate(found.boxes.tolist()):
        assert 28 * n <= left < right_edge <= 28 * n + 28
        assert 0 <= top < bottom <= 28
