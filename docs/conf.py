"""How the site is built: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``. Nothing is fetched.

The pages are Markdown that reads on GitHub as it stands; what the site needs beside it is added here as they are read.
MyST-NB is not needed: tests/test_docs.py executes the code blocks.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

import rfasim  # noqa: E402

project = "rfasim"
author = "the rfasim authors"
copyright = author
release = version = rfasim.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"rfasim {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
# Equations become MathML, which browsers draw themselves: no script, nothing to fetch; site.css brings a font for them.
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 4
myst_links_external_new_tab = False

# docstrings put code into single backticks as well as into double ones
default_role = "literal"
highlight_language = "text"  # of blocks in docstrings; those of pages say theirs
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
python_display_short_literal_types = True

# Documents that lie beside this folder, and the page that stands for each.
OUTSIDE = {
    "README.md": "project/readme",
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "benchmarks/README.md": "project/benchmarks",
}
# Pages whose list items are the table of contents of what is below them.
CONTENTS = ("index", "devices/README", "api/README", "validation")
GENERATED = HERE / "api" / "generated"
ANY = r"(?:~?typing\.)?Any"
ARRAY = re.compile(rf"~?(?:numpy\.)?ndarray\[(?:{ANY}, {ANY}|tuple\[[^\]]*\], ~?(?:numpy\.)?dtype\[[^\]]*\])\]")
QUANTITY = re.compile(r"~?(?:typing\.)?Annotated\[float, ~?(?:[\w.]+\.)?Quantity\(.*?low_open=(?:True|False)\)\]")
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def module_of(path: Path) -> str:
    """Name of the module whose source is ``path``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def api_pages() -> dict[Path, str]:
    """The modules that api/README.md links to: one page each."""
    text = (HERE / "api" / "README.md").read_text(encoding="utf-8")
    found = [(HERE / "api" / target).resolve() for target in LINK.findall(text)]
    return {path: f"api/generated/{module_of(path)}" for path in found if path.suffix == ".py"}


def write_api_pages(pages: dict[Path, str]) -> None:
    GENERATED.mkdir(exist_ok=True)
    for old in GENERATED.glob("*.rst"):
        if f"api/generated/{old.stem}" not in pages.values():
            old.unlink()
    for path in pages:
        name = module_of(path)
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n"
        if name == "rfasim":  # its names are those of other modules, which describe them
            text += "   :no-index:\n"
        page = GENERATED / f"{name}.rst"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


API = api_pages()
write_api_pages(API)


def target_of(link: str, base: Path, page: str) -> str:
    """Where a ``link`` in the file ``base`` leads from ``page`` of the site."""
    path = (base.parent / link).resolve()
    if path in API:
        path = HERE / f"{API[path]}.rst"
    elif path.is_relative_to(ROOT) and (name := path.relative_to(ROOT).as_posix()) in OUTSIDE:
        path = HERE / f"{OUTSIDE[name]}.md"
    return Path(os.path.relpath(path, (HERE / page).parent)).as_posix()


def contents(text: str) -> str:
    """A hidden table of contents for each heading, of the links that its list items begin with."""
    out = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        pages = re.findall(r"^[-|] \[[^\]]+\]\(([^)#]+)\.(?:md|rst)\)", section, re.MULTILINE)
        if pages:
            caption = section.partition("\n")[0]
            head = "" if caption.startswith("# ") else f":caption: {caption}\n"
            out.append("\n```{toctree}\n:hidden:\n" + head + "\n" + "\n".join(dict.fromkeys(pages)) + "\n```\n")
    return "".join(out)


def on_read(app: Sphinx, page: str, source: list[str]) -> None:
    """Stand in for documents beside this folder, lead links to pages of the site, and add tables of contents."""
    origin = next((ROOT / name for name, stand_in in OUTSIDE.items() if stand_in == page), None)
    base = HERE / f"{page}.md" if origin is None else origin
    if base.suffix != ".md" or not base.exists():
        return
    text = source[0] if origin is None else origin.read_text(encoding="utf-8")
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [LINK.sub(lambda m: target_of(m[1], base, page), part) for part in parts[::2]]
    text = "".join(parts)
    source[0] = text + contents(text) if page in CONTENTS else text


def on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Indented lines after an empty one are formulas or code, not quotations."""
    out: list[str] = []
    for line in lines:
        indented = line.startswith("    ")
        if indented and out and not out[-1] and not _in_block(out):
            out += ["::", ""]
        out.append(line)
    lines[:] = out


def _in_block(lines: list[str]) -> bool:
    """Whether the text so far ends inside an indented block: a literal one, a list item or a directive."""
    last = next((line for line in reversed(lines) if line and not line.startswith("    ")), "")
    return last.endswith("::") or last.lstrip().startswith(("-", "..", ":"))


def on_signature(app: Sphinx, what: str, name: str, thing: Any, options: Any, given: str | None, result: str | None
                 ) -> tuple[str | None, str | None]:  # fmt: skip
    """Arrays are called so, and quantities are floats; docs/case.md has their units and bounds."""

    def shorter(part: str | None) -> str | None:
        return part and QUANTITY.sub("float", ARRAY.sub("Array", part))

    return shorter(given), shorter(result)


def mathml(latex: str, display: str) -> str:
    return str(latex2mathml.converter.convert(latex, display=display))


def visit_math(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.connect("source-read", on_read)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
