"""The command `jaxnet`, also as `python -m jaxnet`."""

import errno
import os
import sys

from jaxnet._util import interrupts

_LONGEST_WORD, _LONGEST = 160, 1_200  # characters of a message, which may quote anything


def main() -> None:
    """Runs the command line, which a signal may end at any moment."""
    interrupts.listen()
    try:
        run()
    except SystemExit as end:
        if isinstance(end.code, str):  # as Python has it, a text is an error
            print(end.code, file=sys.stderr)
        interrupts.leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    interrupts.leave(0)


def run() -> None:
    """Runs the command line; bad input prints one sentence and exits with status 2."""
    from jaxnet._util.arguments import ArgumentError

    _adapt_output()
    try:
        from jaxnet.cli import app

        try:
            app(prog_name="jaxnet")
        finally:
            if sys.stdout is not None:  # it is where it was closed
                sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name in ("typer", "rich"):
            _fail("the command line needs typer and rich: pip install 'jaxnet-digits[cli]'")
        _fail(str(error))
    except OSError as error:
        path = "''" if error.filename == "" else error.filename
        if path is None and error.errno == errno.ENOSPC:
            path = "standard output"
        _fail(f"{path}: {error.strerror or error}" if path else f"{error.strerror or error}")
    except ArgumentError as error:
        _fail(f"{_as_option(error.name)}: {error.problem}")
    except (ValueError, RuntimeError) as error:
        _fail(_with_options(str(error)))
    except MemoryError:
        _fail("there is not enough memory for all of this at once")
    except Exception:
        if not _lacks_platform():
            raise
        _fail(f"JAX_PLATFORMS names {os.environ['JAX_PLATFORMS']}, which JAX does not find here")


def _adapt_output() -> None:
    """Writes what a terminal's encoding lacks as plain signs; leaves out others' warnings."""
    import logging
    import warnings
    from io import TextIOWrapper

    from jaxnet._util import signs

    errors = signs.register()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.lastResort = logging.NullHandler()


def _lacks_platform() -> bool:
    """Whether JAX lacks the platform that the user's settings name."""
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError):
        return "JAX_PLATFORMS" in os.environ
    return False


def _with_options(message: str) -> str:
    """The message of the library with options for the arguments that name a remedy."""
    import re

    remedies = r"\b(resume|overwrite|pytorch|recursive)=True\b|\b(squash|last_squash)=(?=[\s,])"
    return re.sub(remedies, lambda found: _as_option(found[1] or found[2]), message)


def _as_option(argument: str) -> str:
    return f"--{argument.replace('_', '-')}"


def _fail(sentence: str) -> None:
    # Cut a long value rather than the sentence around it.
    seen = " ".join(_cut(word, _LONGEST_WORD) for word in sentence.split())
    seen = "".join(c if c.isprintable() else "�" for c in seen)
    print("jaxnet:", _cut(seen, _LONGEST), file=sys.stderr)
    sys.exit(2)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-longest // 2 :]}"


if __name__ == "__main__":
    main()
