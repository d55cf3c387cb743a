"""`ecs-block report`: the page, in a real browser, and the command that writes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import Browser

from ecs_block import ECSTask
from ecs_block.local import LocalCloud

SECRET = "hunter2-hunter2"
# Fifty tasks, of which those with an odd tenth fail; in a process of its own, as a user's program would run them.
MAP = """
from ecs_block import ECSTask
task = ECSTask(execution_role_arn=ROLE, stream_output=True)
task.map([["sh", "-c", f"echo part {i}; exit {int(i % 10 == 3)}"] for i in range(50)], run_id="parts", max_concurrency=25)
"""
SIZES = {"desktop": 1280, "phone": 390}
PAGES = ["succeeded", "failed", "parts"]

BARS = """[...document.querySelector('figure').querySelectorAll('rect.bar')].map(bar => {
  const box = bar.getBoundingClientRect();
  return [box.left, box.right];
})"""
# Each piece of text on the page: its colour, its opacity, and the colour that is behind it.
TEXTS = """[...document.querySelectorAll('body *')].flatMap(element => {
  const own = [...element.childNodes].filter(node => node.nodeType === 3 && node.data.trim());
  if (!own.length || !element.getClientRects().length || ['title', 'desc', 'STYLE'].includes(element.tagName)) return [];
  const style = getComputedStyle(element);
  let behind = element, colour = 'rgba(0, 0, 0, 0)';
  while (behind && /, 0\\)$/.test(colour)) { colour = getComputedStyle(behind).backgroundColor; behind = behind.parentElement; }
  return [[own[0].data.trim(), element.namespaceURI.endsWith('svg') ? style.fill : style.color, style.opacity, colour]];
})"""


class Pages:
    """The pages that the tests look at."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home

    def __getitem__(self, name: str) -> Path:
        return self.folder / f"{name}.html"


@pytest.fixture(scope="module")
def pages(cloud: LocalCloud, role: str, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """A page of a run that succeeded, of one that failed, and of a map, from one journal."""
    folder = tmp_path_factory.mktemp("pages")
    made = Pages(folder, folder / "home")
    variables = {"HOME": str(folder), "ECS_BLOCK_HOME": str(made.home), "PATH": "/usr/bin:/bin", **cloud.environment}

    def ecs_block(*words: str, code: int = 0) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ecs_block.cli", *words], env=variables, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stderr

    run = ("run", "--execution-role", role, "--run-id")
    ecs_block(*run, "succeeded", "--", "sh", "-c", "echo '<b>bold</b>'; sleep 0.5", f"--password={SECRET}")
    ecs_block(*run, "failed", "--", "sh", "-c", "echo about to fail; exit 7", code=7)
    script = MAP.replace("ROLE", repr(role))
    subprocess.run([sys.executable, "-c", script], env=variables, check=True, capture_output=True, timeout=120)
    for name in PAGES:
        ecs_block("report", name, "-o", str(made[name]))
    return made


# --- in a browser -------------------------------------------------------------------------------------------------


def rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (float(number) for number in re.findall(r"[\d.]+", colour)[:3])
    return red, green, blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_in_a_browser(browser: Browser, pages: Pages, name: str, size: str, dark: bool, tmp_path: Path) -> None:
    """By day and by night, on a desk and a phone: nothing is cut off, every bar is seen, all text can be read."""
    with browser.open(pages[name], width=SIZES[size], dark=dark, script=False) as page:
        assert page.evaluate("innerWidth") == SIZES[size]
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]
        assert page.evaluate("[document.documentElement.lang, document.querySelectorAll('h1').length]") == ["en", 1]
        bars = page.evaluate(BARS)
        assert len(bars) >= (5 if name != "parts" else 50)
        assert all(0 <= left < right <= SIZES[size] for left, right in bars)
        texts = page.evaluate(TEXTS)
        assert len(texts) > 20
        for text, colour, opacity, behind in texts:
            under = rgb(behind)
            seen = tuple(float(opacity) * c + (1 - float(opacity)) * b for c, b in zip(rgb(colour), under, strict=True))
            assert contrast(seen, under) >= 4.5, (text, colour, opacity, behind)
        page.screenshot(tmp_path / "page.png")
    picture = (tmp_path / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_bars_stand_out(browser: Browser, pages: Pages) -> None:
    """Every colour of a bar has a contrast of at least 3 to what is behind it, by day and by night, and the two differ."""
    backgrounds = []
    for dark in (False, True):
        with browser.open(pages["failed"], dark=dark) as page:
            behind = rgb(page.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor"))
            fills = page.evaluate("[...document.querySelectorAll('rect.bar')].map(bar => getComputedStyle(bar).fill)")
            backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(set(fills)) == 5
        assert all(contrast(rgb(fill), behind) >= 3 for fill in fills)
    assert backgrounds[0] != backgrounds[1]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_alone(browser: Browser, pages: Pages, name: str) -> None:
    """The page asks for nothing but itself, has no script, and its output is text and never markup."""
    with browser.open(pages[name]) as page:
        assert page.requests == [pages[name].as_uri()]
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate("document.querySelectorAll('b, link, iframe, img, object').length") == 0
        assert page.evaluate("document.querySelectorAll('svg > title').length") >= 1
        assert page.evaluate("document.querySelectorAll('svg > desc').length") >= 1
        assert page.evaluate("[...document.querySelectorAll('th')].every(head => head.scope)")
        shown = page.evaluate("document.body.innerText")
    assert ("<b>bold</b>" in shown) == (name == "succeeded")
    assert SECRET not in pages[name].read_text()


def test_details_of_a_task(browser: Browser, pages: Pages) -> None:
    """A link to a task of a map opens what is told of it, with scripts off."""
    with browser.open(f"{pages['parts'].as_uri()}#task-13", script=False) as page:
        opened = page.evaluate("[...document.querySelectorAll('details[open]')].map(each => each.innerText)")
        links = page.evaluate("[...document.querySelectorAll('a')].map(link => link.getAttribute('href'))")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => '#' + each.id)")
    assert len(opened) == 1
    assert all(told in opened[0] for told in ("parts/13", "failed", "part 13", "EssentialContainerExited"))
    assert set(links) == set(ids) == {f"#task-{index}" for index in range(50)}


def test_colour_is_never_alone(browser: Browser, pages: Pages) -> None:
    """The outcome is a word: in the head of a run, in each row of a map, and counted above it."""
    with browser.open(pages["failed"]) as page:
        head = page.evaluate("document.querySelector('header').innerText").split()
    assert head[:4] == ["Run", "failed", "✗", "failed"]
    with browser.open(pages["parts"]) as page:
        assert "✗ 5 of 50 did not succeed" in page.evaluate("document.querySelector('header').innerText")
        counts = page.evaluate("document.querySelector('.counts').innerText").split()
        words = page.evaluate("[...document.querySelectorAll('.tasks tbody tr')].map(row => row.cells[1].innerText)")
    assert counts == ["45", "✓", "succeeded", "5", "✗", "failed"]
    assert words == ["✗ failed" if index % 10 == 3 else "✓ succeeded" for index in range(50)]


# --- the command --------------------------------------------------------------------------------------------------


def heading(html: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", html)
    assert found, html[:500]
    return found[1]


def test_newest_run_is_the_default(ecs_block: Any, pages: Pages, tmp_path: Path) -> None:
    """Without an ID, and as `last`, it is the newest run; where that is a part of a map, the whole map."""
    for words in ((), ("last",)):
        done = ecs_block("report", *words, "-o", str(tmp_path / "a.html"), ECS_BLOCK_HOME=str(pages.home))
        assert (done.returncode, done.stdout) == (0, "")
        html = (tmp_path / "a.html").read_text()
        assert (heading(html), html.count("<details>")) == ("parts", 50)


def test_run_is_named_in_every_way(ecs_block: Any, pages: Pages) -> None:
    """By its run id, by its task's short id, its ARN and its identifier; a part of a map by its own run id."""
    html = pages["failed"].read_text()
    arn = re.search(r"arn:aws:ecs:[\w:/-]+", html)
    assert arn
    for name in ("failed", arn[0].rpartition("/")[2], arn[0], f"default::{arn[0]}"):
        done = ecs_block("report", name, "-o", "-", ECS_BLOCK_HOME=str(pages.home))
        assert done.returncode == 0, done.stderr
        assert heading(done.stdout) == "failed"
        assert done.stderr == ""
    done = ecs_block("report", "parts/7", "-o", "-", ECS_BLOCK_HOME=str(pages.home))
    assert (heading(done.stdout), "<details>" in done.stdout) == ("parts/7", False)


def test_run_without_an_outcome(on_aws: Any, cloud: LocalCloud) -> None:
    """A run that nobody has waited for is shown as what is known: its task and when it was asked for, and no outcome."""
    started = on_aws("run", "-d", "--run-id", "later", "--", "sleep", "60").stdout.strip()
    page = on_aws("report", "later", "-o", "-").stdout
    ECSTask(aws_credentials=cloud.credentials).kill(started)
    assert "no outcome yet" in page
    assert "it may run still" in page
    assert started.rpartition("::")[2] in page
    assert re.search(r"<dt>Asked for</dt><dd>\d{4}-", page)


def test_page_of_a_result(ecs_block: Any, tmp_path: Path) -> None:
    """`--from` takes what `run --output json` prints, of stdin or a file, and a list of such results."""
    printed = ecs_block("run", "--local", "--output", "json", "--", "sh", "-c", "echo out; exit 3").stdout
    page = ecs_block("report", "--from", "-", "-o", "-", stdin=printed)
    assert page.returncode == 0, page.stderr
    assert "✗ failed" in page.stdout
    assert "exit code 3" in page.stdout
    (tmp_path / "results.json").write_text(json.dumps([json.loads(printed)] * 3))
    page = ecs_block("report", "--from", str(tmp_path / "results.json"), "-o", "-")
    assert "3 of 3 did not succeed" in page.stdout


def test_page_of_a_pipe(ecs_block: Any, tmp_path: Path) -> None:
    """`run --local --output json | report --from - -o FILE` makes a page also of a run that could not start."""
    run = "$ecs_block run -q --local --output json -- /no/such/program 2>/dev/null"
    done = ecs_block.shell(f"{run} | $ecs_block report --from - -o {tmp_path}/a.html")
    assert done.returncode == 0, done.stderr
    assert "start failed" in (tmp_path / "a.html").read_text()


def test_file_is_replaced_as_a_whole(ecs_block: Any, pages: Pages, tmp_path: Path) -> None:
    """A file that is there is replaced, also behind a link; nothing else is left in the folder."""
    (tmp_path / "out").mkdir()
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "out" / "a.html").symlink_to(tmp_path / "real.html")
    done = ecs_block("report", "failed", "-o", str(tmp_path / "out" / "a.html"), ECS_BLOCK_HOME=str(pages.home))
    assert done.returncode == 0, done.stderr
    assert heading((tmp_path / "real.html").read_text()) == "failed"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("last",), None, "Give -o report.html, or -o - for stdout."),
        (("-o", "a.html"), None, "This machine's journal of runs "),
        (("nowhere", "-o", "a.html"), None, "knows no run 'nowhere'"),
        ((f"arn:aws:ecs:eu-west-1:123456789012:task/x/{'0' * 32}", "-o", "a.html"), None, "knows no task 'arn:aws:ecs"),
        (("x", "--from", "-", "-o", "a.html"), "{}", "ID and --from exclude each other"),
        (("--from", "no.json", "-o", "a.html"), None, "no.json cannot be read: No such file or directory."),
        (("--from", "-", "-o", "a.html"), "{", "stdin is not JSON: "),
        (("--from", "-", "-o", "a.html"), "[]", "stdin holds an empty list"),
        (("--from", "-", "-o", "a.html"), "[1]", "stdin holds no result as `ecs-block run --output json` prints it"),
        (("--from", "-", "-o", "a.html"), '{"outcome": "fine"}', "outcome: Input should be 'succeeded'"),
        (("--from", "-", "-o", "/no/such/folder/a.html"), '{"outcome": "failed"}', "No such file or directory"),
        (("--from", "-", "-o", "/"), '{"outcome": "failed"}', "The page cannot be written to /: Is a directory."),
    ],
)
def test_what_is_wrong(ecs_block: Any, words: tuple[str, ...], stdin: str | None, told: str) -> None:
    """Wrong usage is exit code 2 and one line that says what would be right; nothing is printed on stdout."""
    done = ecs_block("report", *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
