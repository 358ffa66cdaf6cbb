"""Atomic writes: an interrupted write leaves the old file."""

import os
import signal
import subprocess
import sys

import pytest

import jaxnet
from jaxnet._util.files import FileError, check_free, replacing


def test_replaces_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_default_permissions(tmp_path):
    with replacing(tmp_path / "ours") as file:
        file.write(b"")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_exception_keeps_the_old_content(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.process
def test_killed_process_keeps_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"""
import time
import jaxnet
from jaxnet._util.files import FileError, replacing
with replacing({str(path)!r}) as file:
    file.write(b"new" * 100_000)
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.process
def test_full_disk_keeps_the_old_content(tmp_path):
    """Simulated by a limit on the file size."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"""
import resource
import jaxnet
from jaxnet._util.files import FileError, replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with replacing({str(path)!r}) as file:
        file.write(bytes(100_000))
except OSError as error:
    print(error.filename)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_keeps_links_and_permissions(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_pipe_is_rejected_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (
        jaxnet.load,
        jaxnet.data.read_idx,
        jaxnet.data.read_images,
        jaxnet.data.read_labels,
    ):
        with pytest.raises(FileError, match="pipe: a pipe or a device"):
            read(tmp_path / "pipe")


def test_error_about_another_file(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    assert raised.value.filename == str(tmp_path / "other")


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "x"):
        pass


def test_output_is_a_folder(tmp_path):
    with pytest.raises(FileError, match="this is a folder; name a file"):
        check_free(tmp_path)
