"""IDX files, honest and otherwise."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxnet._util.files import FileError
from jaxnet.data import read_idx, write_idx
from jaxnet.data._idx import is_idx

pytestmark = pytest.mark.core

DTYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: numpy_strategies.arrays(
        dtype, numpy_strategies.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@pytest.mark.compiled
@given(array=arrays, suffix=st.sampled_from(["idx", "idx.gz"]))
def test_round_trip(folder, array, suffix):
    path = folder / f"array.{suffix}"
    write_idx(path, array)
    assert is_idx(path)
    again = read_idx(path)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


def test_exact_bytes(tmp_path):
    path = tmp_path / "pairs.idx"
    write_idx(path, np.array([[1, -2], [300, 4]], ">i2"))
    assert path.read_bytes() == bytes.fromhex("00000b02 00000002 00000002 0001 fffe 012c 0004")


def test_deterministic_bytes(tmp_path):
    for name in ("one.gz", "two.gz"):
        write_idx(tmp_path / name, np.arange(1000).astype("u1"))
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_non_contiguous_slice(tmp_path):
    array = np.arange(24).astype("i4").reshape(2, 3, 4)[:, ::2, ::-1]
    write_idx(tmp_path / "slice.idx", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "slice.idx"), array)


def test_gzip_detected_by_its_bytes(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(5).astype("u1"))
    (tmp_path / "a.gz").rename(tmp_path / "a")
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), np.arange(5))


@pytest.mark.parametrize("dtype", ["i8", "u4", "f2", "c8", "?", "U3"])
def test_unsupported_types(tmp_path, dtype):
    with pytest.raises(ValueError, match=r"IDX has no code .* uint8, int8, int16"):
        write_idx(tmp_path / "x", np.zeros(3, dtype))


def header(*shape, code=8):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


LIES = {
    "empty": (b"", "not an IDX file"),
    "text": (b"digit,label\n", "not an IDX file"),
    "unknown type": (header(1, code=7) + b"x", "not an IDX file"),
    "ends in its header": (header(2, 3)[:-2], "ends inside its header"),
    "one byte short": (header(2, 3) + b"12345", r"\(2, 3\), 6 bytes.*cut short|only 5"),
    "one byte long": (header(2, 3) + b"1234567", "more follow"),
    "terabytes": (header(2**20, 2**20) + b"1", "1,099,511,627,776 bytes"),
    "overflows 64 bits": (header(*[2**32 - 1] * 9), "takes more than"),
    "too many dimensions": (header(*[1] * 100) + b"1", "more dimensions"),
    "a gigabyte of nothing": (header(2**30), "cut short"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_header_larger_than_the_file(tmp_path, name, compress):
    content, says = LIES[name]
    path = tmp_path / "lies"
    path.write_bytes(compress(content))
    tracemalloc.start()
    with pytest.raises(FileError, match=says) as raised:
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(raised.value)
    assert peak < 10e6


@pytest.mark.compiled
def test_gzip_bomb(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header(10))
        for _ in range(200):
            file.write(bytes(2**20))
    assert path.stat().st_size < 300_000
    tracemalloc.start()
    with pytest.raises(FileError, match="more follow"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_gzip_bomb_with_an_honest_header(tmp_path):
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(header(2**22) + bytes(2**22))
    with pytest.raises(FileError, match=r"takes more than 1,000,000 with max_bytes="):
        read_idx(path, max_bytes=10**6)
    assert read_idx(path).size == 2**22


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_truncated_gzip(tmp_path, keep):
    path = tmp_path / "cut.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 256, 10_000).astype("u1"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(FileError, match=r"damaged gzip|cut short"):
        read_idx(path)


@pytest.mark.compiled
@given(
    st.binary(max_size=200)
    | st.binary(max_size=50).map(lambda tail: header(2, 3) + tail)
    | st.tuples(st.sampled_from([8, 9, 11, 12, 13, 14]), st.binary(max_size=60)).map(
        lambda pair: bytes([0, 0, pair[0]]) + pair[1]
    ),
    st.sampled_from(
        [bytes, gzip.compress, lambda b: gzip.compress(b)[:-3], lambda b: b"\x1f\x8b" + b]
    ),
)
def test_arbitrary_bytes(folder, content, compress):
    path = Path(folder, "arbitrary")
    path.write_bytes(compress(content))
    is_idx(path)
    try:
        assert isinstance(read_idx(path), np.ndarray)
    except FileError as error:
        assert str(path) in str(error)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        read_idx(tmp_path)
