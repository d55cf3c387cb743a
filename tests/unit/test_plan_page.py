"""The page of a report and the tables of a notebook: whatever stands in a run, it is text there and never markup."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ecs_block import ECSTask, ECSTaskResult, ECSTaskResults
from ecs_block.errors import EcsBlockError
from ecs_block.plan.chart import Row, chart
from ecs_block.plan.markup import Html, el, escaped, readable
from ecs_block.plan.page import MOST_TASKS, RunReport, of_result, page_of_map, page_of_run
from ecs_block.plan.result import ContainerResult
from ecs_block.plan.timeline import phases_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>", "</title><img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "' onfocus='alert(1)",
    "</style><style>*{display:none}", "</pre></code></details>", "<!--", "]]>", "&lt;b&gt;", "javascript:alert(1)",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u202egnp.exe", "\ud800", "\0", "ü ✓ 中",
]  # fmt: skip
hostile = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=20))
VOID = {"meta", "rect", "line"}


class Seen(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.targets: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == [], "everything that was opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def result(texts: list[str], outcome: Any = "failed", **more: Any) -> ECSTaskResult:
    """A result that has these texts wherever text can stand."""
    a, b, c, d = texts
    container = ContainerResult(name=a, exit_code=3, reason=b, last_status=c, image=d, runtime_id=a)
    return ECSTaskResult(
        identifier=f"{a}::{b}", outcome=outcome, status_code=3, stop_code=c, reason=d, advice=a, task_definition_arn=b,
        containers=(container,), log_tail=(c, d), error=EcsBlockError(f"{a} {d}"), created_at=NOW,
        started_at=NOW + timedelta(seconds=3), stopped_at=NOW + timedelta(seconds=9), **more,
    )  # fmt: skip


def run(texts: list[str], outcome: Any = "failed", **more: Any) -> RunReport:
    a, b, c, d = texts
    return of_result(a, result(texts, outcome, **more), command=[b, c], facts=[(a, d)])


PLAIN = ["one", "two", "three", "four"]
four = st.lists(hostile, min_size=4, max_size=4)


@given(four)
def test_hostile_text_is_text(texts: list[str]) -> None:
    """Whatever the fields hold, the page has the elements and attributes that it has for harmless ones, and their text."""
    for make in (
        lambda t: page_of_run(run(t), made_at=NOW, by=t[0]),
        lambda t: page_of_run(run(t, tasks=(result(t), result(t))), made_at=NOW, by="x"),
        lambda t: page_of_map(t[0], [run(t), RunReport(t[1], "refused", reason=t[2])], made_at=NOW, by="x"),
        lambda t: result(t)._repr_html_(),
        lambda t: result(t, tasks=(result(t), result(t)))._repr_html_(),
        lambda t: ECSTaskResults([result(t), result(t, "succeeded")])._repr_html_(),
    ):  # fmt: skip
        seen, usual = Seen(make([f"x{text}" for text in texts])), Seen(make(PLAIN))
        assert seen.tags == usual.tags
        assert seen.attributes == usual.attributes
        assert all(target.startswith("#task-") for target in seen.targets)
        assert readable(texts[3]).strip() in seen.text.replace("\r", "")


@given(hostile)
def test_text_and_attributes(text: str) -> None:
    """A text comes back as it was, without what drives a terminal, also out of an attribute; and it can be written."""
    seen = Seen(el("p", text, title=text))
    assert seen.text == readable(text)
    assert (seen.tags, seen.attributes) == ({"p": 1}, {"title"})
    readable(text).encode()
    assert not any(char < " " and char not in "\n\t" for char in readable(text))


def test_what_is_readable() -> None:
    """Control sequences go as a whole; tabs, line breaks and letters of any script stay."""
    told = "a\x1b[1;31mb\x1b[0m\x1b]8;;http://x\x07c\x00d\x9be\u202ef\r\ng\th ü 中\ud800"
    assert readable(told) == "abcdef\ng\th ü 中\ufffd"
    assert escaped(Html("<b>")) == "<b>"
    assert escaped("<b>") == "&lt;b&gt;"


def test_page_says_what_is_known() -> None:
    """The outcome in words, the reason, what to do, the command, the facts, the containers, and the last lines."""
    seen = Seen(page_of_run(run(PLAIN), made_at=NOW, by="ecs-block 1.2"))
    lines = ("✗ failed", "exit code 3", "9.0 s in all", "What to do: one", "two three", "onefour", "three\nfour")
    for told in lines:
        assert told in seen.text
    assert "Made by ecs-block 1.2 on 2026-11-20 12:00:00 UTC." in seen.text
    assert seen.tags["svg"] == 1
    assert (seen.tags["html"], seen.tags["title"] > 1, seen.tags["meta"]) == (1, True, 3)
    assert "script" not in seen.tags


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("launched", "Nothing that ran here has seen its end, so it may run still."),
        ("intended", "The launch was begun and not finished"),
        ("refused", "AWS refused the launch"),
    ],
)
def test_run_without_an_outcome(state: str, told: str) -> None:
    """What has no outcome claims none."""
    seen = Seen(page_of_run(RunReport("nightly", state, facts=[("Sent", "now")]), made_at=NOW, by="x"))
    assert told in seen.text
    assert "succeeded" not in seen.text
    assert "svg" not in seen.tags


def test_sum_of_a_map() -> None:
    """What failed and what has no outcome yet are two things; each that failed is pointed to."""
    good, bad, later = run(PLAIN, "succeeded"), run(PLAIN), RunReport("x/2", "launched")
    for runs, told in (
        ([good, good], "✓ all succeeded"),
        ([good, later], "… 1 of 2 without an outcome yet"),
        ([bad, good], "✗ 1 of 2 did not succeed"),
        ([good, bad, later], "✗ 1 of 3 did not succeed, 1 without an outcome yet"),
    ):
        page = page_of_map("x", runs, made_at=NOW, by="x")
        assert f">{told}</span>" in page
        pointed = [
            target for target in Seen(page).targets if f'<p class="links">Did not succeed: <a href="{target}"' in page
        ]
        assert set(pointed) == {f"#task-{index}" for index, one in enumerate(runs) if one is bad}


def test_large_map_is_cut() -> None:
    """Of very many tasks all that did not succeed are shown, and the page says that others are not."""
    runs = [run(PLAIN, "failed" if index % 100 == 99 else "succeeded") for index in range(1000)]
    page = page_of_map("x", runs, made_at=NOW, by="x")
    assert "500 of 1,000 tasks are shown: those that did not succeed, then the first ones." in page
    assert page.count("<details>") == MOST_TASKS
    assert all(f'id="task-{index}"' in page for index in range(99, 1000, 100))


def test_links_are_never_inside_an_image() -> None:
    """A picture with links is no `img` to a screen reader, which would hide them; one without is."""
    phases = phases_of(result(PLAIN))
    plain = chart([Row("a", phases, "failed", "9 s")], "A")
    linked = chart([Row("a", phases, "failed", "9 s", "#b")], "A")
    assert plain is not None
    assert linked is not None
    assert ('role="img"' in plain, 'role="img"' in linked) == (True, False)
    assert chart([Row("a", [], "failed", "-")], "A") is None


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 1e7))
def test_bars_are_inside(first: float, second: float, third: float) -> None:
    """Whatever the times, a bar has a width and ends before the numbers at its right; the axis has few marks."""
    at = [NOW + timedelta(seconds=seconds) for seconds in (0, first, first + second, first + second + third)]
    task = ECSTaskResult(outcome="failed", created_at=at[0], started_at=at[1], stopping_at=at[2], stopped_at=at[3])
    drawn = chart([Row(phase.name, [phase], "failed", "") for phase in phases_of(task)], "A")
    assert drawn is not None

    class Bars(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            told = dict(attrs)
            if tag == "rect":
                left, width = (float(str(told[name]).rstrip("%")) for name in ("x", "width"))
                assert 25 <= left <= 83
                assert width > 0
                assert left + width < 84

    Bars().feed(drawn)
    assert 1 <= drawn.count("<line") <= 5


def test_notebook_shows_a_task() -> None:
    """What was set, as the repr shows it: secrets masked, and nothing that was not set."""
    task = ECSTask(command=["echo", "<b>"], env={"DB_PASSWORD": "hunter2", "A": SecretStr("geheim-geheim")}, cpu=512)
    seen = Seen(task._repr_html_())
    assert "echo '<b>'" in seen.text
    assert "512" in seen.text
    assert "hunter2" not in seen.text
    assert "geheim" not in seen.text
    assert "memory" not in seen.text
    assert seen.tags["tr"] == 3
    assert "with its defaults" in ECSTask()._repr_html_()


def test_notebook_shows_results() -> None:
    """How many ended in which way, a bar for each, a row for each; of very many, the first ones and those that failed."""
    some = ECSTaskResults([result(PLAIN, "succeeded"), result(PLAIN), result(PLAIN)])
    seen = Seen(some._repr_html_())
    assert "2 failed, 1 succeeded" in seen.text
    assert (seen.tags["svg"], seen.tags["tr"]) == (1, 4)
    assert "no tasks" in ECSTaskResults()._repr_html_()
    many = ECSTaskResults(some * 100)._repr_html_()
    assert "200 of 300 tasks are shown" in many
    assert Seen(many).tags["tr"] == 201
