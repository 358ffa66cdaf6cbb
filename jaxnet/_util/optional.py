"""Optional packages, imported where they are used."""

from importlib import import_module
from typing import Any


def package(name: str, command: str | None = None, *, extra: str | None = None) -> Any:
    """Imports an optional package; if it is missing, the error says how to install it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = name.split(".")[0]
        if error.name != missing:
            raise
        if extra:
            command = f"pip install 'jaxnet-digits[{extra}]'"
        message = f"This needs {missing}: {command or f'pip install {missing}'}"
        raise ModuleNotFoundError(message, name=missing) from error
