"""A process of its own for the benchmark of inference, which starts it and reads what it prints.

`stream N` reads so many images, made as they are asked for, and prints the peak of its memory.
`rate CORES DEVICES` says when it is ready, waits for a line, and prints how long it took to read
the same images again and again, on these cores (such as `0,1`) and so many devices.
"""

import os
import re
import sys
import time
from pathlib import Path

N, TIMES, BATCH = 200_000, 10, 100_000


def stream(n: int) -> None:
    import numpy as np

    import jaxnet

    def batches():
        random = np.random.default_rng(0)
        for _ in range(0, n, BATCH):
            yield random.integers(0, 256, (BATCH, 784), np.uint8)

    read = sum(len(a.digits) for a in jaxnet.inference.stream(jaxnet.pretrained(), batches()))
    assert read == n
    # Not by `resource`, whose peak begins with that of the process which started this one.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak) / 1024)


def rate(cores: str, n_devices: int) -> None:
    os.sched_setaffinity(0, map(int, cores.split(",")))  # before JAX counts them

    import jax
    import numpy as np

    import jaxnet

    jax.config.update("jax_num_cpu_devices", n_devices)
    images = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
    params = jaxnet.pretrained()

    def read():
        jaxnet.classify(params, images, devices=jax.devices() if n_devices > 1 else None)

    read()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for _ in range(TIMES):
        read()
    print(N * TIMES / (time.perf_counter() - began))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stream", n]:
            stream(int(n))
        case ["rate", cores, n_devices]:
            rate(cores, int(n_devices))
