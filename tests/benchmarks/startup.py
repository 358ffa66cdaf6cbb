"""What a process pays before it has an answer: the import, and the first `jaxnet classify`.

Whole processes, ours and the peer's in turn, so that both meet the same moods of the machine;
medians, and of the ratios the median too.
"""

import statistics
import subprocess
import sys
import time

from tests.benchmarks.report import report


def seconds(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def compare(name: str, ours: list[str], peer: list[str], peer_name: str, runs: int) -> None:
    seconds(*ours), seconds(*peer)  # the first of each reads the disk
    pairs = [(seconds(*ours), seconds(*peer)) for _ in range(runs)]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    paired = statistics.median(x / y for x, y in pairs)
    report(name, a, b, "s", peer_name=peer_name, median_of_ratios=round(paired, 3), runs=runs)


def main() -> None:
    libraries = ["-c", "import jax, optax, chex"]
    compare("import", ["-c", f"{libraries[1]}, jaxnet"], libraries, libraries[1], 21)
    heart = "import jaxnet; jaxnet.forward, jaxnet.fit, jaxnet.classify"
    compare("import of the heart", ["-c", heart], libraries, libraries[1], 21)
    classify = ["-m", "jaxnet", "classify"]
    compare("first answer", classify, libraries, libraries[1], 11)
