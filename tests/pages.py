"""The README and the pages of docs, executed as a reader would type them.

Of each page every `python` and `bash` block runs, in order, in one empty folder, against a LocalCloud that the environment
leads to, as the exports of `ecs-block local up` do. A block of output right after one of them (`text`, `yaml`, `json` or
`diff`, with nothing but empty lines between) is compared with what it printed; after bash that is both streams without the
dates of our lines, or all but our lines. `...` stands for anything within a line; on a line of its own, for any lines.

    <!-- not run: why -->                       before a block leaves it out; the page tells its reader why, too
    <!--- invisible-code-block: bash ... -->    runs what a reader would have anyway: a program, data

A page is one test: what it says depends on what it said before.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.codeblock import CodeBlockParser

PATTERNS = ("README.md", "docs/*.md", "docs/how-to/*.md", "docs/reference/*.md")
OUTPUTS = ("text", "yaml", "json", "diff")
SECONDS = 60  # after which a block of shell hangs
_NOT_RUN = re.compile(r"<!-- not run: [^>]+ -->\s*\Z")
_OURS = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (?=ecs-block: )(.*\n)", re.MULTILINE)
# What one block sets, the next one has, as in one terminal.
_SHELL = "set -euo pipefail -a; trap 'env -0 > ../variables' EXIT\n{}"
_OF_THE_SHELL = ("_", "PWD", "OLDPWD", "SHLVL")


class Wrong(AssertionError):
    """A page says what is not so."""


# --- blocks -------------------------------------------------------------------------------------------------------


def blocks(document: Document) -> Iterable[Region]:
    """Find what runs, and the output that follows it at once."""
    end, ran = 0, False
    for region in sorted(CodeBlockParser("any").lexers(document), key=lambda region: region.start):
        between, language = document.text[end : region.start], region.lexemes["arguments"]
        runs = language in ("python", "bash") and not _NOT_RUN.search(between)
        compares = language in OUTPUTS and ran and not between.strip()
        end, ran = region.end, runs
        if runs or compares:
            region.parsed = region.lexemes["source"]
            region.evaluator = _compare if compares else _python if language == "python" else _bash
            yield region


def _python(example: Example) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        PythonEvaluator()(example)
    example.namespace["__said__"] = [said.getvalue()]


def _bash(example: Example) -> None:
    streams, variables = Path("../streams"), Path("../variables")
    with streams.open("w+b") as file:
        command = ["bash", "-c", _SHELL.format(example.parsed)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, timeout=SECONDS)
    text = streams.read_text()
    if done.returncode:
        raise Wrong(f"{_place(example)} ended with {done.returncode}:\n{text}")
    set_now = dict(item.split("=", 1) for item in variables.read_text().split("\0") if item)
    os.environ.update({name: value for name, value in set_now.items() if name not in _OF_THE_SHELL})
    example.namespace["__said__"] = [_OURS.sub(r"\1", text), _OURS.sub("", text)]


def _compare(example: Example) -> None:
    said = [_stripped(text) for text in example.namespace["__said__"]]
    shown = _stripped(example.parsed)
    if not any(matches(shown, text) for text in said):
        nearest = max(said, key=lambda text: difflib.SequenceMatcher(None, shown, text).ratio())
        lines = difflib.unified_diff(shown.splitlines(), nearest.splitlines(), "the page", "what came", lineterm="")
        raise Wrong("\n".join([f"{_place(example)} shows what does not come:", *lines]))


def matches(shown: str, said: str) -> bool:
    """Tell whether a text is the one shown, in which `...` stands for anything."""
    lines = (
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"\n"
        for line in shown.splitlines()
    )
    return re.fullmatch("".join(lines), f"{said}\n" if said else "") is not None


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _place(example: Example) -> str:
    return f"{example.path}:{example.line}"


# --- pages as tests -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _reader() -> Iterator[None]:
    """Give a page what its reader has: an empty folder, a home, the command, and a cloud in AWS's place."""
    import boto3

    from ecs_block.local import LocalCloud

    boto3.DEFAULT_SESSION = None  # it remembers the keys of the page before
    before, here = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, "work")
        work.mkdir()
        for name in [name for name in os.environ if name.startswith(("AWS_", "ECS_BLOCK_"))]:
            del os.environ[name]
        path = f"{Path(sys.executable).parent}:{before['PATH']}"
        os.environ.update(HOME=folder, ECS_BLOCK_HOME=f"{folder}/home", COLUMNS="80", PATH=path)
        os.chdir(work)
        try:
            with LocalCloud(directory=str(work)) as cloud:
                os.environ.update(cloud.environment)
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            os.chdir(here)


class Page(pytest.Item):
    """A page of the documentation."""

    def runtest(self) -> None:
        """Run its blocks in their order."""
        with _reader():
            for example in self.parent.document.examples():  # type: ignore[union-attr]
                example.evaluate()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what is wrong with it; of an exception of its own, where it came from."""
        return str(excinfo.value) if isinstance(excinfo.value, Wrong) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name it as it is named in the folder."""
        return self.path, None, self.path.name


class PageFile(pytest.File):
    """A file that may have something to run."""

    def collect(self) -> Iterator[Page]:
        """Give its test, if it has one."""
        self.document = Sybil(parsers=[blocks]).parse(self.path)
        if any(True for _ in self.document.examples()):
            yield Page.from_parent(self, name="page")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PageFile | None:
    """Take the pages among the files that pytest finds."""
    root = Path(__file__).parents[1]
    if file_path.is_relative_to(root) and any(file_path.relative_to(root).match(pattern) for pattern in PATTERNS):
        return PageFile.from_parent(parent, path=file_path)
    return None
