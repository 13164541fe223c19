"""The documents say what the code says, both ways; a name that stands in one of them stands in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.codes import REGISTER
from exchange.problems import CATALOGUE
from registry import verify

ROOT = Path(__file__).parents[2]
PACKAGES = ("registry", "consent", "connectors", "exchange", "sandbox")
TOP = (*PACKAGES, "alembic", "bench", "docs", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
EVENT = re.compile(r"[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*){2}")
QUOTED = re.compile(r"`([^`\n]+)`")
LISTED = r"((?:`{0}`(?:, | and | or )?)+)"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def constants(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def events_of_the_code() -> set[str]:
    """Every event that is given a name: members of `Event`, constants of modules. Names of the process log are not."""
    given = [
        node.value.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return {name for name in given if EVENT.fullmatch(name)}


def rows_of_events() -> list[tuple[str, str, str]]:
    """(event, writer, fields) of every row of the tables in docs/events.md."""
    text = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [(name.strip("`"), writer.strip("`"), fields) for name, writer, _, fields in rows]


def quoted(text: str, before: str, form: str) -> set[str]:
    """What stands in backticks, alone or in a list, behind one of the words `before`."""
    found = re.findall(rf"\b(?:{before}) {LISTED.format(form)}", " ".join(text.split()))
    return {name for one in found for name in QUOTED.findall(one)}


def test_every_event_of_the_code_is_documented_and_no_other() -> None:
    documented = [name for name, _, _ in rows_of_events()]
    assert len(documented) == len(set(documented))
    assert set(documented) == events_of_the_code()


def test_an_event_is_written_where_the_document_says_with_the_fields_it_says() -> None:
    for name, writer, fields in rows_of_events():
        known = constants(ast.parse((ROOT / writer).read_text(encoding="utf-8")))
        assert set(QUOTED.findall(fields)) <= known, name


def test_no_entry_is_written_under_a_name_that_stands_only_there() -> None:
    loose = [
        f"{path}:{call.lineno}"
        for path, tree in trees()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "Entry"
        for given in [*call.args[:1], *(word.value for word in call.keywords if word.arg == "event")]
        if isinstance(given, ast.Constant)
    ]
    assert loose == []


def test_the_verifier_knows_events_by_the_names_that_are_written() -> None:
    written = {name for name, _, _ in rows_of_events()}
    assert {verify.PERMITTED, *verify.GIVEN, verify.RECORDS_EVENT} <= written


def test_the_steps_of_verification_are_those_of_the_verifier() -> None:
    def steps(text: str, mark: str) -> list[str]:
        plain = text.replace("`", "")
        found = re.findall(rf"^ *(\d){mark} (.+?)(?=\n *\d{mark} |\n\n)", plain, re.MULTILINE | re.DOTALL)
        return [f"{number} {' '.join(said.split()).rstrip('.').lower()}" for number, said in found]

    document = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    section = document.partition("## 4. Verification")[2].partition("The redacted form")[0]
    assert steps(section, r"\.") == steps(verify.__doc__ or "", r"\.")
    assert len(steps(section, r"\.")) == 8


@pytest.mark.parametrize("name", NAMES)
def test_every_problem_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert quoted(text, "problems?|refused as", r"[a-z]+(?:-[a-z]+)*") <= set(CATALOGUE)


@pytest.mark.parametrize("name", NAMES)
def test_every_intake_code_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert quoted(text, "[Cc]odes?", r"[A-Z]+(?:_[A-Z]+)*") <= {code.name for code in REGISTER}


def test_documents_do_name_problems_and_intake_codes() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert quoted(text, "[Cc]odes?", r"[A-Z]+(?:_[A-Z]+)*") >= {"NO_CONSENT", "TOTAL_MISMATCH", "UNIT_UNKNOWN"}
    assert "no-consent" in quoted(
        (ROOT / "docs/trust.md").read_text(encoding="utf-8"), "refused as", r"[a-z]+(?:-[a-z]+)*"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_ours_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = {one for one in QUOTED.findall(text) if re.fullmatch(rf"(?:{'|'.join(TOP)})/[\w./-]*", one)}
    assert [one for one in sorted(paths) if not (ROOT / one).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_link_between_documents_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    assert [one for one in sorted(targets - {""}) if not ((ROOT / name).parent / one).exists()] == []


def test_architecture_gives_every_room_its_place() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(QUOTED.findall(text))
    rooms = {
        f"{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}"
        for package in PACKAGES
        if package != "sandbox"
        for path in (ROOT / package).iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert sorted(rooms - named) == []


def test_every_decision_that_the_code_refers_to_is_written_down() -> None:
    decisions = {path.name[:4]: path for path in (ROOT / "docs/adr").glob("*.md")}
    assert len(decisions) == len(list((ROOT / "docs/adr").glob("*.md")))
    text = "\n".join(path.read_text(encoding="utf-8") for one in PACKAGES for path in (ROOT / one).rglob("*.py"))
    assert set(re.findall(r"docs/adr/(\d{4})", text)) <= set(decisions)
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for path in decisions.values():
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"| [{title[:4]}](adr/{path.name}) | {title[5:]} |" in index


@pytest.mark.parametrize("path", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda path: path.name[:4])
def test_a_decision_says_what_when_and_where_it_is_enforced(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for part in (
        "**Area:**",
        "**Context.**",
        "**Decision.** *",
        "**Consequences.**",
        "**Alternatives.**",
        "**Enforced by**",
    ):
        assert text.count(part) == 1
    assert len(text.splitlines()) <= 60
