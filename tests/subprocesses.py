"""The command line in a process of its own or in this one, and what a mistake must look like."""

import logging
import os
import pty
import signal
import socket
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest import mock

import jax
import pytest

from jaxnet.__main__ import run as run_main


def run_alone(*arguments, cwd=None, **environment):
    """Runs the command line in a process of its own, for what a process has only once."""
    return subprocess.run(
        [sys.executable, "-m", "jaxnet", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", **environment},
        timeout=120,
    )


def run(*arguments, cwd=".", **environment):
    """Runs the command line in this process, with JAX as users have it."""
    signals = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    handlers = [signal.getsignal(number) for number in signals]
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code = 0
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        chdir(cwd),
        pytest.MonkeyPatch.context() as now,
        warnings.catch_warnings(),
        mock.patch.dict(os.environ, {"COLUMNS": "100", **environment}),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        now.setattr(logging, "lastResort", logging.lastResort)  # and restores it
        now.setattr(sys, "argv", ["jaxnet", *map(str, arguments)])
        try:
            run_main()
        except SystemExit as end:
            code = end.code
        finally:
            for number, handler in zip(signals, handlers, strict=True):
                signal.signal(number, handler)
    said = (stream.buffer.getvalue().decode(errors="surrogateescape") for stream in (out, err))
    return subprocess.CompletedProcess(arguments, code or 0, *said)


def run_in_terminal(command, **options):
    """What a process writes to a terminal, as bytes; it must end well."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*map(str, command)], stdout=theirs, stderr=theirs, **options)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown


def as_hosts(script, n, folder):
    """Runs a module `n` times at once, as hosts that `jax.distributed` makes one machine of."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    children = [
        subprocess.Popen(
            [sys.executable, script.__file__, str(index), str(n), str(port), folder],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(n)
    ]
    try:
        said = [child.communicate(timeout=120)[0] for child in children]
    finally:
        for child in children:
            child.kill()  # which does nothing to one that has ended
            child.communicate()
    assert [child.returncode for child in children] == [0] * n, "\n".join(said)


def refused(process):
    """The one sentence that a mistake ends in."""
    assert process.returncode == 2, process
    assert process.stdout == ""
    assert len(process.stderr.splitlines()) == 1, process.stderr
    assert process.stderr.startswith("jaxnet: ")
    return process.stderr
