"""Packages that only some formats need, imported where they are used."""

from importlib import import_module
from typing import Any


def package(name: str, command: str) -> Any:
    """Imports a package, or says how to install it.

    Args:
        name: of the package or of a module in it.
        command: what installs it.

    Returns:
        The module.

    Raises:
        ModuleNotFoundError: it is not installed.

    Example:
        >>> package("math", "pip install python").pi > 3
        True
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0]:
            raise
        raise ModuleNotFoundError(f"This needs {error.name}: {command}", name=error.name) from error
