"""Imports run one way: what docs/architecture.md lets each module import, directly or by way of another."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rfasim"
EVERYBODY = {"errors", "jit", "threads"}  # they know nobody, so everybody may know them
Graph = dict[str, set[str]]


def allowed() -> Graph:
    """The table of docs/architecture.md: module -> modules it may import."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table: Graph = {}
    for modules, may in re.findall(r"^\| (`.+?) \|.*\| (.+?) \|$", text, re.MULTILINE):
        names = {name.rstrip("/").removesuffix(".py") for name in re.findall(r"`([\w/.]+)`", modules)}
        every = may in ("top", "all of the above")
        above = set(table) if every else set(re.findall(r"\w+", may))
        table |= dict.fromkeys(names, EVERYBODY | names | above)  # those of one row know each other
    return table


def imports(file: Path) -> set[str]:
    """The modules of rfasim that a file imports when it runs; those for the type checker do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if re.match(r"rfasim\.[a-z]", name)}


def used() -> Graph:
    """Each top module or folder of rfasim -> those it imports."""
    graph: Graph = {}
    for file in PACKAGE.rglob("*.py"):
        module = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if not module.startswith("__"):
            graph.setdefault(module, set()).update(imports(file) - {module})
    return graph


def below(module: str, graph: Graph) -> set[str]:
    """Everything that ``module`` reaches."""
    seen, new = set[str](), {module}
    while new:
        seen |= new
        new = {reached for known in new for reached in graph.get(known, set())} - seen
    return seen


@pytest.mark.parametrize(("module", "imported"), sorted(used().items()), ids=sorted(used()))
def test_module_imports_only_what_the_architecture_allows(module: str, imported: set[str]) -> None:
    table = allowed()
    assert module in table, f"{module} has no row in docs/architecture.md"
    assert imported - below(module, table) == set()


def test_no_row_reaches_itself() -> None:
    table = allowed()
    row = {module: min(m for m in table if table[m] == table[module]) for module in table}
    rows: Graph = {}
    for module, imported in used().items():
        here = row.get(module, module)
        rows.setdefault(here, set()).update({row.get(name, name) for name in imported} - {here})
    graphlib.TopologicalSorter(rows).prepare()  # raises CycleError with the circle


def test_every_row_of_the_architecture_is_a_module() -> None:
    # rows may be written before their module is
    written = {name for name in allowed() if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}
    assert {"quantities", "electrodes", "case", "cli"} <= written
