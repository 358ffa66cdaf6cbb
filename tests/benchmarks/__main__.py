"""Runs the benchmarks named, or all but two: `python -m tests.benchmarks [NAME ...]`.

Each prints one JSON object per line: its name, our figure, the peer's from the same run, the ratio
of ours to theirs, and the unit. "roofline" and "gpu" run by name only.
"""

import sys
from importlib import import_module

BENCHMARKS = (
    "startup", "dispatch", "inference", "floats", "pictures", "training", "ensemble", "page",
)  # fmt: skip
ALL = (*BENCHMARKS, "roofline", "gpu")

chosen = sys.argv[1:] or [*BENCHMARKS]
if unknown := [name for name in chosen if name not in ALL]:
    sys.exit(f"no benchmark named {', '.join(unknown)}; there are {', '.join(ALL)}")
for name in chosen:
    import_module(f"tests.benchmarks.{name}").main()
