"""What is fuzzed: for each kind of file, seeds, ways to change one, and what reads it.

A structural change keeps checksums and lengths right, so that the lie is found further in.
"""

import gzip
import io
import json
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxnet
from jaxnet import batch, data
from jaxnet.data import open_inputs
from tests.fuzz import mutate


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        ending: of its name.
        seeds: makes whole files.
        readers: functions of a path.
        changes: functions of a `random.Random` and a file's bytes.
        most_bytes: that reading one may take, above those of the process when it begins.
    """

    ending: str
    seeds: Callable[[], Sequence[bytes]]
    readers: Sequence[Callable[[Path], Any]]
    changes: Sequence[Callable[[Any, bytes], bytes]] = ()
    most_bytes: int = 500_000_000


def images(path):
    inputs = open_inputs([path])
    n = min(inputs.n, 40)
    return inputs.read(0, n), inputs.read(inputs.n - min(n, 2), inputs.n)


def written(write, *arguments, ending=""):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"seed{ending}")
        write(path, *arguments)
        return path.read_bytes()


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 784), np.uint8)
LABELS = np.array([3, 1, 4], np.uint8)


def idx():
    arrays = (PIXELS.reshape(3, 28, 28), LABELS, PIXELS[:1].astype(np.float32) / 255)
    return [written(data.write_idx, array) for array in arrays]


def packed(change):
    """The change within gzip, whose checksum is right."""
    return lambda chance, content: gzip.compress(change(chance, gzip.decompress(content)), 1)


def npy():
    arrays = (
        *(PIXELS, PIXELS.reshape(3, 28, 28) / 255, np.asfortranarray(PIXELS), LABELS),
        *(PIXELS.reshape(3, 1, 28, 28).astype(np.int64), PIXELS.reshape(3, 28, 28, 1)),
    )
    return [written(np.save, array, ending=".npy") for array in arrays]


def npy_header(chance, content):
    """Another header, of the length that it says."""
    long = content[6] > 1
    size = struct.unpack("<I" if long else "<H", content[8 : 12 if long else 10])[0]
    begin = 12 if long else 10
    header = content[begin : begin + size]
    words = (b"|u1", b"<f4", b">f8", b"|O", b"<U9", b"<c16", b"<m8", b"True", b"False", b"None")
    numbers = (b"-1", b"0", b"784", b"99999999999", b"1e3", b"(3,)", b"(3, 784)", b"(28, 28)")
    found = [*re.finditer(rb"'[|<>]?\w+'|\d+|True|False|\([^)]*\)", header)]
    for _ in range(chance.choice((1, 1, 2))):
        if found:
            part = chance.choice(found)
            new = chance.choice((*words, *numbers))
            new = b"'%s'" % new if part[0][:1] == b"'" and chance.random() < 0.8 else new
            header = header[: part.start()] + new + header[part.end() :]
            break
    if chance.random() < 0.3:
        header = mutate.of_bytes(chance, header)
    version = chance.choice((1, 1, 2, 3, 4, 255))
    head = struct.pack("<I" if version > 1 else "<H", len(header) % 2**16)
    minor = chance.choice((0, 0, 0, 255))
    return b"\x93NUMPY" + bytes([version, minor]) + head + header + content[begin + size :]


def npz():
    square = PIXELS.reshape(3, 28, 28)
    keras = {"x_train": square, "y_train": LABELS, "x_test": square[:2], "y_test": LABELS[:2]}
    several = (keras, {"images": PIXELS / 255, "labels": LABELS.astype(int)}, {"arr_0": PIXELS})
    return [
        written(lambda path, a=arrays, s=save: s(path, **a), ending=".npz")
        for arrays in several
        for save in (np.savez, np.savez_compressed)
    ]


def npz_header(chance, content):
    """Another header in one array, in an archive that is right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice([*members])
    members[name] = npy_header(chance, members[name])
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return file.getvalue()


def csv():
    header = ",".join(["label", *(f"pixel{n}" for n in range(784))])
    table = np.column_stack([LABELS, PIXELS])
    forms = (
        (table, {"header": header, "fmt": "%d"}),
        (PIXELS, {"fmt": "%d"}),
        (table, {"fmt": "%d", "newline": "\r\n"}),
        (PIXELS / 255, {"fmt": "%.3f"}),
        (LABELS, {"header": "id,label", "fmt": "0,%d"}),
    )
    options = {"delimiter": ",", "comments": ""}
    return [written(lambda path, a=a, o=o: np.savetxt(path, a, **options, **o)) for a, o in forms]


def csv_cells(chance, content):
    """Other cells, and lines that are longer, shorter, there twice or gone."""
    lines = content.split(b"\n")
    cells = (
        b"",
        b"-1",
        b"256",
        b"1e400",
        b"nan",
        b"0x1f",
        b'"',
        b"7.5",
        b"label",
        b"1" * 50,
        b"\r",
    )
    for _ in range(chance.choice((1, 2, 20))):
        at = chance.randrange(len(lines))
        row = lines[at].split(b",")
        row[chance.randrange(len(row))] = chance.choice(cells)
        if chance.random() < 0.2:
            row = row[: chance.randrange(len(row) + 1)] * chance.choice((1, 2))
        lines[at] = b",".join(row)
        if chance.random() < 0.1:
            lines[at:at] = lines[at : at + 1] * chance.choice((1, 300))
    return b"\n".join(lines)


def qmnist():
    table = np.arange(24, dtype=np.int32).reshape(3, 8)
    return [written(data.write_idx, table), written(data.write_idx, LABELS)]


def parquet():
    import pyarrow as pa
    from pyarrow import parquet

    lists = pa.array(PIXELS.tolist(), pa.list_(pa.uint8()))
    encoded = [{"bytes": picture("PNG"), "path": "a"}, {"bytes": bytes(784), "path": None}]
    tables = (
        pa.table({"image": lists}),
        pa.table({"image": encoded}),
        pa.table({"pixels": [row.tobytes() for row in PIXELS], "label": [1, 2, 3]}),
        pa.table({"images": pa.array((PIXELS / 255).tolist(), pa.list_(pa.float32(), 784))}),
    )
    options = ({}, {"compression": "none", "use_dictionary": False}, {"compression": "gzip"})
    return [
        written(lambda path, t=table, o=option: parquet.write_table(t, path, **o))
        for table in tables
        for option in options
    ]


def parquet_footer(chance, content):
    """A change in the metadata at the end, of the length that it says."""
    size = struct.unpack("<I", content[-8:-4])[0]
    footer = mutate.of_bytes(chance, content[-8 - size : -8])
    return content[: -8 - size] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def picture(form, **options):
    from PIL import Image

    page = np.full((48, 40), 255, np.uint8)
    page[8:40, 18:23] = 20
    image = Image.fromarray(page).convert(options.pop("mode", "L"))
    image.save(file := io.BytesIO(), form, **options)
    return file.getvalue()


def pictures(form, *several):
    return lambda: [picture(form, **options) for options in several or ({},)]


def png_chunks(chance, content):
    """A change in one chunk, whose length and checksum are right."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    n = chance.randrange(len(chunks))
    name, inside = chunks[n]
    if name == b"IDAT" and chance.random() < 0.5:
        inside = zlib.compress(mutate.of_bytes(chance, zlib.decompress(inside)), 1)
    else:
        inside = mutate.of_bytes(chance, inside)
    chunks[n] = name, inside
    if chance.random() < 0.2:
        chunks.insert(n, chance.choice(chunks))
    return content[:8] + b"".join(
        struct.pack(">I", len(inside))
        + name
        + inside
        + struct.pack(">I", zlib.crc32(name + inside))
        for name, inside in chunks
    )


NETWORK = jaxnet.init(__import__("jax").random.key(0), (784, 3, 10))


def saved(ending, **options):
    def seeds():
        network = jaxnet.formats.with_spec(NETWORK, "relu", "sigmoid", {"made": "here"})
        write = partial(jaxnet.formats.convert.write, params=network[0], spec=network[1])
        return [written(lambda path: write(path, **options), ending=ending)]

    return seeds


def converted(path):
    return jaxnet.formats.convert.read(path, squash="relu", last_squash="sigmoid")


def safetensors_header(chance, content):
    """Another header, of the length that it says."""
    (size,) = struct.unpack("<Q", content[:8])
    header = mutate.of_json(chance, content[8 : 8 + size]).encode(errors="replace")
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def zip_member(chance, content):
    """A change in one member of a ZIP archive, whose checksum is right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice([*members])
    inside = members[name]
    if name.endswith(".json") and chance.random() < 0.7:
        members[name] = mutate.of_json(chance, inside).encode(errors="replace")
    else:
        members[name] = mutate.of_bytes(chance, inside)
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return file.getvalue()


def stablehlo():
    return [jaxnet.formats.stablehlo.export(NETWORK, squash="relu", batch=2)]


def stablehlo_digest(chance, content):
    """A change under a digest that is right."""
    content = mutate.of_bytes(chance, content)
    digest = jaxnet.formats.stablehlo._digest(content)
    return re.sub(rb'(?<="sha256": ")[0-9a-f]{64}', digest.encode(), content)


TREE = {"a": np.arange(6, dtype=np.float32), "b": np.zeros((2, 3), np.int32)}


def checkpoint():
    from jaxnet.runs import _checkpoint

    return [written(lambda path: _checkpoint.save(path, TREE, {"seconds": "1"}))]


def load_checkpoint(path):
    from jaxnet.runs import _checkpoint

    return _checkpoint.load(path, TREE)


PLAN = {"rows": 3, "ending": ".csv"}


def manifest():
    shard = {"file": "part-00000.csv", "sha256": "0" * 64, "rows": 3, "unread": 0, "right": 0}
    return [json.dumps({**PLAN, "shards": [shard]}).encode()]


def load_manifest(path):
    from jaxnet.batch import _shards

    folder = path.parent / "answers"
    folder.mkdir(exist_ok=True)
    os.replace(path, folder / _shards.MANIFEST)
    return _shards._finished(folder, PLAN, {"part-00000.csv": range(3)}, resume=True)


def in_json(chance, content):
    return mutate.of_json(chance, content).encode(errors="replace")


COLORS = ({}, {"mode": "RGB"}, {"mode": "P"}, {"mode": "RGBA"}, {"mode": "1"})
KINDS = {
    "idx": Kind("", idx, (data.read_idx, images, data.read_labels)),
    "gzip": Kind(
        ".gz",
        lambda: [gzip.compress(content, 1, mtime=0) for content in idx()],
        (data.read_idx, images),
        (packed(mutate.of_bytes),),
    ),
    "npy": Kind(".npy", npy, (images, data.read_labels), (npy_header,)),
    "npz": Kind(".npz", npz, (images, data.read_labels), (zip_member, npz_header)),
    "csv": Kind(".csv", csv, (images, data.read_labels), (csv_cells,)),
    "qmnist": Kind("", qmnist, (data.read_labels,)),
    # The header of a page may declare any 32-bit size, and pyarrow takes that much for a moment.
    "parquet": Kind(
        ".parquet", parquet, (images, data.read_labels), (parquet_footer,), most_bytes=5_000_000_000
    ),
    "png": Kind(
        ".png", pictures("PNG", *COLORS, {"mode": "I;16"}), (data.read_image,), (png_chunks,)
    ),
    "jpeg": Kind(
        ".jpg", pictures("JPEG", {}, {"mode": "RGB"}, {"progressive": True}), (data.read_image,)
    ),
    "gif": Kind(".gif", pictures("GIF"), (data.read_image,)),
    "webp": Kind(".webp", pictures("WEBP", {}, {"lossless": True}), (data.read_image,)),
    "bmp": Kind(".bmp", pictures("BMP", *COLORS[:3]), (data.read_image,)),
    "tiff": Kind(".tif", pictures("TIFF", *COLORS, {"mode": "I;16"}), (data.read_digits,)),
    "avif": Kind(".avif", pictures("AVIF"), (data.read_digits,)),
    "netpbm": Kind(".pgm", pictures("PPM", *COLORS[:2]), (data.read_digits,)),
    "safetensors": Kind(
        ".safetensors", saved(".safetensors"), (jaxnet.load, converted), (safetensors_header,)
    ),
    "pytorch": Kind(
        ".safetensors", saved(".safetensors", pytorch=True), (converted,), (safetensors_header,)
    ),
    "torch": Kind(".pt", saved(".pt"), (converted,), (zip_member,)),
    "keras": Kind(".keras", saved(".keras"), (converted,), (zip_member,)),
    "onnx": Kind(".onnx", saved(".onnx"), (converted,)),
    "stablehlo": Kind(
        ".stablehlo", stablehlo, (jaxnet.formats.stablehlo.load,), (stablehlo_digest,)
    ),
    "checkpoint": Kind(".checkpoint", checkpoint, (load_checkpoint,), (safetensors_header,)),
    "manifest": Kind(".json", manifest, (load_manifest,), (in_json,)),
}
assert batch  # which reads manifests
