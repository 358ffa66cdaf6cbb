"""Draws the README's picture: what `jaxnet classify` shows in a terminal (needs Chromium)."""

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

import jaxnet
from jaxnet.cli import _terminal
from jaxnet.data import Source

output = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("classify.png"))

digits = np.arange(10)
images = jax.vmap(jaxnet.data.synthetic.draw)(jax.random.split(jax.random.key(4), 10), digits)
source = Source(np.asarray(images), [f"drawn: {digit}" for digit in digits])
answers = jaxnet.classify(jaxnet.pretrained(), images)

console = Console(
    width=205, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
)
console.print(_terminal.cards(source, answers, digits))

with tempfile.TemporaryDirectory() as folder:
    svg = Path(folder, "terminal.svg")
    svg.write_text(console.export_svg(title="jaxnet classify"))
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())[0])
    subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-background-networking", f"--user-data-dir={folder}/profile"),
            *("--default-background-color=00000000", f"--screenshot={output}"),
            *(f"--window-size=1600,{round(1600 * height / width)}", svg.as_uri()),
        ],
        check=True,
        capture_output=True,
    )
