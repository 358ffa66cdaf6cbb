"""Progress of a long job: a bar in a terminal, or a line in a log now and then."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS = 10  # between lines, without a terminal


@contextmanager
def progress(console: Console, n: int, *, hidden: bool) -> Generator[Callable[[int, int], None]]:
    """Shows how many of `n` images are done, at which rate, and the time left."""
    # Yields a function of the rows that are done, and of those that were when the job began.
    began = said = time.perf_counter()

    def pace(rows: int, before: int) -> str:
        rate = (rows - before) / (time.perf_counter() - began)
        left = f", {(n - rows) / rate:,.0f} s left" if rate else ""
        return f"{rows:,} of {n:,} images, {rate:,.0f} per second{left}"

    if console.is_terminal and not hidden:
        columns = (BarColumn(), TextColumn("{task.description}"))
        # What is printed meanwhile stays on standard output, which may be a file.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task("", total=n)
            yield lambda rows, before: bar.update(
                task, completed=rows, description=pace(rows, before)
            )
        return

    def line(rows: int, before: int) -> None:
        nonlocal said
        if not hidden and time.perf_counter() - said > SECONDS:
            said = time.perf_counter()
            console.print(pace(rows, before), highlight=False, soft_wrap=True)

    yield line
