"""Runs the benchmarks named, or all but "gpu": `python -m tests.benchmarks [NAME ...]`.

Each prints one JSON object a line: its name, our figure, the peer's of the same run, the
ratio of ours to theirs, and the unit.
"""

import sys
from importlib import import_module

BENCHMARKS = (
    "startup", "dispatch", "inference", "floats", "pictures", "training", "ensemble", "page",
)  # fmt: skip
ALL = (*BENCHMARKS, "gpu")

chosen = sys.argv[1:] or [*BENCHMARKS]
if unknown := [name for name in chosen if name not in ALL]:
    sys.exit(f"no benchmark named {', '.join(unknown)}; there are {', '.join(ALL)}")
for name in chosen:
    import_module(f"tests.benchmarks.{name}").main()
