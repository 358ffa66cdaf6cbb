"""The error for a bad argument, which the command line shows as its option."""

from collections.abc import Iterable


class ArgumentError(ValueError):
    """An argument has a bad value. The message names it, and the command line adds the dashes."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name, self.problem = name, problem


def check_choice(choices: Iterable[str], value: str, name: str) -> None:
    """Raises where the value of an argument is none of the choices."""
    if value not in (*choices,):
        raise ArgumentError(name, f"expected one of {', '.join(choices)}; got {value!r:.60}.")
