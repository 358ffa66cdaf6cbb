"""Ctrl-C, SIGTERM and a closed terminal at any moment: one clean end, and nothing half-written."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxnet

N_PRESSES = int(os.environ.get("JAXNET_PRESSES", "24"))
SCRIPT = Path(sys.executable).with_name("jaxnet")
TRAINED = Path(jaxnet.__file__).parent / "_pretrained" / "network.safetensors"
WRITES = {  # commands, and how long they take at most
    "page": (["page"], 1.5),
    "classify": (["classify", "many.npy", "--output", "answers.csv"], 3.0),
    "shards": (["classify", "many.npy", "--output", "answers", "--shard-size", "20000"], 3.0),
    "train": (["train", "drawn", "--epochs", "2"], 6.0),
    "export": (["export", "digits.onnx"], 1.5),
    "draw": (["draw", "weights", "--output", "weights.png"], 2.5),
    "convert": (["convert", "digits.safetensors", "digits.onnx"], 2.5),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "many.npy"
    np.save(path, np.zeros((100_000, 784), np.uint8))
    return path


def begin(folder, many, *arguments):
    if not (folder / "many.npy").exists():
        os.link(many, folder / "many.npy")
        command = [SCRIPT, "convert", TRAINED, folder / "digits.safetensors"]
        subprocess.run(command, check=True, capture_output=True)
    return subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begin_and_wait_for(pattern, folder, many, *arguments):
    """A process that has written a file, or has ended."""
    process = begin(folder, many, *arguments)
    while process.poll() is None and not [*folder.glob(pattern)]:
        time.sleep(0.005)
    return process


def second_while_stopped(first, folder, many, *arguments):
    """What a command says that is refused while another goes on, which then ends well."""
    first.send_signal(signal.SIGSTOP)
    second = begin(folder, many, *arguments)
    _, said = second.communicate(timeout=60)
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=120)
    assert second.returncode == 2
    assert first.returncode == 0
    return said


def catches(process, number):
    """Whether a process has a handler for a signal, or has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = re.search(r"SigCgt:\s+(\w+)", status)
    return process.poll() is not None or int(caught[1], 16) >> (number - 1) & 1


@pytest.mark.process
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells")
@pytest.mark.parametrize("press", range(N_PRESSES))
def test_press_at_any_moment(many, tmp_path, press):
    chance = random.Random(press)
    arguments, longest = [*WRITES.values()][press % len(WRITES)]
    number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    process = begin(tmp_path, many, *arguments)
    while not catches(process, signal.SIGHUP):  # before, Python itself is starting
        time.sleep(0.001)
    time.sleep(longest * chance.random() ** 2)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    took = time.monotonic() - began
    said = [
        line for line in err.splitlines() if not line.startswith(("training", "compiling", "epoch"))
    ]
    assert process.returncode in (0, -number), err
    if process.returncode:
        assert took < 1.5
        assert len(said) <= 1, err
        assert all("--resume to continue" in line for line in said)
    hidden = [path.name for path in tmp_path.rglob(".jaxnet-*")]
    assert hidden == []
    for whole in (*tmp_path.glob("*.html"), *tmp_path.glob("*.csv"), *tmp_path.glob("*.png")):
        assert process.returncode == 0 or whole.stat().st_size > 1000


@pytest.mark.process
def test_killed_run_is_swept_by_the_next(many, tmp_path):
    command = ["classify", "many.npy", "--output", "answers.csv"]
    process = begin_and_wait_for(".jaxnet-*", tmp_path, many, *command)
    process.kill()
    process.communicate()
    assert len([*tmp_path.glob(".jaxnet-*.partial")]) == 1
    process = begin(tmp_path, many, *command)
    process.communicate()
    assert process.returncode == 0
    assert not [*tmp_path.glob(".jaxnet-*")]
    assert (tmp_path / "answers.csv").stat().st_size > 1_000_000


@pytest.mark.process
def test_two_runs_with_one_output(many, tmp_path):
    command = ["classify", "many.npy", "--output", "answers.csv"]
    first = begin_and_wait_for(".jaxnet-*", tmp_path, many, *command)
    said = second_while_stopped(first, tmp_path, many, *command)
    assert "answers.csv: another process is writing here" in said
    assert (tmp_path / "answers.csv").stat().st_size > 1_000_000


@pytest.mark.process
@pytest.mark.slow
def test_two_trainings_with_one_output(many, tmp_path):
    command = ["train", "drawn", "--epochs", "3"]
    first = begin_and_wait_for("network.checkpoint", tmp_path, many, *command)
    said = second_while_stopped(first, tmp_path, many, *command, "--resume")
    assert "network.checkpoint: another process is writing here" in said
    assert not [*tmp_path.glob(".jaxnet-*")]


@pytest.mark.process
def test_nohup(many, tmp_path):
    """What ignores the end of its terminal goes on."""
    process = subprocess.Popen(
        ["nohup", SCRIPT, "export", "digits.onnx"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(0.3)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "digits.onnx").exists()


@pytest.mark.process
@pytest.mark.parametrize("ignored", ["HUP", "INT", "TERM"])
def test_signals_that_the_parent_ignores(tmp_path, ignored):
    """They stay ignored, as POSIX has it for what a shell starts in the background."""
    process = subprocess.Popen(
        ["sh", "-c", f'trap "" {ignored}; exec "$0" export digits.onnx', SCRIPT], cwd=tmp_path
    )
    for _ in range(20):
        time.sleep(0.05)
        process.send_signal(getattr(signal, f"SIG{ignored}"))
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "digits.onnx").exists()


@pytest.mark.process
def test_ctrl_c_ends_the_loop_around_it(many, tmp_path):
    """A shell ends a loop only if its command dies of the signal; an exit code of 130 is not it."""
    (tmp_path / "many.npy").symlink_to(many)
    loop = 'for n in 1 2 3; do echo $n; "$0" classify many.npy --json > answers; done; echo done'
    shell = subprocess.Popen(
        ["bash", "-c", loop, SCRIPT],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "answers").exists() or not (tmp_path / "answers").stat().st_size:
        time.sleep(0.01)
    os.killpg(shell.pid, signal.SIGINT)  # as a terminal sends it
    out, _ = shell.communicate(timeout=60)
    assert out == "1\n"
    assert shell.returncode == -signal.SIGINT


@pytest.mark.process
def test_reader_that_does_not_read(many, tmp_path):
    """Blocked in writing to a full pipe, too, a signal ends it."""
    process = begin(tmp_path, many, "classify", "many.npy", "--json")
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=5)
    assert process.returncode == -signal.SIGINT
    process.communicate()
