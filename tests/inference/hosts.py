"""One of several hosts that each classify their share of the images; run by a test."""

import sys
from pathlib import Path

import jax
import numpy as np

import jaxnet
from jaxnet import inference


def main(process_id: int, n_processes: int, port: str, folder: Path) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(
        f"127.0.0.1:{port}", num_processes=n_processes, process_id=process_id
    )
    assert len(jax.devices()) == 2 * n_processes
    images = np.load(folder / "images.npy", mmap_mode="r")
    own = images[inference.share(len(images))]
    answers = jaxnet.classify(jaxnet.pretrained(), own, devices=jax.local_devices())
    np.savez(folder / f"{process_id}.npz", **answers._asdict())
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
