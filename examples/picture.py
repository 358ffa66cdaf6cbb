"""Draws the README's picture of what `jaxnet classify` prints (needs Chromium)."""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

output = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("classify.png"))

colors = {"COLUMNS": "205", "FORCE_COLOR": "1", "COLORTERM": "truecolor"}
command = [sys.executable, "-m", "jaxnet", "classify"]
printed = subprocess.check_output(command, env=os.environ | colors, encoding="utf-8")
console = Console(width=205, record=True, file=io.StringIO(), color_system="truecolor")
console.print(Text.from_ansi(printed))

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
