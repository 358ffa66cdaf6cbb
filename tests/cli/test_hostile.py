"""Files made to exhaust the machine: one sentence each, soon, and in little memory.

Those in `tests/hostile` once broke this promise; the others are made here.
"""

import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

HOSTILE = Path(__file__).parents[1] / "hostile"
MOST_BYTES = 500_000_000  # above the interpreter's
MOST_SECONDS = 3  # of the processor, above those of a command on a small picture
CODE = """
import sys
from jaxnet._util import signs
from jaxnet.__main__ import run
try:
    run()
finally:
    status = open("/proc/self/status").read()
    import os
    times = os.times()
    print("PEAK", status.split("VmHWM:")[1].split()[0], times.user + times.system, file=sys.stderr)
"""
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/status"), reason="only Linux tells a process's memory"
)


class Run(NamedTuple):
    code: int
    out: str
    said: list[str]
    n_bytes: int
    seconds: float


def measured(*arguments, **options):
    process = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        capture_output=True,
        timeout=120,
        **options,
    )
    *said, last = process.stderr.decode().splitlines()
    assert last.startswith("PEAK "), process.stderr
    _, kilobytes, seconds = last.split()
    return Run(
        process.returncode, process.stdout.decode(), said, 1024 * int(kilobytes), float(seconds)
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What a command takes on a small picture."""
    path = tmp_path_factory.mktemp("usual") / "one.png"
    picture = np.full((40, 30), 255, np.uint8)
    picture[5:35, 13:16] = 0
    Image.fromarray(picture).save(path)
    run = measured("classify", path)
    assert run.code == 0
    return run


def check(run, usual, name, *, may_work=False):
    if run.code or not may_work:
        assert run.code == 2, run
        assert len(run.said) == 1, run.said
        assert name in run.said[0]
        assert len(run.said[0]) < 300
    assert run.n_bytes < MOST_BYTES
    assert run.seconds - usual.seconds < MOST_SECONDS


@pytest.mark.compiled
@pytest.mark.parametrize(
    "name", sorted(p.name for p in HOSTILE.iterdir() if p.suffix != ".stablehlo")
)
def test_classify(usual, name):
    check(measured("classify", HOSTILE / name), usual, name, may_work=name.endswith(".gif"))


def test_changed_stablehlo():
    from jaxnet import FileError
    from jaxnet.formats import stablehlo

    with pytest.raises(FileError, match=r"passes-then-fails\.stablehlo: its checksum"):
        stablehlo.load(HOSTILE / "passes-then-fails.stablehlo")


def picture(kind, size, **options):
    file = io.BytesIO()
    Image.new("L" if kind != "WEBP" else "RGB", size, 255).save(file, kind, **options)
    return file.getvalue()


def many_scans():
    """A progressive JPEG whose last scan is there a hundred times."""
    content = picture("JPEG", (6_000, 6_000), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * 100 + content[-2:]


def png(width, height):
    """A PNG file that declares its size, and holds nothing."""
    content = picture("PNG", (1, 1))
    header = struct.pack(">II", width, height) + content[24:29]
    import zlib

    check_sum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return content[:16] + header + check_sum + content[33:]


def packed_idx():
    """Ten gigabytes of zeros as ten megabytes would declare them."""
    head = struct.pack(">BBBBIII", 0, 0, 8, 3, 12_000_000, 28, 28)
    return gzip.compress(head + bytes(2_000_000))


def npz(members, **declared):
    """An archive of these members, whose first declares sizes of its own."""
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for field, value in declared.items():
            setattr(archive.infolist()[0], field, value)
    return file.getvalue()


def npy(shape, n_bytes):
    """The header of an array of bytes, and so many of them."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n" + bytes(n_bytes)


def large_directory():
    """The end of an archive whose directory is said to fill the file: two million members."""
    content = npz({f"{n}": b"" for n in range(2)})
    entry = content[content.index(b"PK\1\2") : content.index(b"PK\5\6")][:47]
    directory = entry * 2_000_000
    counts = struct.pack("<HHII", 0xFFFF, 0xFFFF, len(directory), 0)
    return b"PK\3\4" + directory + b"PK\5\6\0\0\0\0" + counts + b"\0\0"


MADE = {
    "lie.npz": lambda: npz({"x.npy": npy("(9999999999, 784)", 0)}, file_size=7_840_000_000_126),
    "cut.npz": lambda: npz({"x.npy": npy("(10000000, 784)", 2_000_000)}, file_size=7_840_000_128),
    "zeros.npz": lambda: npz({"x.npy": npy("(784,)", 300_000_000)}),
    "labels.npz": lambda: npz({"y.npy": npy("(300000000,)", 300_000_000)}),
    "members.npz": large_directory,
    "line.csv": lambda: b"label," + b"7," * 50_000_000,
    "lines.csv": lambda: b"7,\n" * 30_000_000,
    "rows.csv": lambda: b",".join(b"%d" % n for n in range(784)) + b"\n7" * 30_000_000,
    "quotes.csv": lambda: (b",".join([b'"'] * 784) + b"\n") * 10_000,
    "scans.jpg": many_scans,
    "wide.png": lambda: png(2_000_000, 40),
    "tall.png": lambda: png(20, 2**31 - 1),
    "large.png": lambda: picture("PNG", (30_000, 12_000)),
    "gray.png": lambda: picture("PNG", (17_000, 17_000)),
    "large.webp": lambda: picture("WEBP", (8_000, 8_000), lossless=True),
    "images.gz": packed_idx,
    "header.npy": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"{" * 100_000,
    "shape.npy": lambda: (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 784), }".ljust(117)
        + b"\n"
    ),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", MADE)
def test_made(usual, tmp_path, name):
    if name.endswith(".csv"):
        need("pyarrow")
    (tmp_path / name).write_bytes(MADE[name]())
    run = measured("classify", tmp_path / name)
    check(run, usual, name)
    expected = {
        ".csv": "line of more than|784 columns|a number in column",
        ".npz": "damaged|declares|no images beside the labels",
        ".npy": "damaged|declares",
        ".gz": "damaged|declares",
    }
    assert re.search(expected.get(Path(name).suffix, "this picture is too large"), run.said[0])


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["labels.npz", "lie.npz", "lines.csv"])
def test_labels(usual, tmp_path, name):
    if name.endswith(".csv"):
        need("pyarrow")
    (tmp_path / name).write_bytes(MADE[name]())
    np.save(tmp_path / "images.npy", np.zeros((3, 784), np.uint8))
    run = measured("classify", tmp_path / "images.npy", "--labels", tmp_path / name)
    check(run, usual, name)


@pytest.mark.compiled
def test_many_large_pictures_at_once(usual, tmp_path):
    """They share one budget, however many threads there are."""
    for n in range(6):
        (tmp_path / f"{n}.png").write_bytes(picture("PNG", (9_000, 9_000)))
    run = measured("classify", tmp_path, "--on-error", "skip", env={**os.environ, "NPROC": "6"})
    assert all("nothing is drawn here" in line for line in run.said)
    assert run.n_bytes < MOST_BYTES + 300_000_000


def need(package):
    if not find_spec(package):
        pytest.skip(f"could not import {package!r}")


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


@pytest.mark.compiled
@pytest.mark.parametrize("ending", [".pt", ".keras"])
def test_archives(usual, tmp_path, ending):
    need("torch" if ending == ".pt" else "h5py")
    path = tmp_path / f"bomb{ending}"
    archive(path, {"config.json": "{}", "archive/data/0": bytes(300_000_000)})
    options = ["--squash", "relu", "--last-squash", "relu"] * (ending == ".pt")
    run = measured("convert", path, tmp_path / "a.safetensors", *options)
    check(run._replace(n_bytes=0, seconds=0), usual, path.name)  # without PyTorch and Keras
    assert run.n_bytes < MOST_BYTES + 300_000_000


@pytest.mark.compiled
@pytest.mark.parametrize("units", ['"units": 1000000', '"\\u0075nits": 1000000'])
@pytest.mark.parametrize("pixels", [784, 10**12])
def test_keras_that_declares_too_much(usual, tmp_path, units, pixels):
    """What a configuration says takes no memory, in whatever way it is written."""
    need("h5py")
    path = tmp_path / "huge.keras"
    inputs = {"class_name": "InputLayer", "config": {"batch_shape": [None, pixels]}}
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 1000000}}
    config = json.dumps({"config": {"layers": [inputs, dense, dense]}})
    config = config.replace('"units": 1000000', units)
    archive(path, {"config.json": config, "model.weights.h5": b""})
    check(measured("convert", path, tmp_path / "a.safetensors"), usual, path.name)


@pytest.mark.process
@pytest.mark.parametrize(
    "begin", ["", "\\x89PNG\\r\\n\\x1a\\n", "\\x00\\x00\\x08\\x03\\x00\\x00\\x00\\x01", "GIF89a"]
)
def test_endless_input(begin):
    shell = f"(printf '{begin}'; yes) | {sys.executable} -m jaxnet classify -"
    process = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60)
    assert re.fullmatch("jaxnet: standard input: .*\n", process.stderr)


@pytest.mark.compiled
@pytest.mark.parametrize(
    "options", [["--sizes", "784-1000000-1000000-10"], ["--ensemble", "1000000"]]
)
def test_training_beyond_memory(usual, tmp_path, options):
    run = measured("train", "drawn", *options, cwd=tmp_path)
    check(run._replace(n_bytes=0, seconds=0), usual, options[0])  # the digits are drawn first
    assert "of memory" in run.said[0]
    assert run.n_bytes < MOST_BYTES + 200_000_000  # the synthetic digits among it


@pytest.mark.compiled
def test_links_in_circles(usual, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.png").write_bytes(picture("PNG", (30, 30)))
    for name, to in (("up", ".."), ("here", "."), ("there", "../a")):
        (tmp_path / "a" / name).symlink_to(to)
    run = measured("classify", tmp_path / "**" / "*.png", "--json", "--on-error", "skip")
    assert len(run.out.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npy", "npz", "idx", "idx.gz", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, ending):
    """Ten times the images, and at most a tenth more memory."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    from jaxnet.data import write_idx

    def write(n):
        path = tmp_path / f"{n}.{ending}"
        images = np.random.default_rng(0).integers(0, 256, (n, 784), np.uint8)
        images[:, 100:] = 0
        if ending == "npy":
            np.save(path, images)
        elif ending == "npz":
            np.savez_compressed(path, images=images)
        elif ending == "parquet":
            values = pa.array(images.reshape(-1))
            column = pa.FixedSizeListArray.from_arrays(values, 784).cast(pa.list_(pa.uint8()))
            parquet.write_table(pa.table({"image": column}), path)
        else:
            write_idx(path, images.reshape(-1, 28, 28))
        return path

    peaks = []
    for n in (200_000, 2_000_000):
        run = measured("classify", write(n))
        assert run.code == 0, run
        peaks.append(run.n_bytes)
    assert peaks[1] < 1.1 * peaks[0]
