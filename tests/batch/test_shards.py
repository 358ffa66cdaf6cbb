"""Jobs that are ended at any moment and gone on with: the very bytes, no row lost or doubled."""

import csv
import errno
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.batch import _shards as shards
from jaxnet.data import open_inputs
from tests.oracles import N_IN_FILE as N
from tests.oracles import file_of_many, job_of
from tests.subprocesses import refused, run

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return file_of_many(tmp_path_factory.mktemp("many"))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(job, folder, size=9_000, ending=".csv", resume=False):
    return [*shards.write_shards(job, folder, ending=ending, size=size, resume=resume)]


def test_shards_and_manifest(many, tmp_path):
    labels = np.random.default_rng(1).integers(0, 10, N)
    *_, last = write(job_of(many, labels=labels), tmp_path / "out")
    names = sorted(content(tmp_path / "out"))
    assert names == ["manifest.json", *(f"part-{n:05}.csv" for n in range(5))]
    rows = []
    for name in names[1:]:
        with open(tmp_path / "out" / name, newline="") as file:
            rows += csv.DictReader(file)
    assert [row["image"] for row in rows] == [f"{many}[{n}]" for n in range(N)]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [shard["rows"] for shard in manifest["shards"]] == [9000] * 4 + [4000]
    right = sum(row["digit"] == row["label"] for row in rows)
    assert (
        last.tally
        == (N, 0, right)
        == tuple(
            sum(shard[key] for shard in manifest["shards"]) for key in ("rows", "unread", "right")
        )
    )


def test_resume_after_any_shard(many, tmp_path):
    job = job_of(many)
    write(job, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    for pieces in range(7):
        folder = tmp_path / f"after {pieces}"
        steps = shards.write_shards(job, folder, ending=".csv", size=9_000, resume=True)
        for _ in range(pieces):
            next(steps)
        steps.close()
        assert not [*folder.glob(".jaxnet-*")] if folder.exists() else True
        first, *_, last = write(job, folder, resume=True)
        assert first.tally.rows == 9_000 * max(0, pieces - 2)
        assert last.tally.rows == N
        assert content(folder) == whole
    assert [step.tally.rows for step in write(job, tmp_path / "whole", resume=True)] == [N]


def test_missing_or_changed_shard(many, tmp_path):
    job, folder = job_of(many), tmp_path / "out"
    write(job, folder)
    whole = content(folder)
    (folder / "part-00001.csv").unlink()
    (folder / "part-00003.csv").write_bytes(whole["part-00003.csv"][:-1])
    (folder / ".jaxnet-0123.partial").write_text("of a process that was killed")
    first, *_ = write(job, folder, resume=True)
    assert first.tally.rows == N - 18_000
    assert content(folder) == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda job, many: job._replace(precision="int8"), "precision differ"),
        (lambda job, many: job._replace(brightest=True), "brightest differ"),
        (lambda job, many: job._replace(labels=np.zeros(N, int)), "labels differ"),
        (lambda job, many: job._replace(inputs=open_inputs([many, many])), "inputs, rows differ"),
        (
            lambda job, many: job._replace(
                params=(*job.params[:2], job.params[2]._replace(biases=np.ones(10, np.float32)))
            ),
            "network differ",
        ),
    ],
)
def test_resume_of_another_job(many, tmp_path, change, says):
    job, folder = job_of(many), tmp_path / "out"
    steps = shards.write_shards(job, folder, ending=".npy", size=9_000, resume=False)
    next(steps)
    steps.close()
    before = content(folder)
    with pytest.raises(FileError, match=says):
        write(change(job, many), folder, ending=".npy", resume=True)
    with pytest.raises(FileError, match="ending, shard_size differ"):
        write(job, folder, size=8_000, ending=".csv", resume=True)
    assert content(folder) == before


def test_foreign_folder(many, tmp_path):
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / ".jaxnet-0123.partial").write_text("of somebody else")
    before = content(tmp_path)
    for resume in (False, True):
        with pytest.raises(FileError, match="not empty"):
            write(job_of(many), tmp_path, resume=resume)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "manifest",
    ["", "{", "[]", "{}", '{"shards": [{"file": 1}]}', "null", '{"a":' * 100_000, b"\xff\xfe\xfa"],
    ids=range(8),
)
def test_damaged_manifest(many, tmp_path, manifest):
    content = manifest if isinstance(manifest, bytes) else manifest.encode()
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FileError, match=r"manifest\.json: this manifest is damaged"):
        write(job_of(many), tmp_path, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 8_999},
        {"rows": 9_000.0},
        {"rows": 1e999},
        {"unread": -1},
        {"right": 9_001},
        {"file": "part-00005.csv"},
        {"file": "../part-00000.csv"},
    ],
)
def test_implausible_manifest(many, tmp_path, change):
    job, folder = job_of(many), tmp_path / "out"
    steps = shards.write_shards(job, folder, ending=".csv", size=9_000, resume=False)
    while not (folder / "part-00001.csv").exists():
        next(steps)
    steps.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match=r"manifest\.json: this manifest is damaged"):
        write(job, folder, resume=True)


@pytest.mark.parametrize("name", ["manifest.json", "part-00000.csv"])
def test_pipes_in_the_folder(many, tmp_path, name):
    job, folder = job_of(many), tmp_path / "out"
    write(job, folder, size=20_000)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(FileError, match=f"{name}: a pipe or a device"):
        write(job, folder, size=20_000, resume=True)


def test_manifest_dependencies(many, tmp_path):
    write(job_of(many), tmp_path / "out", size=N)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["versions"].keys() >= {
        "jaxnet-digits",
        "jax",
        "jaxlib",
        "numpy",
        "pyarrow",
        "pillow",
    }
    assert manifest["device"][1] == platform.machine()
    assert manifest["inputs"][0]["mtime_ns"] == many.stat().st_mtime_ns


def test_resume_with_changed_inputs(many, tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "it.npy", np.load(many)[:4_000])
        os.utime(tmp_path / name / "it.npy", (0, 0))

    def begin(folder):
        monkeypatch.chdir(tmp_path / folder)
        return [*write(job_of("it.npy"), tmp_path / "out", size=2_000, resume=True)]

    begin("a")
    with pytest.raises(FileError, match="inputs differ"):
        begin("b")  # another file
    os.utime(tmp_path / "a" / "it.npy", (1, 1))
    with pytest.raises(FileError, match="inputs differ"):
        begin("a")  # written to since


def test_shard_names_sort(tmp_path):
    with open(tmp_path / "many.npy", "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (100_001, 784)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 100_001 * 784)
    job, folder = job_of(tmp_path / "many.npy"), tmp_path / "out"
    steps = shards.write_shards(job, folder, ending=".csv", size=1, resume=False)
    for _ in range(3):
        next(steps)
    steps.close()
    assert (folder / "part-000000.csv").exists()


@pytest.mark.process
def test_folder_is_locked(many, tmp_path):
    steps = shards.write_shards(job_of(many), tmp_path, ending=".csv", size=9_000, resume=True)
    next(steps)
    process = run(
        "classify", many, "--output", tmp_path, "--format", "csv", "--shard-size", 9_000, "--resume"
    )
    assert "another process is writing here" in refused(process)
    assert [step.tally.rows for step in steps][-1] == N


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(tmp_path, n):
    np.save(tmp_path / "few.npy", np.zeros((n, 784), np.uint8))
    write(job_of(tmp_path / "few.npy"), tmp_path / "out")
    with open(tmp_path / "out" / "part-00000.csv", newline="") as file:
        assert len([*csv.DictReader(file)]) == n


@pytest.mark.parametrize("bad", [2.0, np.nan, -0.1])
def test_bad_image(tmp_path, bad):
    images = np.random.default_rng(0).random((20_000, 784), np.float32)
    images[17_003, 5] = bad
    path, folder = tmp_path / "floats.npy", tmp_path / "out"
    np.save(path, images)
    with pytest.raises(FileError, match=r"floats\.npy\[17003\]: expected floats from 0 to 1"):
        write(job_of(path), folder, size=5_000)
    assert sorted(content(folder))[1:] == [f"part-0000{n}.csv" for n in range(3)]
    *_, last = write(job_of(path, on_error="skip"), tmp_path / "skipped", size=5_000)
    assert last.tally[:2] == (20_000, 1)
    rows = []
    for part in sorted((tmp_path / "skipped").glob("*.csv")):
        with open(part, newline="") as file:
            rows += csv.DictReader(file)
    assert [row["image"] for row in rows] == [f"{path}[{n}]" for n in range(20_000)]
    assert [n for n, row in enumerate(rows) if row["error"] or not row["digit"]] == [17_003]
    images[17_003] = 0
    expected = jaxnet.classify(jaxnet.pretrained(), images).digits
    assert all(int(r["digit"]) == d for r, d in zip(rows, expected, strict=True) if r["digit"])


def test_full_disk_keeps_shards(many, tmp_path):
    job, folder = job_of(many), tmp_path / "out"
    write(job, tmp_path / "whole", size=2_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "whole").glob("*.csv"))
    room = sizes[len(sizes) // 2]  # for every second shard
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            write(job, folder, size=2_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert not [*folder.glob(".jaxnet-*")]
    write(job, folder, size=2_000, resume=True)
    assert content(folder) == content(tmp_path / "whole")


def start(many, folder):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "jaxnet", "classify", many, "--output", folder, "--resume"),
            *("--format", "csv", "--shard-size", "2000"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def uninterrupted(many, tmp_path_factory):
    """What a whole run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert start(many, folder).wait() == 0
    return content(folder)


def kill(many, folder, chance):
    """Starts, or goes on, and is killed at a moment that comes before the end.

    One time in four while it starts; else when some of the parts that are missing, but not all,
    have been written, and a little later.
    """
    there = len([*folder.glob("part-*")])
    last = N // 2_000 - 1
    wanted = chance.randint(min(there + 1, last), last)
    starting = chance.random() < 0.25
    process = start(many, folder)
    if starting:
        time.sleep(chance.uniform(0, 1))
    while not starting and process.poll() is None and len([*folder.glob("part-*")]) < wanted:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.01))
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_resume_is_bit_identical_after_ten_kills(many, uninterrupted, tmp_path):
    chance, kills, folder = random.Random(0), 0, tmp_path / "out 0"
    while kills < 10:  # each goes on from where the last was killed
        if kill(many, folder, chance):
            kills += 1
            written = {path.name: path.read_bytes() for path in folder.glob("part-*")}
            assert written.items() <= uninterrupted.items()
            if kills < 10 and len(written) < N // 2_000 - 1:
                continue
            assert start(many, folder).wait() == 0
        assert content(folder) == uninterrupted
        folder = tmp_path / f"out {kills}"


@pytest.mark.slow
def test_resume_after_a_hundred_kills(many, uninterrupted, tmp_path):
    chance, kills = random.Random(1), 0
    while kills < 100:
        folder = tmp_path / f"out {kills}"
        if kill(many, folder, chance):
            kills += 1
            assert start(many, folder).wait() == 0
        assert content(folder) == uninterrupted
        shutil.rmtree(folder)
