"""The documentation is executed: a page that says what is not so fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil

from tests import pages

PAGE = """\
```python
word = "one"
print(word, id(word))
```

```text
one ...
```

Nothing is compared after a sentence, but this runs in the same place:

```bash
name=two
echo "$name" > file
```

```console
$ this is not run
```

```bash
cat file
echo "2026-11-21T15:12:46+00:00 ecs-block: launched" >&2
echo "$name"
```

```text
two
ecs-block: launched
two
```

<!-- not run: it would end the test -->
```bash
exit 9
```
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Execute a page in a folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def read(text: str) -> int:
        path = tmp_path / "page.md"
        path.write_text(text)
        examples = list(Sybil(parsers=[pages.blocks]).parse(path).examples())
        for example in examples:
            example.evaluate()
        return len(examples)

    return read


def test_a_page_that_is_right(read: object) -> None:
    """Blocks run in order and share names and files; what stands right after one is compared."""
    assert read(PAGE) == 5


CHANGES = {
    "output of Python": ("one ...\n", "two ...\n"),
    "output of bash": ("two\necs-block: launched\ntwo\n", "two\necs-block: launched\nthree\n"),
    "a line too many": ("two\necs-block: launched\ntwo\n", "two\necs-block: launched\ntwo\ntwo\n"),
    "a line of ours": ("ecs-block: launched\ntwo\n", "ecs-block: stopped\ntwo\n"),
    "a name that is gone": ("print(word, ", "print(werd, "),
    "a command that fails": ("cat file", "cat nothing"),
    "a failure in the middle": ("name=two\n", "false\nname=two\n"),
    "no reason to leave it out": ("<!-- not run: it would end the test -->\n", ""),
}


@pytest.mark.parametrize(("is_so", "is_not"), CHANGES.values(), ids=CHANGES)
def test_a_page_that_is_wrong(read: object, is_so: str, is_not: str) -> None:
    """A changed output, a failing line of shell and a failing block of Python fail the page."""
    assert PAGE.count(is_so) == 1
    with pytest.raises((pages.Wrong, NameError)):
        read(PAGE.replace(is_so, is_not))


def test_only_lines_of_ours_may_be_left_out(read: object) -> None:
    """After bash the text may show the container's lines alone."""
    assert read(PAGE.replace("two\necs-block: launched\ntwo\n", "two\ntwo\n")) == 5


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("...\nc", "a\nb\nc", True),
        ("a\n...\nc", "a\nc", True),
        ("a\n...", "a", True),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
        ("", "", True),
    ],
)
def test_dots(shown: str, said: str, same: bool) -> None:
    """`...` stands for anything in a line; alone on one, for any lines; everything else for itself."""
    assert pages.matches(shown, said) is same
