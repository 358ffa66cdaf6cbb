"""Training runs: the same bits however interrupted, in this process and in killed ones."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet import runs
from jaxnet._util.files import FileError
from jaxnet.data import write_idx
from jaxnet.runs import Options, train
from jaxnet.runs import _checkpoint as checkpoints
from jaxnet.runs._record import save_run
from tests.subprocesses import refused, run

FEW = Options(epochs=4, batch_size=50, ensemble=2, augment="affine", optimizer="sgd", rate=0.5)


@pytest.fixture(autouse=True)
def standard_promotion():
    """As in the command: optax's Adam raises a float to an integer, which is not strict."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def digits():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 600)
    return (255 * np.asarray(images)).astype(np.uint8), np.asarray(labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("digits")
    write_idx(folder / "images.gz", digits[0].reshape(-1, 28, 28))
    write_idx(folder / "labels.gz", digits[1].astype(np.uint8))
    return folder


def last(progresses):
    *_, progress = progresses
    return progress


def same_bits(one, other):
    a, b = (jax.tree.leaves(tree) for tree in (one, other))
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


@pytest.mark.process
@pytest.mark.parametrize(
    ("optimizer", "stop"), [("adam", 1), pytest.param("muon", 3, marks=pytest.mark.slow)]
)
def test_resume_is_bit_identical(tmp_path, digits, optimizer, stop):
    options = FEW._replace(optimizer=optimizer, rate=0.01, ensemble=3)
    whole = last(train(options, *digits, tmp_path / "whole"))
    interrupted = train(options, *digits, tmp_path / "parts")
    for _ in range(stop):
        next(interrupted)
    interrupted.close()
    resumed = train(options, *digits, tmp_path / "parts", resume=True)
    assert len(next(resumed).history.cost) == stop
    resumed = last(resumed)
    same_bits(resumed.params, whole.params)
    same_bits(resumed.history, whole.history)
    assert whole.history.cost.shape == (4, 3)


@pytest.mark.slow
def test_interrupted_epoch_is_repeated(tmp_path, digits):
    """A checkpoint half written beside the whole one is not looked at."""
    whole = last(train(FEW, *digits, tmp_path / "whole"))
    next(parts := train(FEW, *digits, tmp_path / "parts"))
    parts.close()
    (tmp_path / ".jaxnet-0123456789abcdef.partial").write_bytes(b"half")
    same_bits(last(train(FEW, *digits, tmp_path / "parts", resume=True)).params, whole.params)


@pytest.mark.compiled
def test_single_run_equals_fit(tmp_path, digits):
    """Other keys and another order, but the same learning: both read nearly all of them."""
    options = Options(epochs=20, batch_size=20, validation=0)
    progress = last(train(options, *digits, tmp_path / "run"))
    assert progress.history.validation is None
    assert progress.history.accuracy[-1, 0] > 0.95
    member = jax.tree.map(lambda leaf: leaf[0], progress.params)
    assert jaxnet.evaluate(member, *digits).accuracy > 0.95


@pytest.mark.compiled
def test_validation_images_are_not_trained_on(tmp_path, digits):
    """Their labels decide what is scored, and nothing of what is learned."""
    images, labels = digits
    options = FEW._replace(epochs=1, validation=0.5)
    a = last(train(options, images, labels, tmp_path / "a"))
    key = jax.random.split(jax.random.key(options.seed), 3)[0]
    unseen = np.asarray(jaxnet._util.shuffle.shuffled(key, 600))[:300]
    other = labels.copy()
    other[unseen] = (other[unseen] + 1) % 10
    b = last(train(options, images, other, tmp_path / "b"))
    same_bits(a.params, b.params)
    same_bits(a.history.cost, b.history.cost)
    assert (a.history.validation.accuracy != b.history.validation.accuracy).all()


def test_best_member():
    history = jaxnet.training.History(
        np.array([[0.1, np.nan, 0.3]]),
        {"accuracy": np.ones((1, 3))},
        jaxnet.training.Score(np.ones((1, 3)), {"accuracy": np.array([[0.7, 0.9, 0.8]])}),
    )
    assert runs.Progress((), history, 0.0).best == 2
    assert runs.Progress((), history._replace(cost=np.full((1, 3), np.nan)), 0.0).best == 0
    assert runs.Progress((), history._replace(validation=None), 0.0).best == 0


@pytest.mark.slow
def test_divergence_keeps_the_checkpoint(tmp_path, digits):
    options = FEW._replace(rate=1e6, squash="relu")
    with pytest.raises(runs.Diverged, match=r"in epoch 1, .*Try a rate below 1e\+06"):
        last(train(options, *digits, tmp_path / "wild"))
    again = train(options, *digits, tmp_path / "wild", resume=True)
    with pytest.raises(runs.Diverged, match="in epoch 1"):  # from the start, which was kept
        next(again)
    # The same in the middle of a run: a state that the next epoch cannot survive.
    gentle = FEW._replace(squash="relu")
    next(parts := train(gentle, *digits, tmp_path / "parts"))
    parts.close()
    with safe_state(tmp_path / "parts") as arrays:
        name = next(n for n in arrays if "weights" in n)
        arrays[name] = np.full_like(arrays[name], 1e30)
    before = (tmp_path / "parts").read_bytes()
    with pytest.raises(runs.Diverged, match=r"in epoch 2, .*; the epoch before, it was \d"):
        last(train(gentle, *digits, tmp_path / "parts", resume=True))
    assert (tmp_path / "parts").read_bytes() == before


class safe_state:
    """Opens a checkpoint's arrays to be changed."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        from safetensors import safe_open

        with safe_open(self.path, framework="numpy") as file:
            self.notes = file.metadata()
            self.arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        return self.arrays

    def __exit__(self, *_):
        from safetensors.numpy import save_file

        notes = {**self.notes, "sha256": checkpoints._digest(self.arrays)}
        save_file(self.arrays, self.path, notes)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": 0.1}, "an unfinished run with rate=0.5;"),
        ({"batch_size": 10, "seed": 7}, "batch_size=50, seed=0;"),
        ({"sizes": (784, 8, 10)}, "sizes=784-16-16-10;"),
        ({"ensemble": 3}, "ensemble=2;"),
    ],
)
def test_checkpoint_of_other_options(tmp_path, digits, change, said):
    next(parts := train(FEW, *digits, tmp_path / "run"))
    parts.close()
    with pytest.raises(FileError, match=said):
        next(train(FEW._replace(**change), *digits, tmp_path / "run", resume=True))


@pytest.mark.compiled
def test_checkpoint_of_other_data(tmp_path, digits):
    images, labels = digits
    next(parts := train(FEW, images, labels, tmp_path / "run"))
    parts.close()
    with pytest.raises(FileError, match="other images"):
        next(train(FEW, images[::-1], labels, tmp_path / "run", resume=True))
    with pytest.raises(FileError, match="other labels"):
        next(train(FEW, images, labels[::-1], tmp_path / "run", resume=True))


@pytest.mark.compiled
@pytest.mark.parametrize("keep", [0, 7, 100, 5_000])
def test_damaged_checkpoint(tmp_path, digits, keep):
    path = tmp_path / "run"
    next(parts := train(FEW, *digits, path))
    parts.close()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match=r"not a whole checkpoint|damaged checkpoint"):
        next(train(FEW, *digits, path, resume=True))


def test_checkpoint_round_trip(tmp_path):
    tree = {
        "a": (np.float32([0.1, -0.0, np.nan]), np.int32(7)),
        "b": [np.zeros((0, 3)), np.array([True])],
    }
    checkpoints.save(tmp_path / "c", tree, {"note": "ü"})
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
    arrays, notes = checkpoints.load(tmp_path / "c")
    same_bits(checkpoints.as_tree(arrays, like, "c"), tree)
    assert notes == {"note": "ü"}
    with pytest.raises(FileError, match="c: a checkpoint of another kind of run"):
        checkpoints.as_tree(arrays, {"a": like["a"]}, "c")
    with pytest.raises(FileError, match=r"c: holds a\.1 as int32"):
        checkpoints.as_tree(arrays, {**like, "a": (like["a"][0], np.float32(7))}, "c")


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.gz"], "nothing.gz: No such file"),
        (["images.gz"], "images.gz: expected labels, integers"),
        (["images.gz"] * 3, "Expected mnist, drawn, one path that holds"),
        (["drawn", "--transposed"], "--transposed: is for images in files"),
        (["images.gz", "nothing.gz"], "nothing.gz: No such file"),
        (["labels.gz", "images.gz"], "expected images of shape"),
        (["drawn", "--sizes", "784"], "--sizes: expected numbers as in 784-16-16-10"),
        (["drawn", "--sizes", "783-10"], "--sizes: expected a square number of pixels"),
        (["drawn", "--sizes", "784-99999999999999999999-10"], "--sizes: expected 784 first"),
        (["drawn", "--output", "."], "saved as .safetensors"),
        (["images.gz", "labels.gz", "--output", "mine.safetensors"], "mine.json: exists already"),
        (["drawn", "--output", "file.safetensors"], "file.members: something else has this name"),
        (["images.gz", "input.json", "--output", "input.safetensors", "--overwrite"], "one of the"),
        (["drawn", "--output", "there.safetensors", "--resume"], "exists already"),
        (["drawn", "--sizes", "784-9"], "expected at least 10 neurons in the last layer"),
        (["drawn", "--optimizer", "adma"], "--optimizer: expected one of adam, "),
        (["drawn", "--squash", "x"], "--squash: expected one of sigmoid, relu"),
        (["drawn", "--rate", "0"], "--rate: expected a positive number"),
        (["drawn", "--rate", "nan"], "--rate: expected a positive number"),
        (["drawn", "--epochs", "0"], "--epochs: expected at least 1"),
        (["drawn", "--validation", "1"], "--validation: expected a fraction"),
        (["drawn", "--batch-size", "30000"], "--batch-size: expected 1 to 18,000"),
        (["drawn", "--seed", "-1"], "--seed: expected a number from 0"),
        (["drawn", "--output", "a.npz"], "saved as .safetensors"),
        (["drawn", "--output", "no/a.safetensors"], "there is no folder no"),
        (["drawn", "--output", "there.safetensors"], "exists already"),
    ],
)
def test_mistakes(folder, arguments, said):
    for name in ("there.safetensors", "mine.json", "input.json", "file.members"):
        (folder / name).touch()
    assert said in refused(run("train", *arguments, cwd=folder))


SHORT = ("images.gz", "labels.gz", "--epochs", "3", "--batch-size", "50")


@pytest.mark.compiled
def test_command_output_files(folder, tmp_path):
    output = tmp_path / "n.safetensors"
    process = run("train", *SHORT, "--ensemble", 2, "--output", output, cwd=folder)
    assert process.returncode == 0, process.stderr
    assert len(process.stderr.splitlines()) == 5
    assert "epoch 3 of 3: cost" in process.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "n.json", "n.members", "n.png", "n.safetensors",
    ]  # fmt: skip
    record = json.loads((tmp_path / "n.json").read_text())
    assert record["options"]["epochs"] == 3
    assert record["versions"]["jax"] == jax.__version__
    assert np.shape(record["history"]["validation_accuracy"]) == (2, 3)
    params, spec = jaxnet.load(tmp_path / "n.safetensors")
    assert spec.notes["trained on"] == "600 images of images.gz but 10%"
    best, _ = jaxnet.load(tmp_path / "n.members" / f"{record['best']:04}.safetensors")
    same_bits(params, best)
    with Image.open(tmp_path / "n.png") as picture:
        assert picture.width == 1500
    again = run("train", *SHORT, "--output", output, cwd=folder)
    assert "exists already" in refused(again)
    same_again = ("train", *SHORT, "--ensemble", 2, "--resume", "--output", output)
    again = run(*same_again, cwd=folder)
    assert again.returncode == 0
    assert "finished" in again.stdout
    assert "exists already" in refused(run(*same_again, "--seed", 1, cwd=folder))


def started(folder, output, *arguments, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxnet", "train", "images.gz", "labels.gz", "--batch-size", "5",
         "--epochs", "40", "--augment", "affine", "--output", output, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
    )  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "n.safetensors"
    process = started(folder, output)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return jaxnet.load(output)[0]


def epochs_until(process, n):
    assert process.stderr.readline() == "training on 600 images of images.gz\n"
    assert process.stderr.readline() == "compiling …\n"
    for _ in range(n):
        assert process.stderr.readline().startswith("epoch")


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, -2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, -15, marks=pytest.mark.slow),
        (signal.SIGKILL, -9),
    ],
)
def test_killed_run_resumes_bit_identically(folder, tmp_path, uninterrupted, number, code):
    output = tmp_path / "n.safetensors"
    moments = random.Random(number)
    for _ in range(2 if number == signal.SIGKILL else 1):
        process = started(folder, output, "--resume")
        epochs_until(process, 5)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert not output.exists()
        assert (tmp_path / "n.checkpoint").exists()
        if number != signal.SIGKILL:
            assert "run the same command with --resume" in said
            assert "Traceback" not in said
            assert [p.name for p in tmp_path.iterdir()] == ["n.checkpoint"]
    assert "unfinished run; resume it with --resume" in started(folder, output).communicate()[1]
    process = started(folder, output, "--resume")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "epoch 40 of 40" in said
    same_bits(jaxnet.load(output)[0], uninterrupted)
    assert not (tmp_path / "n.checkpoint").exists()


FULL_DISK = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
runpy.run_module("jaxnet", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_full_disk_keeps_the_checkpoint(folder, tmp_path, digits, uninterrupted):
    """The checkpoint grows with the history, so that some epoch's is the first not to fit."""
    write_idx(folder / "images.idx", digits[0].reshape(-1, 28, 28))  # needs no room to unpack
    output = tmp_path / "n.safetensors"
    process = started(folder, output)
    epochs_until(process, 3)
    process.kill()
    process.communicate()
    room = (tmp_path / "n.checkpoint").stat().st_size + 40
    arguments = ["images.idx", "labels.gz", "--batch-size", 5, "--epochs", 40, "--augment"]
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(room), "train", *map(str, arguments), "affine",
         "--output", output, "--resume"],
        cwd=folder, capture_output=True, text=True, env={**os.environ}, timeout=120,
    )  # fmt: skip
    assert process.returncode == 2, process
    assert process.stderr.splitlines()[-1] == f"jaxnet: {tmp_path}/n.checkpoint: File too large"
    assert [p.name for p in tmp_path.iterdir()] == ["n.checkpoint"]
    process = started(folder, output, "--resume")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    same_bits(jaxnet.load(output)[0], uninterrupted)


@pytest.mark.compiled
def test_diverging_members(tmp_path, digits):
    """One of two starts is poisoned after the first epoch; the other goes on and is chosen."""
    path = tmp_path / "n.checkpoint"
    next(parts := train(FEW, *digits, path))
    parts.close()
    with safe_state(path) as arrays:
        for name in arrays:
            if "weights" in name:
                arrays[name][0] = np.nan
    progress = last(train(FEW, *digits, path, resume=True))
    assert progress.best == 1
    save_run(progress, FEW, tmp_path / "n.safetensors", trained_on="few", identity={})
    record = json.loads((tmp_path / "n.json").read_text())
    assert record["history"]["cost"][0][1:] == [None] * 3
    assert [p.name for p in (tmp_path / "n.members").iterdir()] == ["0001.safetensors"]


@pytest.mark.compiled
def test_smallest_validation_set(tmp_path, digits):
    options = FEW._replace(validation=1e-9, epochs=1, batch_size=599)
    progress = last(train(options, *digits, tmp_path / "run"))
    assert set(progress.history.validation.accuracy.ravel().tolist()) <= {0.0, 1.0}


@pytest.mark.compiled
def test_flipped_bit_in_a_checkpoint(tmp_path, digits):
    path = tmp_path / "run"
    next(parts := train(FEW, *digits, path))
    parts.close()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(FileError, match="checksum mismatch"):
        next(train(FEW, *digits, path, resume=True))


@pytest.mark.compiled
def test_progress_is_a_copy(tmp_path, digits):
    """The next epoch takes the memory of the state before, and not what was handed out."""
    first, *_, final = train(FEW, *digits, tmp_path / "run")
    assert not np.array_equal(first.params[0].weights, final.params[0].weights)


@pytest.mark.parametrize("labels", [np.full(600, -1), np.full(600, 3.9)])
def test_bad_labels(tmp_path, digits, labels):
    with pytest.raises(ValueError, match="non-negative integers"):
        next(train(FEW, digits[0], labels, tmp_path / "run"))


def test_bad_images(tmp_path, digits):
    images = np.full((600, 784), np.nan, np.float32)
    with pytest.raises(ValueError, match="are NaN"):
        next(train(FEW, images, digits[1], tmp_path / "run"))


@pytest.mark.slow
def test_killed_overwrite_is_not_finished(folder, tmp_path):
    output = tmp_path / "n.safetensors"
    process = run("train", *SHORT, "--output", output, cwd=folder)
    assert process.returncode == 0, process.stderr
    old = output.read_bytes()
    process = started(folder, output, "--overwrite")
    while not (tmp_path / "n.checkpoint").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert output.read_bytes() == old
    _, said = started(folder, output, "--resume").communicate(timeout=120)
    assert "epoch 40 of 40" in said
    assert output.read_bytes() != old


@pytest.mark.compiled
def test_checkpoint_of_a_run_from_a_network(tmp_path, digits):
    """It is not continued as one that began at random."""
    options = FEW._replace(sizes=jaxnet.network.SIZES)
    next(parts := train(options, *digits, tmp_path / "run", params=jaxnet.pretrained()))
    parts.close()
    with pytest.raises(FileError, match="an unfinished run on other network"):
        next(train(options, *digits, tmp_path / "run", resume=True))
