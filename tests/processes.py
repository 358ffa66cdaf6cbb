"""The command line in a process of its own, and what a mistake must look like there."""

import os
import subprocess
import sys


def run(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "jaxnet", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", **environment},
        timeout=120,
    )


def refused(process):
    """The one sentence that a mistake ends in."""
    assert process.returncode == 2, process
    assert process.stdout == ""
    assert len(process.stderr.splitlines()) == 1, process.stderr
    assert process.stderr.startswith("jaxnet: ")
    return process.stderr
