"""Builds the documentation site: `python -m tests.site build/docs`.

It renders the READMEs, the examples with their pictures, the interactive page, each command's help
and the reference, and links each page to the next. `--quick` leaves out the pictures of the guide
and the gallery.
"""

import ast
import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pdoc.render
import pygments
from pdoc.render_helpers import formatter, lexer, to_html
from typer.testing import CliRunner

import jaxnet
from jaxnet.cli import app
from tests import reference

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SECTIONS = {
    **{"index.html": "jaxnet", "examples/guide.html": "Guide", "page.html": "Try it"},
    **{"examples/gallery.html": "Gallery", "examples/index.html": "Examples"},
    **{"commands.html": "Commands", "reference/jaxnet.html": "Reference"},
}
STYLE = """<style>
main.site { max-width: 56rem; width: 100%; margin: auto; padding: 1.5rem; }
.site img { display: block; max-width: 100%; margin: 1rem 0; }
.site table { margin: 1rem 0; }
.site td, .site th { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top; }
.steps { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding: .6rem 0; }
.steps.last { justify-content: space-between; border-top: 1px solid #8888; margin-top: 2rem; }
</style>"""
LAYOUT = """{% extends "frame.html.jinja2" %}
{% block title %}{{ title }}{% endblock %}
{% block body %}<main class="pdoc site">{{ body | safe }}</main>{% endblock %}"""


def as_markdown(path, pictures):
    """Yields an example as Markdown: its docstring, then cells of comments, code and pictures."""
    first, *rest = path.read_text().split("\n# %% ")
    title, _, about = ast.get_docstring(ast.parse(first)).partition("\n")
    yield f"# {title.rstrip('.')}\n\n{about}"
    if path.stem == "gallery":
        yield from (f"## {file.stem}\n\n![]({file})" for file in sorted(pictures.glob("*")))
    yield "```python\n" + first.split('"""', 2)[2].strip() + "\n```"
    for cell in rest:
        comment = re.match(r".*(\n#.*)*", cell)[0]
        yield "**" + re.sub(r"(?<=[.:?]) |$", "** ", comment.replace("\n# ", " "), count=1)
        yield "```python\n" + cell[len(comment) :].strip() + "\n```"
        files = (pictures / f"{name}.png" for name in re.findall(r'keep\("([^"]+)"', cell))
        yield from (f"![]({file})" for file in files if file.exists())


def build(folder, *, pictures=True):
    """Builds the site in a folder."""
    reference.render(folder / "reference")

    def location(path):
        """The site's place of a file of the repository."""
        if path in reference.PUBLIC:
            return folder / "reference" / (reference.dotted(path).replace(".", "/") + ".html")
        if path.name == "README.md":
            return folder / path.relative_to(ROOT).with_name("index.html")
        return folder / path.relative_to(ROOT).with_suffix(
            ".html" if path.suffix == ".py" else path.suffix
        )

    def write(target, body, source=ROOT):
        """Writes a page, after moving what its links lead to onto the site."""

        def move(match):
            path = (source.parent / match[2]).resolve()
            new = path if path.is_relative_to(folder) else location(path)
            if not new.exists() and path.suffix == ".png":
                new.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, new)
            elif not new.exists() and path.suffix == ".py" and path.parent != EXAMPLES:
                code = pygments.highlight(path.read_text(), lexer, formatter)
                write(new, f"<h1>{path.relative_to(ROOT)}</h1>{code}")
            return f'{match[1]}="{os.path.relpath(new, target.parent)}"'

        body = re.sub(r'(<(?:a|img)\b[^>]* (?:href|src))="(?!https?:|#)([^"]+)"', move, body)
        title = re.search(r"<h1.*?>(.*?)</h1>", body)[1]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pdoc.render.env.from_string(LAYOUT).render(title=title, body=body))

    index = EXAMPLES / "README.md"
    linked = re.findall(r"\]\((\w+\.py)\)", index.read_text())
    examples = [EXAMPLES / name for name in dict.fromkeys(linked)]
    for path in (ROOT / "README.md", index, *examples):
        drawn = folder / "examples" / path.stem
        if pictures and path.stem in ("guide", "gallery"):
            drawn.mkdir(parents=True, exist_ok=True)
            subprocess.run([sys.executable, path, drawn], check=True)
        text = path.read_text() if path.suffix == ".md" else "\n\n".join(as_markdown(path, drawn))
        write(location(path), to_html(text), path)
    (folder / "page.html").write_text(jaxnet.page().html)
    helps = ""
    for command in app.registered_commands:
        run = CliRunner(env={"COLUMNS": "100"}).invoke(
            app, [command.name, "--help"], prog_name="jaxnet"
        )
        helps += f"<pre>{html.escape(run.output)}</pre>"
    write(folder / "commands.html", f"<h1>Commands</h1>{helps}")
    chain = [folder / name for name in SECTIONS]
    chain[5:5] = [location(path) for path in examples if location(path) not in chain]
    chain += [location(path) for path in reference.PUBLIC[1:]]
    for before, path, after in zip([None, *chain], chain, [*chain[1:], None], strict=False):
        connect(folder, path, before, after)


def connect(folder, path, before, after):
    """Adds the site's menu to a page, and links to the pages before and after it."""

    def link(target, text):
        return (
            f'<a href="{os.path.relpath(target, path.parent)}">{text}</a>' if target else "<i></i>"
        )

    menu = " ".join(link(folder / name, text) for name, text in SECTIONS.items())
    steps = link(before, "← back") + link(after, f"next: {after and title(after)} →")
    place = "body" if path.name == "page.html" else "main"
    text = path.read_text().replace("</head>", STYLE + "</head>", 1)
    text = re.sub(rf"<{place}.*?>", rf'\g<0><div class="steps">{menu}</div>', text, count=1)
    steps = f'<div class="steps last">{steps}</div></{place}>'
    path.write_text(text.replace(f"</{place}>", steps, 1))


def title(path):
    """The title of a page."""
    return re.search(r"<title>(.*?)(?: API documentation)?</title>", path.read_text())[1]


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve(), pictures="--quick" not in sys.argv)
