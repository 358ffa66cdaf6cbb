"""Optional packages, imported where they are used."""

from importlib import import_module
from typing import Any


def package(name: str, command: str | None = None, *, extra: str | None = None) -> Any:
    """Imports an optional package; if it is missing, the error says how to install it.

    Args:
        name: the module, such as "pyarrow.parquet".
        command: how to install it; by default `pip install` and the name of its package.
        extra: the extra of jaxnet that installs it, which takes the place of `command`.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
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
