"""What the documents say is true: commands and code run, fields and files are the real ones, links lead somewhere.

A block of a document is executed as it stands, in a temporary folder with the repository's cases; the blocks of one
document share that folder and their Python names, in their order. A comment right above a block changes that:

    <!-- quick -->            coarse mesh, few simulated seconds and no pictures for every case that the block runs
    <!-- quick, hot -->       as quick, but long enough for a zone
    <!-- quick, stopped -->   the run is stopped after its first step, as by Ctrl-C
    <!-- fails: 2 -->         its commands end with this exit code
    <!-- file: NAME -->       the block is the file NAME
    <!-- study: NAME -->      the block is the study file NAME
    <!-- writes: NAME -->     its only command writes this file
    <!-- needs: MODULE -->    skipped where the module is not installed
    <!-- same: PAGE -->       not executed here: PAGE, such as docs/tutorial.md, has these very lines and executes them
    <!-- skip: REASON -->     not executed

A YAML block that is no file is a part of a case: cases/needle.yaml with these keys must be a case.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from rfasim import case as case_module
from rfasim import cli, datasheet, protocol_sheet
from rfasim.case import case_from_dict, load_case
from rfasim.result import PICTURES, Result
from rfasim.sweep import load_study
from rfasim.yaml_io import parse_yaml

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
SETUP = ("first line", "test line")  # these two are checked by tests of their own
QUICK = [
    ("generator.duration", "2 s"), ("mesh.size", "0.75 mm"), ("mesh.rim_size", "0.5 mm"), ("mesh.grow", "1"),
    ("mesh.zone_size", "8 mm"), ("time.tolerance", "2 K"),
]  # fmt: skip
HOT = [("generator.duration", "30 s"), ("zone.criterion", "isotherm_50")]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comment above it."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def marks(self) -> dict[str, str]:
        parts = [part.partition(":") for part in ([self.mark] if "skip:" in self.mark else self.mark.split(","))]
        return {name.strip(): value.strip() for name, _, value in parts if name.strip()}


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"(?:^<!-- (.+?) -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, text[: m.start(2)].count("\n") + 1, m[2], m[3], m[1] or "") for m in found]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working copy with the repository's cases, as the current folder."""
    shutil.copytree(ROOT / "cases", tmp_path / "cases")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def stopped_at_once() -> Iterator[list[int]]:
    yield [2]


def run_command(line: str, block: Block, monkeypatch: pytest.MonkeyPatch) -> str:
    """Execute one ``rfasim`` command of a document; what it prints."""
    words, target = shlex.split(line), None
    if ">" in words:
        *words, _, target = words
    assert Path(words[0]).name == "rfasim", f"{block.page}:{block.line}: cannot execute {line!r}"
    if "quick" in block.marks and words[1] == "run":
        words += [f"--set={path}={value}" for path, value in QUICK + HOT * ("hot" in block.marks)]
        words += [] if "pictures" in block.marks or "--no-pictures" in words else ["--no-pictures"]
    if "quick" in block.marks and words[1] == "sweep":
        words += [f"--set=case.{path}={value}" for path, value in QUICK]
    said, complained = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        if "stopped" in block.marks:
            patch.setattr(cli, "_stop_requests", stopped_at_once)
        code = cli.main(words[1:])
    wanted = 130 if "stopped" in block.marks else int(block.marks.get("fails", 0))
    assert code == wanted, f"{block.page}:{block.line}: {line}\n{complained.getvalue()}"
    if target is not None:
        assert block.marks["writes"] == target
        Path(target).write_text(said.getvalue(), encoding="utf-8")
    return said.getvalue() + complained.getvalue()


def run_python(block: Block, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute one Python block of a document."""

    def quick(path: str | Path, overrides: Any = ()) -> Any:
        return load_case(path, [*overrides, *QUICK])

    code = compile("\n" * block.line + block.text, block.page, "exec")
    with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        if "quick" in block.marks:
            patch.setattr(case_module, "load_case", quick)
        exec(code, names)


def check_yaml(block: Block) -> None:
    """A YAML block is a case, or a part of one."""
    if "study" in block.marks:
        Path(block.marks["study"]).write_text(block.text, encoding="utf-8")
        load_study(block.marks["study"])
        return
    if "file" in block.marks:
        Path(block.marks["file"]).write_text(block.text, encoding="utf-8")
        load_case(block.marks["file"])
        return
    base = parse_yaml((ROOT / "cases/needle.yaml").read_text(encoding="utf-8"), "needle.yaml")
    case_from_dict(base | parse_yaml(block.text, block.page), from_file=True)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_a_page_runs_as_it_stands(page: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "block"}
    for block in blocks(page):
        module = block.marks.get("needs", "json")
        if block.mark in SETUP or block.marks.keys() & {"skip", "same"} or importlib.util.find_spec(module) is None:
            continue
        if block.language == "sh":
            for line in block.text.splitlines():
                run_command(line, block, monkeypatch)
        elif block.language == "python":
            run_python(block, names, monkeypatch)
        elif block.language == "yaml":
            check_yaml(block)


def test_blocks_have_a_known_language_and_a_reason_when_they_are_skipped() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ("sh", "python", "yaml", "math", "text", ""), f"{block.page}:{block.line}"
            assert len(block.marks.get("skip", "a good reason")) > 10, f"{block.page}:{block.line}"
            known = {"quick", "hot", "stopped", "fails", "file", "study", "writes", "needs", "same", "skip", *SETUP}
            assert not block.marks.keys() - known, f"{block.page}:{block.line}: {block.mark}"


def test_lines_that_another_page_executes_stand_there() -> None:
    for page in PAGES:
        for block in blocks(page):
            if "same" in block.marks:
                others = [o for o in blocks(ROOT / block.marks["same"]) if not o.marks.keys() & {"skip", "same"}]
                lines = {line for other in others for line in other.text.splitlines()}
                assert not set(block.text.splitlines()) - lines, f"{block.page}:{block.line}"


# ---------------------------------------------------------------------------------------------------- the README


def setup_line(mark: str) -> str:
    found = [block for block in blocks(ROOT / "README.md") if block.mark == mark]
    assert len(found) == 1, f"README.md needs one block marked {mark!r}"
    (line,) = found[0].text.splitlines()
    return line


def test_first_line_sets_up_a_fresh_clone_and_its_run_works(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, install, run = setup_line("first line").split(" && ")
    assert make == "python3 -m venv .venv"
    assert install == ".venv/bin/pip install -q -e '.[viz]'"
    assert run == ".venv/bin/rfasim run cases/needle.yaml --out runs/needle"
    said = run_command(run, Block("README.md", 0, "sh", run, "quick, pictures"), monkeypatch)
    for words in ("zone volume", "hottest tissue", "impedance, start and end", "Files: runs/needle"):
        assert words in said
    pictures = re.findall(r"^Picture: (.+)$", said, re.MULTILINE)
    assert len(pictures) == 3
    assert all((copy / picture).is_file() for picture in pictures)


def test_first_case_is_the_one_that_the_readme_describes() -> None:
    case: Any = load_case(ROOT / "cases/needle.yaml")
    (device,) = case.electrodes
    assert (case.frequency, case.generator.duration, device.active_length) == (480e3, 720.0, 0.03)
    assert (case.generator.protocol, case.generator.power, device.thermal.kind) == ("constant_power", 30.0, "coolant")
    assert case.background == "liver"


def test_test_line_is_what_ci_runs() -> None:
    make, install, tests = setup_line("test line").split(" && ")
    assert make == "python3 -m venv .venv"
    assert install == ".venv/bin/pip install -q -e '.[test]'"
    assert tests == ".venv/bin/python -m pytest -n auto"
    assert "<!-- test line -->" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/limits.md", "docs/tutorial.md"])
def test_page_says_that_it_is_not_for_clinical_decisions(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").lower().replace("*", "").split())
    assert "research use only" in text
    assert "not for clinical decisions" in text


# ------------------------------------------------------------------------------------- references made by scripts


def test_case_reference_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs/make_case_reference.py"))
    assert (ROOT / "docs/case.md").read_text(encoding="utf-8") == script["page"](), (
        "docs/case.md is out of date: python docs/make_case_reference.py"
    )


def test_case_reference_explains_each_field_once() -> None:
    script = runpy.run_path(str(ROOT / "docs/make_case_reference.py"))
    records = {case_module.Case} | {kind for _, _, listed in script["sections"]() for _, kind in listed}
    silent = {
        f"{kind.__name__}.{name}"
        for kind in records
        for name, field in kind.model_fields.items()
        if not field.description and name not in script["WORDS"]
    }
    boundaries = {"ElectricBoundary.kind", "ThermalBoundary.kind"}  # there the kind is a field like any other
    assert script["MEANING"].keys() == silent | boundaries


def test_case_reference_holds_every_record_that_a_case_file_may_contain() -> None:
    script = runpy.run_path(str(ROOT / "docs/make_case_reference.py"))
    listed = {kind.__name__ for _, _, records in script["sections"]() for _, kind in records}
    shared = {kind.__name__ for kind in script["SHARED"]}  # in no case by themselves, only as a part of others
    assert case_module.case_schema()["$defs"].keys() == listed - shared


def test_case_reference_has_a_heading_for_each_device_and_protocol_word() -> None:
    headings = anchors(ROOT / "docs/case.md")
    assert {word for word, _, _ in datasheet.families()} <= headings
    assert {word for word, _ in protocol_sheet.words()} <= headings


def test_each_field_of_a_record_stands_in_its_own_table_or_in_one_it_leads_to() -> None:
    script = runpy.run_path(str(ROOT / "docs/make_case_reference.py"))
    for _, _, records in script["sections"]():
        for name, kind in records:
            page = [row for part in (kind, *script["shared"](kind)) for row in script["table"](part)]
            words = {word for word in script["WORDS"] if word in kind.model_fields and name}
            assert {f for f in kind.model_fields if f"| `{f}` |" not in "\n".join(page)} <= words, kind.__name__


def test_drawings_are_current() -> None:
    script = runpy.run_path(str(ROOT / "docs/devices/draw.py"))
    for name, draw in script["DRAWINGS"].items():
        assert (ROOT / "docs/devices" / name).read_text(encoding="utf-8") == draw(), (
            f"docs/devices/{name} is out of date: python docs/devices/draw.py"
        )


def test_tables_of_devices_are_current() -> None:
    script = runpy.run_path(str(ROOT / "docs/devices/make_tables.py"))
    for page in script["PAGES"]:
        assert (ROOT / f"docs/devices/{page}.md").read_text(encoding="utf-8") == script["written"](page), (
            f"docs/devices/{page}.md is out of date: python docs/devices/make_tables.py"
        )
    tabled = {word for words in script["PAGES"].values() for word in words}
    assert tabled == {word for word, _, _ in datasheet.families()}


def test_each_page_of_a_device_has_a_drawing_and_stands_in_the_gallery() -> None:
    gallery = (ROOT / "docs/devices/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs/devices").glob("*.md"):
        if page.name != "README.md":
            drawn = re.findall(r"!\[[^\]]+\]\((\w+\.svg)\)", page.read_text(encoding="utf-8"))
            assert drawn, page.name
            assert f"]({page.name})" in gallery, page.name
            assert f"]({drawn[0]})" in gallery, page.name


def test_the_walk_through_the_code_names_what_is_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    walk = re.findall(r"`(rfasim/[\w/]+)\.py` `([\w.]+)`", text)
    assert len(walk) > 20
    for file, name in walk:
        module = importlib.import_module(file.replace("/", "."))
        assert attrgetter(name)(module), f"{name} is not in {file}.py"
        assert attrgetter(name)(module).__module__ == module.__name__, f"{name} only passes through {file}.py"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = {ROOT / "docs/index.md"}
    for contents in ("index.md", "devices/README.md", "api/README.md", "validation.md"):
        page = ROOT / "docs" / contents
        found = re.findall(r"^[-|] \[[^\]]+\]\(([^)#]+\.md)\)", page.read_text(encoding="utf-8"), re.MULTILINE)
        listed |= {(page.parent / target).resolve() for target in found}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} == listed


# ----------------------------------------------------------------------------------------------- what results hold


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished run with a tumour and a probe."""
    out = tmp_path_factory.mktemp("docs") / "run"
    case = tmp_path_factory.mktemp("docs") / "case.yaml"
    (text,) = [block.text for block in blocks(ROOT / "docs/tutorial.md") if block.marks.get("file") == "my_case.yaml"]
    case.write_text(text, encoding="utf-8")
    quick = [f"--set={path}={value}" for path, value in QUICK]
    assert cli.main(["run", str(case), "--out", str(out), "--quiet", "--no-pictures", *quick]) == 0
    return Result.read(out)


def documented() -> set[str]:
    """The words in code style of docs/results.md."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)))


def keys_of(data: dict[str, Any], before: str = "") -> set[str]:
    found = set[str]()
    for key, value in data.items():
        found |= keys_of(value, f"{before}{key}.") if isinstance(value, dict) else {before + key}
    return found


def test_results_page_names_every_number_of_the_summary(result: Result) -> None:
    by_model = result.summary["zone"].pop("by_model")
    result.summary["tumour"].pop("by_model")
    assert keys_of(result.summary) <= documented()
    assert by_model.keys() <= documented()


def test_results_page_names_no_number_that_is_not_there(result: Result) -> None:
    parts = [key for key, value in result.summary.items() if isinstance(value, dict)]
    named = {word for word in documented() if word.split(".")[0] in parts and "NAME" not in word and "." in word}
    there = {f"{part}.{key}" for part in parts for key in result.summary[part]}
    assert {".".join(word.split(".")[:2]) for word in named} <= there | {"zone.by_model"}


def test_results_page_names_every_file_column_and_field(result: Result) -> None:
    files = {path.name for path in result.folder.iterdir() if path.is_file()} | set(PICTURES)
    assert files | set(result.history) | set(result.field_names) | set(result.cell_data) <= documented()
    assert set(result.probes) == {"time_s", "at 5 mm_c", "at 10 mm_c", "electrodes[0].tip_c"}


def test_case_file_of_a_result_runs_again(result: Result) -> None:
    assert load_case(result.folder / "case.yaml").sha256 == result.summary["case_sha256"]


# ------------------------------------------------------------------------------------------------------------ links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = set[str]()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        goal = page if not file else (page.parent / file).resolve()
        assert goal.is_file(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set[Path](), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8")):
            goal = (page.parent / target).resolve()
            new |= {goal} - reached
    assert set(PAGES) <= reached


@pytest.mark.parametrize("path", sorted(set(re.findall(
    r"`((?:rfasim|tests|docs|cases)/[\w/.]+\.(?:py|md|yaml))`",
    "\n".join(page.read_text(encoding="utf-8") for page in PAGES),
))))  # fmt: skip
def test_file_that_a_page_names_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_verb_is_in_the_tutorial() -> None:
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    actions = [action for action in cli.build_parser()._actions if action.choices and action.dest == "verb"]
    (verbs,) = [list(action.choices or ()) for action in actions]
    assert [verb for verb in verbs if f"rfasim {verb}" not in text] == []


def test_citation_and_changelog_name_the_version_of_the_package() -> None:
    from rfasim import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert __version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_schema_block_of_the_tutorial_is_json_schema(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in blocks(ROOT / "docs/tutorial.md") if "schema" in block.marks.get("writes", "")]
    run_command(block.text.strip(), block, monkeypatch)
    assert json.loads(Path(block.marks["writes"]).read_text(encoding="utf-8"))["title"] == "Case"


def test_json_of_a_run_is_its_summary(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in blocks(ROOT / "docs/tutorial.md") if "summary" in block.marks.get("writes", "")]
    run_command(block.text.strip(), block, monkeypatch)
    printed = json.loads(Path(block.marks["writes"]).read_text(encoding="utf-8"))
    assert {**printed, "status": "complete"} == Result.read("runs/script").summary
