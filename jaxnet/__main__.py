"""The command `jaxnet`, also as `python -m jaxnet`."""

import _thread
import re
import signal
import sys
import threading
from io import TextIOWrapper
from types import FrameType

from jaxnet._util.arguments import ArgumentError

# The arguments by which the library's messages name a remedy.
_REMEDIES = re.compile(r"\b(resume|overwrite|pytorch)=True\b|\b(squash|last_squash)=(?=[\s,])")


def main() -> None:
    """Runs the command line; bad input prints one sentence and exits with status 2."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        from jaxnet.cli import app

        app(prog_name="jaxnet")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name in ("typer", "rich"):
            _fail("the command line needs typer and rich: pip install 'jaxnet-digits[cli]'")
        _fail(str(error))
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        _fail(f"{path}{error.strerror or error}")
    except ArgumentError as error:
        _fail(f"{_as_option(error.name)}: {error.problem}")
    except (ValueError, RuntimeError) as error:
        _fail(_REMEDIES.sub(lambda found: _as_option(found[1] or found[2]), str(error)))
    except MemoryError:
        _fail("there is not enough memory for all of this at once")


def _as_option(argument: str) -> str:
    return f"--{argument.replace('_', '-')}"


def _fail(sentence: str) -> None:
    seen = "".join(c if c.isprintable() else "�" for c in " ".join(sentence.split()))
    print("jaxnet:", seen, file=sys.stderr)
    sys.exit(2)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the program at a signal, even during JAX's garbage collection callback.

    Python ignores exceptions raised in that callback.
    """
    if frame is not None and frame.f_code.co_name == "_xla_gc_callback":
        threading.Timer(0.01, _thread.interrupt_main, [number]).start()
    else:
        sys.exit(128 + number)


if __name__ == "__main__":
    main()
