"""Runs `make core` on every Python from 3.11 that this machine has, two at a time.

The newest of everything on the newest Python and the lowest versions that pyproject.toml allows on
the oldest run `make core`, with every third case of long tests. On the Pythons other than that of
`make test`, the pinned versions run the tests not marked `compiled`.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
DECLARED = {
    int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", (ROOT / "pyproject.toml").read_text())
}


def make(*arguments):
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": "-n 0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def interpreter(minor):
    """Python 3.`minor` from the PATH or from pyenv, if it is there and runs."""
    for path in (shutil.which(f"python3.{minor}"), *PYENV.glob(f"versions/3.{minor}.*/bin/python")):
        command = [str(path), "-c", f"import sys; assert sys.version_info[:2] == (3, {minor})"]
        if path and subprocess.run(command, capture_output=True).returncode == 0:
            return path
    return None


def check(minor, python, versions):
    """Runs the core tests, then the program with all extras; prints what they print."""
    start = time.monotonic()
    venv = f".venv-{versions}-3.{minor}"
    options = [f"PYTHON={python}", f"VERSIONS={versions}", f"CORE={venv}"]
    options += [
        "EVERY=3",
        "TESTS=not slow and not compiled" if versions == "pinned" else "TESTS=not slow",
    ]
    tests = make("core", *options)
    output, ok = tests.stdout, tests.returncode == 0
    if ok:
        program = make("run", *options, f"VENV={venv}", "PIP=$(CORE_PIP) $(CORE_$(VERSIONS))")
        output, ok = output + program.stdout, program.returncode == 0
    print(output, flush=True)

    result = "passed" if ok else "FAILED"
    if not ok and minor not in DECLARED and make("core-installed", *options).returncode:
        result, ok = "NOT TESTED: the packages cannot be installed on this Python", True
    header = re.search(r"^jax \d.*", output, re.MULTILINE)
    with_ = header[0] if header else "nothing installed"
    seconds = time.monotonic() - start
    return ok, f"Python 3.{minor}, {versions} versions ({with_}): {result}, {seconds:.0f} s"


def main():
    found = {minor: path for minor in range(11, 40) if (path := interpreter(minor))}
    for minor, path in found.items():
        print(f"Found Python 3.{minor}: {path}", flush=True)
    if len(found) < 2:
        print("WARNING: ONLY ONE PYTHON WAS FOUND, SO NO OTHER IS TESTED", flush=True)

    # A Python newer than those declared may lack packages, so it is not alone with the newest.
    newest = [(minor, "newest") for minor in found if minor >= min(max(found), max(DECLARED))]
    others = [minor for minor in sorted(found, reverse=True) if minor != sys.version_info.minor]
    jobs = [*newest, (min(found), "lowest"), *((minor, "pinned") for minor in others)]
    make(".venv-uv/bin/uv", f"PYTHON={found[max(found)]}")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: check(job[0], found[job[0]], job[1]), jobs))
    print(*(line for _, line in results), sep="\n")
    sys.exit(not all(ok for ok, _ in results))


main()
