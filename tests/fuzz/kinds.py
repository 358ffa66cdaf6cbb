"""What is fuzzed: for each kind of file, seeds, ways to change one, and what reads it.

A structural change keeps checksums and lengths right, so that the lie is found further in.
"""

import gzip
import io
import json
import os
import pickle
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxnet
from jaxnet import batch, data
from jaxnet.data import open_inputs
from jaxnet.formats import _scratch_files
from jaxnet.formats.torch import save_state_dict
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


def saved(ending, write=jaxnet.save):
    def seeds():
        known = {"squash": "relu", "last_squash": "sigmoid", "notes": {"made": "here"}}
        return [written(lambda path: write(path, NETWORK, **known), ending=ending)]

    return seeds


def converted(path):
    return jaxnet.load(path, squash="relu", last_squash="sigmoid")


def foreign(path):
    """Without a squash, which those files name themselves."""
    return jaxnet.load(path)


def within(path):
    """In this process, which reads thousands where another process for each reads dozens."""
    try:
        _scratch_files.read(path.read_bytes())
    except ValueError as error:
        raise jaxnet.FileError(f"{path}: {error}") from error


def safetensors_header(chance, content):
    """Another header, of the length that it says."""
    (size,) = struct.unpack("<Q", content[:8])
    header = mutate.of_json(chance, content[8 : 8 + size]).encode(errors="replace")
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def pickles():
    """A network's weights and biases in lists, as programs without a framework save them."""
    lists = [np.asarray(w) for w, _ in NETWORK], [np.asarray(b)[:, None] for _, b in NETWORK]
    return [pickle.dumps(lists, protocol=protocol) for protocol in (0, 2, 4, 5)]


def arrays_of_network():
    """The same as arrays of an archive."""
    names = {
        f"{name}{n}": a
        for n, pair in enumerate(NETWORK)
        for name, a in zip("Wb", pair, strict=True)
    }
    return [written(lambda path: np.savez(path, **names), ending=".npz")]


def json_of_network():
    """The same as Nielsen's program writes it."""
    lists = {"weights": [np.asarray(w).tolist() for w, _ in NETWORK]}
    lists["biases"] = [np.asarray(b)[:, None].tolist() for _, b in NETWORK]
    return [json.dumps(lists).encode()]


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


def checkpoints():
    """As training loops save them: named layers, wrapped, beside an optimizer's state."""
    import torch

    layers = [torch.nn.Linear(784, 3), torch.nn.Linear(3, 10)]
    model = torch.nn.ModuleDict(dict(zip(("fc1", "out"), layers, strict=True)))
    optimizer = torch.optim.Adam(model.parameters()).state_dict()
    state = {f"model.{name}": array for name, array in model.state_dict().items()}
    wrapped = (
        {"state_dict": state, "optimizer_states": [optimizer], "epoch": 3},
        {"model_state_dict": model.state_dict(), "loss": 0.5},
        state,
    )
    return [written(lambda path, w=w: torch.save(w, path), ending=".ckpt") for w in wrapped]


def keras_models(ending):
    def seeds():
        import keras

        layers = keras.layers
        rows = (
            (layers.Rescaling(1 / 127.5, -1), layers.Flatten(), layers.Dense(3, "relu")),
            (layers.Flatten(), layers.Dense(3), layers.ReLU(), layers.Dropout(0.1)),
        )
        seeds = []
        for row in rows:
            images = keras.Input((28, 28))
            model = keras.Sequential([images, *row, layers.Dense(10, "softmax")])
            functional = keras.Model(model.inputs, model.outputs)
            seeds += [written(lambda p, m=m: m.save(p), ending=ending) for m in (model, functional)]
        return seeds

    return seeds


def hdf5_text(chance, content):
    """A change of the configuration in an HDF5 file, or of a link, both well formed."""
    import h5py

    with h5py.File(whole := io.BytesIO(content), "r+") as file:
        places = []
        file.visit(places.append)
        what = chance.randrange(4)
        if what < 2:
            text = mutate.of_json(chance, file.attrs["model_config"])
            file.attrs["model_config"] = text.encode(errors="replace")
        elif what == 2:
            file.move(chance.choice(places), f"/{chance.choice(places)}x")
        else:
            place = chance.choice(places)
            shape = tuple(
                chance.choice((0, 1, 3, 10, 784, 10**6)) for _ in range(chance.randrange(4))
            )
            del file[place]
            file.create_dataset(place, shape, chance.choice(("f2", "f4", "f8", "i4", "S9")))
    return whole.getvalue()


def flax_arrays():
    import safetensors.numpy

    arrays = {}
    for n, (w, b) in enumerate(NETWORK):
        arrays |= {f"Dense_{n}.kernel": np.asarray(w).T.copy(), f"Dense_{n}.bias": np.asarray(b)}
    return [safetensors.numpy.save(arrays)]


def onnx_graphs():
    """As PyTorch's older exporter and scikit-learn's write them."""
    import onnx

    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    (w0, b0), (w1, b1) = [(np.asarray(w), np.asarray(b)) for w, b in NETWORK]
    arrays = {"w0": w0, "b0": b0, "w1": w1, "b1": b1, "w0t": w0.T.copy(), "w1t": w1.T.copy()}
    arrays |= {"first": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}
    arrays |= {"white": np.float32(255), "classes": np.arange(10), "half": np.float32(0.5)}
    torch = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "first"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axis"], ["u"]),
        node("Concat", ["u", "rest"], ["c"], axis=0),
        node("Reshape", ["x", "c"], ["f"]),
        node("Gemm", ["f", "w0", "b0"], ["z"], transB=1, alpha=1.0, beta=1.0),
        node("Sigmoid", ["z"], ["g"]),
        node("Mul", ["z", "g"], ["a"]),
        node("Gemm", ["a", "w1", "b1"], ["y"], transB=1),
    ]
    sklearn = [
        node("Cast", ["x"], ["f"], to=1),
        node("Div", ["f", "white"], ["p"]),
        node("Sub", ["p", "half"], ["q"]),
        node("Flatten", ["q"], ["r"]),
        node("MatMul", ["r", "w0t"], ["m"]),
        node("Add", ["m", "b0"], ["z"]),
        node("LeakyRelu", ["z"], ["a"], alpha=0.01),
        node("MatMul", ["a", "w1t"], ["m1"]),
        node("Add", ["m1", "b1"], ["z1"]),
        node("Softmax", ["z1"], ["y"], axis=1),
        node("ArgMax", ["y"], ["d"], axis=1),
        node("ArrayFeatureExtractor", ["classes", "d"], ["l"], domain="ai.onnx.ml"),
        node("ZipMap", ["y"], ["k"], classlabels_int64s=[*range(10)], domain="ai.onnx.ml"),
    ]
    seeds = []
    for nodes, outputs in ((torch, "y"), (sklearn, "yl")):
        taken = {name for part in nodes for name in part.input}
        graph = onnx.helper.make_graph(
            nodes,
            "graph",
            [value("x", 1, ["n", 1, 28, 28])],
            [value(name, 1, None) for name in outputs],
            [onnx.numpy_helper.from_array(np.asarray(arrays[n]), n) for n in arrays if n in taken],
        )
        seeds.append(onnx.helper.make_model(graph).SerializeToString())
    return seeds


def onnx_node(chance, content):
    """A node, an attribute, a shape or a name changed in a graph that is well formed."""
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    names = [name for part in graph.node for name in (*part.input, *part.output)]
    part = chance.choice(graph.node)
    match chance.randrange(8):
        case 0 if part.input:
            part.input[chance.randrange(len(part.input))] = chance.choice([*names, ""])
        case 1:
            part.output[0] = chance.choice(names)
        case 2:
            part.op_type = chance.choice([p.op_type for p in graph.node] + ["Transpose", "Squeeze"])
        case 3 if part.attribute:
            attribute = chance.choice(part.attribute)
            attribute.i = chance.choice((-(2**63), -2, -1, 0, 1, 2, 99, 2**62))
            attribute.f = chance.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
            attribute.type = chance.choice((1, 2, 3, 4, 6, 7))
        case 4:
            tensor = chance.choice(graph.initializer)
            if tensor.dims:
                tensor.dims[0] = chance.choice((-1, 0, 1, 2, 784, 2**40))
            tensor.data_type = chance.choice((1, 2, 7, 8, 10, 11, 16, 99, tensor.data_type))
        case 5:
            graph.node.append(chance.choice(graph.node))
        case 6:
            del graph.node[chance.randrange(len(graph.node))]
        case _:
            dims = graph.input[0].type.tensor_type.shape.dim
            chance.choice(dims).dim_value = chance.choice((-1, 0, 1, 28, 784, 2**62))
    return model.SerializeToString()


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

    return _checkpoint.as_tree(_checkpoint.load(path)[0], TREE, path)


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
        ".safetensors", saved(".safetensors", save_state_dict), (converted,), (safetensors_header,)
    ),
    "torch": Kind(".pt", saved(".pt"), (converted,), (zip_member,)),
    "keras": Kind(".keras", saved(".keras"), (converted,), (zip_member,)),
    "checkpoints": Kind(".ckpt", checkpoints, (converted,), (zip_member,)),
    "keras-layers": Kind(".keras", keras_models(".keras"), (foreign,), (zip_member,)),
    "hdf5": Kind(".h5", keras_models(".h5"), (foreign,), (hdf5_text,)),
    "flax": Kind(".safetensors", flax_arrays, (converted,), (safetensors_header,)),
    "onnx": Kind(".onnx", saved(".onnx"), (converted,), (onnx_node,)),
    "onnx-graphs": Kind(".onnx", onnx_graphs, (foreign,), (onnx_node,)),
    # Within this process, damaged pickles take any amount of memory, or end it.
    "pickles": Kind(".pkl", pickles, (converted,)),
    "arrays": Kind(".npz", arrays_of_network, (converted,), (zip_member,)),
    "nielsen": Kind(".json", json_of_network, (converted,), (in_json,)),
    "nielsen-within": Kind(".json", json_of_network, (within,), (in_json,)),
    "stablehlo": Kind(
        ".stablehlo", stablehlo, (jaxnet.formats.stablehlo.load,), (stablehlo_digest,)
    ),
    "checkpoint": Kind(".checkpoint", checkpoint, (load_checkpoint,), (safetensors_header,)),
    "manifest": Kind(".json", manifest, (load_manifest,), (in_json,)),
}
assert batch  # which reads manifests
