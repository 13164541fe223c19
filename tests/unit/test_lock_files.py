"""requirements.lock serves machines where uv is of no use; it must name the very same files as uv.lock."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def from_uv_lock() -> dict[str, tuple[str, frozenset[str]]]:
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return {
        package["name"]: (
            package["version"],
            frozenset(file["hash"] for file in [*package.get("wheels", []), package.get("sdist", {})] if file),
        )
        for package in locked["package"]
        if package["name"] != "qingqiao"
    }


def from_requirements() -> dict[str, tuple[str, frozenset[str]]]:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        name, version = re.match(r"([a-z0-9._-]+)==(\S+)", line).groups()  # type: ignore[union-attr]  # a line that is none fails here
        found[name] = (version, frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)))
    return found


def test_both_lock_files_name_the_same_versions_and_hashes() -> None:
    assert from_requirements() == from_uv_lock(), (
        "uv export --frozen --no-emit-project --all-groups --no-annotate --no-header -o requirements.lock"
    )


def test_every_locked_file_has_a_hash() -> None:
    assert all(hashes for _, hashes in from_requirements().values())
