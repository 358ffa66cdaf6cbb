"""MNIST from a folder, from the cache, and over a real (local) network that misbehaves."""

import gzip
import hashlib
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import jaxnet.data.mnist
from jaxnet._util.files import FileError
from jaxnet.data import load_mnist, write_idx

FILES = {
    "train-images-idx3-ubyte": np.arange(5 * 784).astype("u1").reshape(5, 28, 28),
    "train-labels-idx1-ubyte": np.array([5, 0, 4, 1, 9], "u1"),
    "t10k-images-idx3-ubyte": np.arange(3 * 784).astype("u1").reshape(3, 28, 28) // 2,
    "t10k-labels-idx1-ubyte": np.array([7, 2, 1], "u1"),
}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small stand-in for MNIST in a folder, its digests declared as the right ones."""
    folder = tmp_path / "published"
    folder.mkdir()
    digests = {}
    for name, array in FILES.items():
        write_idx(folder / name, array)
        digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        write_idx(folder / f"{name}.gz", array)
        (folder / name).unlink()
    monkeypatch.setattr(jaxnet.data.mnist, "_SHA256", digests)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXNET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxnet"


@pytest.fixture
def serve():
    """Serves a folder on loopback; returns its address and the list of paths asked for."""
    servers = []

    def start(folder, change=lambda path, content: content):
        asked = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                file = folder / self.path.lstrip("/")
                if not file.is_file():
                    return self.send_error(404)
                content = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(change(self.path, content))
                return None

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check(digits, prefix):
    images, labels = digits
    np.testing.assert_array_equal(images, FILES[f"{prefix}-images-idx3-ubyte"].reshape(-1, 784))
    np.testing.assert_array_equal(labels, FILES[f"{prefix}-labels-idx1-ubyte"])


@pytest.mark.compiled
def test_published_checksums(mnist):
    for split, n in (("train", 60_000), ("test", 10_000)):
        images, labels = mnist[split]
        assert images.shape == (n, 784)
        assert images.dtype == labels.dtype == np.uint8
        # The uncompressed bytes, put together again from what was read.
        prefix = {"train": "train", "test": "t10k"}[split]
        head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in (n, 28, 28))
        digest = hashlib.sha256(head + images.tobytes()).hexdigest()
        assert digest == jaxnet.data.mnist._SHA256[f"{prefix}-images-idx3-ubyte"]
        digest = hashlib.sha256(head[:3] + b"\1" + head[4:8] + labels.tobytes()).hexdigest()
        assert digest == jaxnet.data.mnist._SHA256[f"{prefix}-labels-idx1-ubyte"]


def test_from_a_folder(published):
    check(load_mnist("train", published), "train")
    check(load_mnist("test", str(published)), "t10k")


def test_from_jaxnet_data(published, monkeypatch):
    monkeypatch.setenv("JAXNET_DATA", str(published))
    check(load_mnist("test"), "t10k")


def test_cache_after_jaxnet_data(published, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNET_DATA", str(tmp_path))
    cache.parent.mkdir()
    published.rename(cache)
    check(load_mnist("test", mirrors=[]), "t10k")


def test_file_name_variants(published):
    packed = published / "t10k-images-idx3-ubyte.gz"
    (published / "t10k-images.idx3-ubyte").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    check(load_mnist("test", published), "t10k")


@pytest.mark.compiled
def test_download_is_cached(published, cache, serve):
    mirror, asked = serve(published)
    check(load_mnist("test", mirrors=[mirror]), "t10k")
    assert sorted(asked) == ["/t10k-images-idx3-ubyte.gz", "/t10k-labels-idx1-ubyte.gz"]
    check(load_mnist("test", mirrors=[mirror]), "t10k")
    assert len(asked) == 2
    check(load_mnist("test", mirrors=[]), "t10k")


def truncated(path, content):
    return content[: len(content) // 2]


def another_file(path, content):
    return gzip.compress(b"sorry") + bytes(len(content) - len(gzip.compress(b"sorry")))


def an_error_page(path, content):
    return b"<html>Please log in to the hotel's network</html>".ljust(len(content))


@pytest.mark.compiled
@pytest.mark.parametrize("change", [truncated, another_file, an_error_page])
def test_second_mirror(published, cache, serve, change):
    bad, asked_bad = serve(published, change)
    good, asked_good = serve(published)
    check(load_mnist("train", mirrors=[bad, good]), "train")
    assert len(asked_bad) == len(asked_good) == 2
    assert sorted(path.name for path in cache.iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


@pytest.mark.compiled
@pytest.mark.parametrize("change", [truncated, another_file, an_error_page])
def test_all_mirrors_fail(published, cache, serve, change):
    bad, _ = serve(published, change)
    with pytest.raises(FileError, match="not found and could not be downloaded"):
        load_mnist("train", mirrors=[bad, bad])
    assert list(cache.iterdir()) == []


def test_offline(cache):
    nobody = "http://127.0.0.1:9/"  # the discard port, where nothing listens
    with pytest.raises(FileError) as raised:
        load_mnist("train", mirrors=[nobody])
    said = str(raised.value)
    assert "127.0.0.1:9 cannot be reached" in said
    assert str(cache) in said
    assert "JAXNET_DATA" in said
    assert "train-images-idx3-ubyte.gz and the others" in said
    assert len(said) < 400


def test_folder_without_mnist(tmp_path):
    with pytest.raises(FileError, match=f"{tmp_path}: no train-images-idx3-ubyte"):
        load_mnist("train", tmp_path)


def test_jaxnet_data_without_the_files(cache, tmp_path, monkeypatch):
    """The message names the folder, which is the first thing to look at."""
    for folder, says in ((tmp_path, "has no such file"), (tmp_path / "typo", "is no folder")):
        monkeypatch.setenv("JAXNET_DATA", str(folder))
        with pytest.raises(FileError, match=f"JAXNET_DATA names {folder}, which {says}"):
            load_mnist("train", mirrors=[])
        with monkeypatch.context() as without_pooch:
            without_pooch.setitem(sys.modules, "pooch", None)
            with pytest.raises(FileError, match=f"not found; JAXNET_DATA names {folder}, which"):
                load_mnist("train", mirrors=[])


@pytest.mark.parametrize("what", ["images", "labels"])
def test_others_under_the_same_names(published, monkeypatch, what):
    """As Fashion-MNIST's files are."""
    name = f"t10k-{what}-idx{3 if what == 'images' else 1}-ubyte"
    write_idx(published / f"{name}.gz", FILES[name][::-1])
    monkeypatch.setenv("JAXNET_DATA", str(published))
    for folder in (published, None):
        with pytest.raises(FileError, match=f"{name}.gz: has the name of an MNIST file"):
            load_mnist("test", folder)
    check(load_mnist("train"), "train")


@pytest.mark.compiled
def test_known_by_their_digest(mnist):
    from jaxnet.data.mnist import split_of

    for split in ("train", "test"):
        images, _ = mnist[split]
        assert split_of(images) == split
        changed = images.copy()
        changed[-1, 400] ^= 1
        for others in (changed, images[1:], images / np.float32(255)):
            assert split_of(others) is None


def test_bad_files(published):
    write = partial(write_idx, published / "t10k-labels-idx1-ubyte.gz")
    write(np.array([7, 2], "u1"))
    with pytest.raises(FileError, match="expected 3 labels"):
        load_mnist("test", published)
    write(np.array([7, 2, 10], "u1"))
    with pytest.raises(FileError, match="up to 10"):
        load_mnist("test", published)
    write_idx(published / "t10k-images-idx3-ubyte.gz", np.zeros((3, 32, 32), "u1"))
    with pytest.raises(FileError, match=r"\(3, 32, 32\)"):
        load_mnist("test", published)


def test_unknown_split():
    with pytest.raises(ValueError, match="'train' or 'test'; got 'valid'"):
        load_mnist("valid")
