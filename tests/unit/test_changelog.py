"""Every change that users notice brings a file to `changelog.d`; a release makes a section of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "changelog.d"
KINDS = [
    kind["directory"] for kind in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
]
FRAGMENTS = sorted(path for path in FOLDER.iterdir() if path.name != "README.md")


def problems(path: Path) -> list[str]:
    """Say what is wrong with a fragment."""
    text = path.read_text(encoding="utf-8").strip()
    found = []
    if not re.fullmatch(rf"\+[a-z0-9][a-z0-9-]*\.({'|'.join(KINDS)})\.md", path.name):
        found.append("its name is not +WHAT.KIND.md")  # towncrier leaves such a file out, and says nothing
    if not re.match(r"[A-Z`]", text) or not re.search(r"[.`]$", text):
        found.append("it is no sentence")
    if any(len(line) > 150 for line in text.splitlines()) or "\n\n" in text:
        found.append("it is longer than a paragraph, or has very long lines")
    return found


def built(folder: Path) -> str:
    """Have a section made of the fragments of a copy of this project."""
    shutil.copytree(FOLDER, folder / "changelog.d", dirs_exist_ok=True)
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "99.1", "--date", "2027-01-02"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return (folder / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_in_form(path: Path) -> None:
    """Its name says what kind of change it is, and it is a sentence or two."""
    assert problems(path) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("+word.add.md", "A word."),
        ("word.md", "A word."),
        ("+word.added.md", "a word without an end"),
        ("+word.added.md", ""),
        ("+word.added.md", "A word.\n\nAnother."),
    ],
)
def test_a_fragment_out_of_form_is_noticed(tmp_path: Path, name: str, text: str) -> None:
    """The check above can fail."""
    (tmp_path / name).write_text(text)
    assert problems(tmp_path / name) != []


def test_a_release_makes_a_section_of_the_fragments(tmp_path: Path) -> None:
    """Each fragment stands under its kind in a new section, above the older ones, and its file is gone."""
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "+a-word.security.md").write_text("A word about `safety`.\n")
    before = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    text = built(tmp_path)
    head, _, rest = text.partition("## 99.1 (2027-01-02)\n")
    section, _, older = rest.partition("\n## ")
    assert before.startswith(head)
    assert before.endswith(older)
    assert "### Security\n\n- A word about `safety`.\n" in section
    for path in FRAGMENTS:
        assert " ".join(path.read_text(encoding="utf-8").split()) in " ".join(section.split())
    assert [path.name for path in (tmp_path / "changelog.d").iterdir()] == ["README.md"]
