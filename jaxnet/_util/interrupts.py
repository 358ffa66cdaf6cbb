"""The end of the command line by a signal, at any moment.

Python runs a signal's handler only between two steps of the main thread, which may be compiling
for minutes; and an exception raised by a handler is lost where Python calls back from C. So a
thread waits for signals instead. It undoes what is half done and ends the process at once, without
tearing down the interpreter under threads that are still compiling. The process dies of the signal
itself, by which a shell knows to end a loop around it.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import RLock, Thread

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is unknown to Windows
_SHOW_CURSOR = b"\x1b[?25h\n"

# Undo functions for work in progress. While the lock is held, the process is not ended.
not_now = RLock()
_undo: list[Callable[[], object]] = []


@contextmanager
def undone(undo: Callable[[], object]) -> Generator[None]:
    """Calls a function if the process is ended by a signal before this block is left."""
    with not_now:
        _undo.append(undo)
    try:
        yield
    finally:
        with not_now:
            _undo.remove(undo)


def say(sentence: str) -> None:
    """Writes a line to standard error, even while the main thread is blocked in writing."""
    with suppress(OSError):
        os.write(2, f"{sentence}\n".encode(errors="replace"))


def listen() -> None:
    """Ends the process from now on when it gets SIGINT, SIGTERM or SIGHUP; call it first of all."""
    heard, told = os.pipe()
    if os.name != "nt":
        os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        # A signal that the parent ignores stays ignored, as under `nohup`.
        if number and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    Thread(target=_wait, args=[heard], daemon=True).start()


def leave(code: int) -> None:
    """Ends the process without tearing down the interpreter, which takes a while."""
    with not_now:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def _wait(heard: int) -> None:
    wanted = {getattr(signal, name, None) for name in _SIGNALS}
    while (number := os.read(heard, 1)[0]) not in wanted:
        pass
    not_now.acquire()  # never released: no more work starts or finishes
    if sys.stderr is not None and sys.stderr.isatty():
        with suppress(OSError):
            os.write(2, _SHOW_CURSOR)
    flush = Thread(target=_flush, daemon=True)  # which blocks where nobody reads a pipe
    flush.start()
    for undo in reversed(_undo):
        with suppress(Exception):
            undo()
    flush.join(0.2)
    if os.name != "nt":
        # `signal.signal` works in the main thread only; this sets the default handler from here.
        ctypes.pythonapi.PyOS_setsig(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _flush() -> None:
    with suppress(Exception):
        sys.stdout.flush()
