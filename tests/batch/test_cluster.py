"""Ray Data on this machine: worker processes, files in and out, one of the workers killed."""

import csv
import io
import logging
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import write_idx
from jaxnet.inference import _program

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ray = pytest.importorskip("ray")
cluster = pytest.importorskip("jaxnet.batch.cluster")

pytestmark = [
    # Ray Data speaks of its own deprecations whenever it makes its settings.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    # Ray forks to start other programs, which know nothing of this one's threads.
    pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning"),
]
N = 6_000


@pytest.fixture(scope="module")
def running():
    """A cluster of this machine alone, with room for three workers; rows keep their order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        ray.init(
            "local",
            num_cpus=3,
            include_dashboard=False,
            object_store_memory=200_000_000,
            log_to_driver=False,
            logging_level="ERROR",
        )
        context = ray.data.DataContext.get_current()
        patch.setattr(context, "enable_progress_bars", False)
        patch.setattr(context.execution_options, "preserve_order", True)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def digits():
    """Drawn digits in bytes, and what `jaxnet.classify` reads in them."""
    images, _ = jaxnet.data.synthetic.sample(jax.random.key(0), N)
    images = (255 * np.asarray(images)).astype(np.uint8)
    return images, jaxnet.classify(jaxnet.pretrained(), images)


def parquet(folder, images, n_files):
    """Images under a number each, and beside a column that NumPy would not hold."""
    folder.mkdir()
    known = [None if n % 3 else n for n in range(len(images))]
    table = pa.table({"number": range(len(images)), "known": known, "image": images.tolist()})
    table = table.cast(table.schema.set(2, pa.field("image", pa.list_(pa.uint8()))))
    each = -(-len(images) // n_files)
    for n in range(n_files):
        pq.write_table(table.slice(n * each, each), folder / f"{n}.parquet")
    return table


def same(table, answers):
    np.testing.assert_array_equal(table["digit"].to_numpy(), answers.digits)
    activations = np.array(table["activations"].to_pylist(), np.float32).reshape(-1, 10)
    np.testing.assert_allclose(activations, answers.activations, atol=1e-5)


def arrow(dataset):
    return pa.concat_tables(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))


@pytest.mark.compiled
def test_parquet_to_parquet(running, digits, tmp_path):
    images, answers = digits
    table = parquet(tmp_path / "in", images, n_files=6)
    dataset = cluster.read(tmp_path / "in").repartition(6)
    read = cluster.classify(dataset, jaxnet.pretrained(), batch_size=700, workers=2).materialize()
    same(arrow(read), answers)
    assert arrow(read).select([0, 1, 2]).equals(table)  # in order too
    read.drop_columns(["image"]).write_parquet(str(tmp_path / "out"))
    # By Arrow alone, which knows nothing of Ray's types.
    written = pq.read_table(tmp_path / "out").sort_by("number")
    assert written.select([0, 1]).equals(table.select([0, 1]))
    same(written, answers)


@pytest.mark.compiled
@pytest.mark.slow
def test_other_files_and_another_squash(running, digits, tmp_path, params):
    images, _ = digits
    np.save(tmp_path / "a.npy", images[:2_500].reshape(-1, 28, 28))
    write_idx(tmp_path / "b", images[2_500:].reshape(-1, 28, 28))
    (tmp_path / "scans").mkdir()
    for n in range(3):
        Image.fromarray(255 - images[n].reshape(28, 28)).save(tmp_path / "scans" / f"{n}.png")
    squashes = {"squash": jax.nn.relu, "last_squash": jax.nn.softmax}

    dataset = cluster.read([tmp_path, tmp_path / "b"])
    table = arrow(cluster.classify(dataset, params, **squashes))
    assert table["path"].to_pylist() == [f"{tmp_path}/a.npy"] * 2_500 + [f"{tmp_path}/b"] * 3_500
    assert table["index"].to_pylist() == [*range(2_500), *range(3_500)]
    np.testing.assert_array_equal(cluster.as_images(table["image"]), images)
    same(table, jaxnet.classify(params, images, **squashes))

    pictures = arrow(cluster.read(tmp_path / "scans"))
    framed, names = jaxnet.data.read_images(tmp_path / "scans")
    assert pictures["path"].to_pylist() == names
    np.testing.assert_array_equal(cluster.as_images(pictures["image"]), framed)


@pytest.mark.compiled
def test_rows_of_a_killed_worker(running, digits, tmp_path):
    images, answers = digits
    (tmp_path / "in").mkdir()
    for n in range(12):
        np.save(tmp_path / "in" / f"{n:02}.npy", images[500 * n : 500 * n + 500])
    (tmp_path / "notes").mkdir()

    def slowly(rows):
        """Notes which worker is at which file, and takes long enough to be killed."""
        note = tmp_path / "notes" / f"{os.getpid()}-{os.path.basename(rows['path'][0].as_py())}"
        note.touch()
        time.sleep(0.5)
        note.rename(f"{note}.done")
        return rows

    dataset = cluster.read(tmp_path / "in").map_batches(slowly, batch_format="pyarrow")
    read = cluster.classify(dataset, jaxnet.pretrained(), workers=2)
    rows, killed = [], None
    for batch in read.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows.append(batch)
        while not killed:
            for note in (tmp_path / "notes").glob("*.npy"):
                worker, file = note.name.split("-")
                os.kill(int(worker), signal.SIGSTOP)
                busy = note.exists()  # it cannot be done with the file any more
                if busy:
                    title = Path(f"/proc/{worker}/cmdline").read_text()
                    killed = worker
                os.kill(int(worker), signal.SIGKILL if busy else signal.SIGCONT)
                if busy:
                    break
    table = pa.concat_tables(rows)
    assert len(rows[0]) == 500
    assert [os.path.basename(path)[:2] for path in table["path"].to_pylist()] == [
        f"{n:02}" for n in range(12) for _ in range(500)
    ]
    assert table["index"].to_pylist() == 12 * [*range(500)]
    same(table, answers)
    # It was one that classifies, and what it had begun was done by another.
    assert "_Classifier" in title
    notes = [path.name for path in (tmp_path / "notes").iterdir()]
    assert f"{killed}-{file}" in notes
    assert any(name.endswith(f"-{file}.done") for name in notes)


@pytest.mark.compiled
def test_worker_compiles_once(digits, params):
    images, _ = digits
    sigmoid = jax.nn.sigmoid
    before, tables = _program.classify_chunk._cache_size(), []
    worker = cluster._Classifier(params, sigmoid, sigmoid, "image", 2_000, on_gpu=True, side=28)
    sizes = (3, 2_000, 0, 700, 5_000)
    for n in sizes:
        table = pa.table({"image": pa.array([row.tobytes() for row in images[:n]], pa.binary())})
        tables.append(worker(table))
    assert _program.classify_chunk._cache_size() - before <= 1
    assert [*map(len, tables)] == [*sizes]
    for table in tables:
        same(table, jaxnet.classify(params, images[: len(table)]))


def test_worker_after_a_bad_batch(digits, params):
    worker = cluster._Classifier(
        params, jax.nn.sigmoid, jax.nn.sigmoid, "image", 10, on_gpu=True, side=28
    )
    good = pa.table({"image": pa.array([row.tobytes() for row in digits[0][:3]], pa.binary())})
    with pytest.raises(ValueError, match="Expected a column 'image'"):
        worker(good.rename_columns(["pixels"]))
    with pytest.raises(ValueError, match="Expected an image in each row"):
        worker(pa.table({"image": [[0.5, 2.0]]}))
    same(worker(good), jaxnet.classify(params, digits[0][:3]))


def encoded(image):
    Image.fromarray(image).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


@pytest.mark.compiled
@pytest.mark.slow
def test_columns_of_the_command(running, digits, tmp_path):
    """Hugging Face's structs of pictures, and integers of any width, as the command reads them."""
    images = digits[0][:40]
    pictures = [encoded(255 - image.reshape(28, 28)) for image in images]
    kinds = {
        "image": [{"bytes": picture, "path": None} for picture in pictures],
        "images": [picture if n % 2 else images[n].tobytes() for n, picture in enumerate(pictures)],
        "pixels": images.astype(int).tolist(),
        "the only one": [image.tobytes() for image in images],
    }
    for n, (name, column) in enumerate(kinds.items()):
        path = tmp_path / f"{n}.parquet"
        pq.write_table(pa.table({"label": range(40), name: column}), path)
        dataset = cluster.classify(cluster.read(path), jaxnet.pretrained())
        inputs = jaxnet.data.read_images(path).images
        np.testing.assert_array_equal(cluster.as_images(pa.chunked_array([column])), inputs)
        same(arrow(dataset), jaxnet.classify(jaxnet.pretrained(), inputs))
    with pytest.raises(ValueError, match=r"image\[1\]: this picture is damaged"):
        cluster.as_images(pa.chunked_array([[pictures[0], pictures[1][:60]]]))


@pytest.mark.compiled
def test_csv_to_csv(running, digits, tmp_path):
    images, answers = digits
    labels = np.arange(300) % 10
    with open(tmp_path / "train.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"pixel{n}" for n in range(784))])
        writer.writerows(np.column_stack([labels, images[:300]]).tolist())
    dataset = cluster.read(tmp_path / "train.csv", labels=True)
    cluster.flat(cluster.classify(dataset, jaxnet.pretrained())).write_csv(str(tmp_path / "out"))
    (written,) = (tmp_path / "out").iterdir()
    with open(written, newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert [int(row["digit"]) for row in rows] == answers.digits[:300].tolist()
    got = [[float(row[f"activation_{n}"]) for n in range(10)] for row in rows]
    np.testing.assert_allclose(got, answers.activations[:300], atol=1e-5)
    assert [*rows[0]][:4] == ["path", "index", "label", "digit"]
    with pytest.raises(ray.exceptions.RayTaskError, match="Expected answers, with a column"):
        cluster.flat(dataset).take_all()


@pytest.mark.compiled
def test_files_with_labels(running, digits, tmp_path):
    images = digits[0][:60].reshape(-1, 28, 28)
    for n, image in enumerate(images):
        folder = tmp_path / "own" / f"{n % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image).save(folder / f"{n:02}.png")
    table = arrow(cluster.read(tmp_path / "own", labels=True))
    assert table["label"].to_pylist() == [0] * 20 + [1] * 20 + [2] * 20
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(60), x_test=images[:5])
    table = arrow(cluster.read(f"{tmp_path}/a.npz#train", labels=True))
    assert table["label"].to_pylist() == [*range(60)]
    np.testing.assert_array_equal(cluster.as_images(table["image"]), digits[0][:60])


@pytest.mark.compiled
def test_bad_row(running, tmp_path):
    pq.write_table(pa.table({"pixels": [bytes(784)], "digit": [7]}), tmp_path / "a.parquet")
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY no more")
    with pytest.raises(ray.exceptions.RayTaskError, match="got pixels, digit instead"):
        cluster.classify(cluster.read(tmp_path / "a.parquet"), jaxnet.pretrained()).take_all()
    with pytest.raises(ray.exceptions.RayTaskError, match=r"b\.npy: the header of this"):
        cluster.read(tmp_path / "b.npy").take_all()


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.float64])
def test_arrow_types(kind):
    tensors = pytest.importorskip("ray.data.extensions").ArrowTensorArray
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(kind)
    images = images if kind == np.uint8 else images / kind(255)
    one = pa.from_numpy_dtype(kind)
    rows = images.reshape(5, 784)
    columns = [
        pa.array([*rows], pa.list_(one)),
        pa.array([*rows], pa.large_list(one)),
        pa.array([*rows], pa.list_(one, 784)),
        pa.array([[*image] for image in images], pa.list_(pa.list_(one))),
        pa.array([[*image] for image in images], pa.list_(pa.list_(one, 28), 28)),
        pa.FixedShapeTensorArray.from_numpy_ndarray(images),
        tensors.from_numpy(images),
        tensors.from_numpy(rows),
    ]
    if kind == np.uint8:
        texts = [row.tobytes() for row in rows]
        columns += [pa.array(texts, t) for t in (pa.binary(), pa.large_binary(), pa.binary(784))]
    for column in columns:
        # In two chunks, as when a batch is made of two blocks, and the first not from its start.
        got = cluster.as_images(pa.chunked_array([column[1:3], column[3:]]))
        assert got.dtype == kind
        np.testing.assert_array_equal(got, rows[1:])
        assert cluster.as_images(pa.chunked_array([column[:0]])).shape == (0, 784)


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        ([[1] * 784], r"integers from 1 to 1"),
        ([[7] * 783 + [256]], r"integers from 7 to 256"),
        ([[7] * 783 + [-1]], r"integers from -1 to 7"),
        ([[True] * 784], r"list<item: bool>"),
        ([["7"] * 784], r"list<item: string>"),
        ([7], r"int64 of single values"),
        (["seven"], r"string of single values"),
        ([bytes(783), bytes(785)], r"binary of different lengths"),
        ([bytes(783)], r"binary of 783"),
        ([[0.5] * 783, [0.5] * 785], r"list<item: double> of different lengths"),
        ([[[0.5] * 14] * 56], r"of 56 × 14"),
        ([[0.5] * 784, None], r"nothing in 1 of 2 rows"),
        ([bytes(784), None], r"nothing in 1 of 2 rows"),
        ([[0.5] * 783 + [None]], r"floats from nan to nan"),
        ([[0.0] * 783 + [255.0]], r"floats from 0.0 to 255.0"),
        ([[0.0] * 783 + [-0.1]], r"floats from -0.1 to 0.0"),
        ([{"pixels": [0.5] * 784}], r"struct<pixels: list<item: double>> of single values"),
    ],
)
def test_bad_images(column, fault):
    sentence = rf"in each row of the column 'scan', .*; got .*{fault}.* instead\.$"
    with pytest.raises(ValueError, match=sentence):
        cluster.as_images(pa.chunked_array([pa.array(column)]), "scan")


@pytest.mark.compiled
def test_bad_arguments(tmp_path):
    with pytest.raises(TypeError, match="Expected params as a tuple of Layer"):
        cluster.classify(None, "mine.safetensors")
    with pytest.raises(ValueError, match="params: expected a square number of pixels"):
        cluster.classify(None, jaxnet.init(jax.random.key(0), (65, 10)))
    for name, number in (("batch_size", 0), ("workers", 0), ("num_gpus", -1)):
        with pytest.raises(ValueError, match=f"Expected {name} of .* got {number} instead"):
            cluster.classify(None, jaxnet.pretrained(), **{name: number})
    with pytest.raises(ValueError, match="got none instead"):
        cluster.read([])
    with pytest.raises(ValueError, match="got Parquet among others instead"):
        cluster.read([tmp_path / "a.parquet", tmp_path / "b.npy"])
    with pytest.raises(
        FileError, match=r"no images in this folder \(.parquet, .npy, .npz, .csv, .png"
    ):
        cluster.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cluster.read(tmp_path / "nowhere.npy")


@pytest.mark.compiled
def test_missing_ray(monkeypatch):
    monkeypatch.delitem(sys.modules, "jaxnet.batch.cluster")
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxnet-digits\[ray\]'"):
        import_module("jaxnet.batch.cluster")
