"""The command `jaxnet`, also as `python -m jaxnet`."""

import _thread
import signal
import sys
import threading
from types import FrameType


def main() -> None:
    """Runs the command line; whatever is wrong with the input ends in one sentence and code 2."""
    try:
        signal.signal(signal.SIGINT, _interrupt)
        from jaxnet.cli import app

        app(prog_name="jaxnet")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name in ("typer", "rich"):
            _fail("the command line needs typer and rich: pip install 'jaxnet[cli]'")
        _fail(str(error))
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        _fail(f"{path}{error.strerror or error}")
    except ValueError as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    print(f"jaxnet: {sentence}", file=sys.stderr)
    sys.exit(2)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Ends the program at Ctrl-C, also where it comes while JAX collects garbage.

    Python calls back into JAX for that, and drops what such a callback raises.
    """
    if frame is not None and frame.f_code.co_name == "_xla_gc_callback":
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        raise KeyboardInterrupt


if __name__ == "__main__":
    main()
