"""The command `jaxnet`, also as `python -m jaxnet`."""

import sys


def main() -> None:
    """Runs the command line; anything wrong with the input ends in one sentence and code 2."""
    try:
        from jaxnet.cli import app

        app(prog_name="jaxnet")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name in ("typer", "rich"):
            error = "the command line needs typer and rich: pip install 'jaxnet[cli]'"
        print(f"jaxnet: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        path = f"{error.filename}: " if error.filename else ""
        print(f"jaxnet: {path}{error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except ValueError as error:
        print(f"jaxnet: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
