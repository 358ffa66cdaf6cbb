"""Nothing half-written is ever seen, whatever interrupts the writing."""

import os
import signal
import subprocess
import sys

import pytest

import jaxnet
from jaxnet.files import FileError, check_free, replacing


def test_new_bytes_take_the_place_of_old_ones(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    with replacing(tmp_path / "ours") as file:
        file.write(b"")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_exception_leaves_the_old_bytes_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_old_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"""
import time
import jaxnet
from jaxnet.files import FileError, replacing
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


def test_where_no_more_fits_the_old_bytes_stay(tmp_path):
    """A limit on the size of files, which the system enforces as it does the end of a disk."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = f"""
import resource
import jaxnet
from jaxnet.files import FileError, replacing
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


def test_a_link_stays_a_link_and_a_secret_stays_one(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (
        jaxnet.load,
        jaxnet.data.read_idx,
        jaxnet.data.read_images,
        jaxnet.data.read_labels,
    ):
        with pytest.raises(FileError, match="pipe: a pipe or a device"):
            read(tmp_path / "pipe")


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "file"):
        (tmp_path / "other").read_bytes()
    assert raised.value.filename == str(tmp_path / "other")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "x"):
        pass


def test_a_folder_is_not_written_to_as_a_file(tmp_path):
    with pytest.raises(FileError, match="this is a folder; name a file"):
        check_free(tmp_path)
