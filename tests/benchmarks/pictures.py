"""Files of pictures, from the disk to digits, against a loop of Pillow on one thread.

The loop opens each picture, converts it to gray and resizes it to 28×28; it finds no digit and
classifies nothing. Both take turns, and files are in the system's memory.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import jaxnet
from jaxnet.batch._files import open_job, steps
from jaxnet.batch._jobs import warm
from jaxnet.data import load_mnist, open_inputs
from tests.benchmarks.inference import seconds
from tests.benchmarks.report import report

ROUNDS = 5


def small(image, _):
    return Image.fromarray(image)


def large(image, _):
    return Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)


def photo(image, rng):
    """A digit on paper under a lamp, 3000×2000, in color."""
    paper = np.full((2000, 3000), 225, np.float32)
    digit = Image.fromarray(image).resize((1600, 1600), Image.Resampling.BICUBIC)
    paper[200:1800, 700:2300] -= 0.8 * np.asarray(digit)
    paper = paper * np.linspace(1, 0.8, 3000, dtype=np.float32) + rng.normal(0, 5, paper.shape)
    return Image.fromarray(np.repeat(paper.clip(0, 255).astype(np.uint8)[..., None], 3, 2))


KINDS = {
    "28×28, PNG": (small, ".png", 10_000),
    "280×280, PNG": (large, ".png", 2_000),
    "photos of 3000×2000, JPEG": (photo, ".jpg", 32),
}


def loop(files):
    for file in files:
        with Image.open(file) as picture:
            np.asarray(picture.convert("L").resize((28, 28)))


def main() -> None:
    images = load_mnist("test").images.reshape(-1, 28, 28)
    network = jaxnet.load()
    rng = np.random.default_rng(0)
    for name, (make, ending, n) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, f"{k:05}{ending}") for k in range(n)]
            for file, image in zip(files, images[:n], strict=True):
                make(image, rng).save(file, quality=88)
            job = open_job(*network, open_inputs([folder], several=True))
            warm(job)
            ways = {"ours": lambda job=job: [*steps(job)], "loop": lambda f=files: loop(f)}
            times = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, call in ways.items():
                    times[way].append(seconds(call))
            ours, peer = (n / statistics.median(times[way]) for way in ways)
            report(name, ours, peer, "pictures/s", peer_name="a loop of Pillow, one thread", n=n)
