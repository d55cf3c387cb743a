"""Draws what a terminal of 80 columns shows, as the SVG files in `_static`: `nox -s pictures`, and look at them.

Each picture is a real run of the command in a pseudo-terminal, over a cloud of this machine (`ecs-block local up`).
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

HERE = Path(__file__).parent
COLUMNS, ROWS = 80, 60
WIDTH, HEIGHT, EDGE = 8.4, 19.0, 16.0  # of a character, of a line, around it all (pixels)
GROUND, INK = "#16181d", "#d7dae0"
COLOURS = {
    "red": "#f0716b", "green": "#7fc77f", "brown": "#e0b35c", "yellow": "#e0b35c", "blue": "#6fa8f0", "magenta": "#c58be0",
    "cyan": "#62c0c9", "black": "#6b7280", "white": INK, "default": INK,
}  # fmt: skip
FAINT = "#8b919c"


class Screen(pyte.Screen):
    """A screen that knows faint text, which pyte does not."""

    def select_graphic_rendition(self, *codes: int, **more: bool) -> None:
        """Take faint (2) for black, which nothing else here uses."""
        if not more:
            super().select_graphic_rendition(*(30 if code == 2 else code for code in codes))


@contextmanager
def cloud(home: str) -> Iterator[dict[str, str]]:
    """Give the environment in which commands talk to a cloud of this machine."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    plain |= {"ECS_BLOCK_HOME": home, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "ecs_block.cli", "local", "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=plain) as up:
        try:
            assert up.stdout is not None
            lines = iter(up.stdout.readline, "")
            exports = [shlex.split(line)[1].split("=", 1) for line in lines_until(lines, "AWS_ENDPOINT_URL")]
            yield plain | dict(exports)
        finally:
            up.terminate()


def lines_until(lines: Iterator[str], last: str) -> Iterator[str]:
    """Give the lines that export a variable, up to the one of this name."""
    for line in lines:
        if line.startswith("export "):
            yield line
        if last in line:
            return


def shown(words: Sequence[str], environment: dict[str, str], *, seconds: float = 60.0) -> Screen:
    """Run a command in a terminal, for so long at most, and give what is to be seen."""
    screen = Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe(sys.executable, [sys.executable, "-m", "ecs_block.cli", *words], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                stream.feed(os.read(terminal, 65536))
            except OSError:  # the command has ended
                break
    os.close(terminal)
    os.waitpid(process, 0)
    return screen


def rows(screen: Screen) -> list[list[tuple[str, str, bool]]]:
    """Give the lines as pieces of one colour: the text, the colour, and whether it is bold."""
    found = []
    for number in range(screen.lines):
        cells = [screen.buffer[number][column] for column in range(screen.columns)]
        pieces = groupby(cells, key=lambda cell: (cell.fg, cell.bold))
        found.append([("".join(cell.data for cell in part), *key) for key, part in pieces])
    while found and not "".join(text for text, _, _ in found[-1]).strip():
        found.pop()
    return found


def prompt(command: str) -> list[list[tuple[str, str, bool]]]:
    """Give the lines in which the command is typed."""
    lines = textwrap.wrap(command, COLUMNS - 6, break_on_hyphens=False, subsequent_indent="    ")
    texts = [f"{'$' if number == 0 else ' '} {line}" for number, line in enumerate(lines)]
    return [[(text + (" \\" if text is not texts[-1] else ""), "default", True)] for text in texts]


def drawn(lines: Sequence[Sequence[tuple[str, str, bool]]], title: str) -> str:
    """Draw lines as SVG. Each piece has its width, so that columns stand whatever the reader's font is."""
    parts = []
    for number, line in enumerate(lines):
        column = 0
        for text, colour, bold in line:
            for found in re.finditer(r"\S+( \S+)*", text):  # SVG may shrink wider gaps
                bare, at = found[0], EDGE + (column + found.start()) * WIDTH
                weight = ' font-weight="bold"' if bold else ""
                parts.append(
                    f'<text x="{at:.1f}" y="{EDGE + (number + 0.75) * HEIGHT:.1f}" textLength="{len(bare) * WIDTH:.1f}" '
                    f'fill="{FAINT if colour == "black" else COLOURS.get(colour, f"#{colour}")}"{weight}>{escape(bare)}</text>'
                )
            column += len(text)
    width, height = 2 * EDGE + COLUMNS * WIDTH, 2 * EDGE + len(lines) * HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14">'
        f"<title>{escape(title)}</title>"
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Draw them all."""
    role = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
    with tempfile.TemporaryDirectory() as home, cloud(home) as environment:
        jobs = Path(home, "parts.txt")
        jobs.write_text("".join(f"--part {number}\n" for number in range(50)))
        good = "for n in 1 2 3; do echo reading part $n; sleep 1; done"
        bad = "echo reading part 1; sleep 1; echo no such table: orders >&2; exit 3"
        part = "n=$2; echo part $n; sleep 0.$((n % 9)); [ $n != 17 ] || { echo no rows for part $n; exit 3; }"
        run = ["run", "--execution-role", role, "--image", "python:3.12-slim"]
        pictures: dict[str, Sequence[str]] = {
            "run": [*run, "--run-id", "nightly-2026-11-20", "--", "sh", "-c", good],
            "failed": [*run, "--run-id", "nightly-2026-11-21", "--", "sh", "-c", bad],
            "map": [*run, "--run-id", "backfill", "--map", str(jobs), "--", "sh", "-c", part, "report"],
            "check": ["check", "--execution-role", role, "--image", "python:3.12-slim", "--", "true"],
        }  # fmt: skip
        for name, words in pictures.items():
            command = re.sub(re.escape(home) + "/", "", shlex.join(["ecs-block", *words]))
            print(f"$ {command}")
            screen = shown(words, environment)
            (HERE / "_static" / f"terminal-{name}.svg").write_text(drawn([*prompt(command), *rows(screen)], command))


if __name__ == "__main__":
    main()
