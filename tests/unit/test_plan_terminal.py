"""What is left of a text when it is made safe for a terminal."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block.plan.terminal import LONGEST_LINE, safe_for_terminal, safe_json

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
STEERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Introducers, ends and parameters far more often than chance would have them.
ESCAPES = ["\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b\\", "\x1b_", "\x1b[3", "\x1b[31m", "\x1b[0m"]
SINGLE = ["\x07", "\x9b", "\x9c", "\x9d", "\x90", "\x18", "\x1a", "\r", "\n", "\t", "\u202e"]
REST = ["0;", "1", "m", "H", "J", "?25l", ">4;2m", "52;c;", " ", "x"]
PIECES = st.sampled_from([*ESCAPES, *SINGLE, *REST])
HOSTILE = st.lists(PIECES | st.text(max_size=3)).map("".join)
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"]) | st.sampled_from("\t\r\n"))

CASES = {
    "a window title": ("a\x1b]0;pwned\x07b", "ab"),
    "a title that ST ends": ("a\x1b]0;pwned\x1b\\b", "ab"),
    "the clipboard": ("\x1b]52;c;cm0gLXJmIC8=\x07ok", "ok"),
    "a link": ("\x1b]8;;http://example.com\x1b\\click\x1b]8;;\x1b\\", "click"),
    "a string without an end": ("ok\x1b]0;title", "ok"),
    "a string that another sequence cuts off": ("\x1b]0;title\x1b[2Jok", "ok"),
    "a device control string": ("\x1bPq#0;2;0\x07;0\x1b\\ok", "ok"),
    "an application's command": ("\x1b_Gf=100;AAAA\x1b\\ok", "ok"),
    "a private message, a string": ("\x1b^secret\x9c\x1bXsos\x1b\\ok", "ok"),
    "moves over other lines": ("\x1b[3A\x1b[2Kecs-block: succeeded", "ecs-block: succeeded"),
    "the alternate screen": ("\x1b[?1049hok\x1b[?25l", "ok"),
    "a question to the terminal": ("\x1b[6n\x1b[c\x1b[>q\x05ok", "ok"),
    "what looks like a colour": ("\x1b[>4;2m\x1b[?4m\x1b[1$m\x1b[31 mok", "ok"),
    "a CSI without an end": ("ok\x1b[31", "ok"),
    "a reset": ("\x1bcok", "ok"),
    "charsets": ("\x1b(0ok\x1b(B\x0e\x0f", "ok"),
    "the same in one character": ("\x9d0;title\x9c\x9b2Jok\x9b31m\x84", "ok"),
    "bells, backspaces, NUL": ("a\x07b\x08\x00c\x7f", "abc"),
    "an escape within an escape": ("\x1b\x1b]0;t\x07[2Jok", "[2Jok"),
    "what would be one without what is taken out": ("\x1b\x07[2J", "[2J"),
    "text that runs backwards": ("a\u202ecod.exe\u202c\u2066b\u2069", "acod.exeb"),
    "a progress bar": ("10%\r20%\r30%", "10%\r20%\r30%"),
    "a colour that is ended": ("\x1b[1;31mred\x1b[0m x", "\x1b[1;31mred\x1b[0m x"),
    "a colour that is ended in short": ("\x1b[38:2::1:2:3mred\x1b[m", "\x1b[38:2::1:2:3mred\x1b[m"),
    "a colour that is not": ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
    "a colour over two lines": ("\x1b[31ma\nb", "\x1b[31ma\x1b[0m\nb"),
    "an end that begins another": ("\x1b[0;31mred", "\x1b[0;31mred\x1b[0m"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_left(name: str) -> None:
    """Colours, tabs and carriage returns stay; whatever else could steer a terminal goes."""
    given, expected = CASES[name]
    assert safe_for_terminal(given) == expected


@given(HOSTILE)
def test_nothing_that_steers_is_left(text: str) -> None:
    """#46i: no control character but those of colours; each line ends without one; twice is as once."""
    safe = safe_for_terminal(text)
    assert STEERS.search(COLOUR.sub("", safe)) is None
    for line in safe.split("\n"):
        colours = COLOUR.findall(line)
        assert not colours or re.fullmatch(r"\x1b\[0*m", colours[-1])
    assert safe_for_terminal(safe) == safe


@given(PLAIN)
def test_text_stays_as_it_is(text: str) -> None:
    """In whatever script, with tabs and ends of lines."""
    assert safe_for_terminal(text) == text


@given(HOSTILE, HOSTILE)
def test_a_line_cannot_harm_the_next(first: str, second: str) -> None:
    """What a line begins ends with it."""
    assert safe_for_terminal(f"{first}\n{second}") == f"{safe_for_terminal(first)}\n{safe_for_terminal(second)}"


@pytest.mark.parametrize("extra", [0, 1, 1_000_000])
def test_long_lines(extra: int) -> None:
    """64 Ki characters are shown whole; of a longer line the mark counts exactly what is missing."""
    safe = safe_for_terminal("x" * (LONGEST_LINE + extra))
    assert len(safe) <= LONGEST_LINE
    mark = re.search(r" … \[([\d,]+) characters left out\]$", safe)
    missing = int(mark[1].replace(",", "")) if mark else 0
    assert safe.count("x") + missing == LONGEST_LINE + extra
    assert bool(mark) == bool(extra)
    assert safe_for_terminal(safe) == safe


@given(st.lists(HOSTILE))
def test_json(texts: list[str]) -> None:
    """It means the same, and steers no terminal."""
    safe = safe_json(json.dumps(texts, indent=2, ensure_ascii=False))
    assert json.loads(safe) == texts
    assert STEERS.search(safe) is None


@pytest.mark.parametrize("shift", range(8))
def test_a_long_line_is_not_cut_amid_a_colour(shift: int) -> None:
    """Wherever the cut falls, and the colour ends before the mark."""
    safe = safe_for_terminal("x" * shift + "\x1b[31mred" * 20_000)
    assert STEERS.search(COLOUR.sub("", safe)) is None
    assert COLOUR.findall(safe)[-1] == "\x1b[0m"
    assert safe.index("characters left out") > safe.rindex("\x1b")
    assert safe_for_terminal(safe) == safe


@pytest.mark.parametrize(
    "piece", ["\x1b", "\x1b[", "\x1b[1", "\x1b[1;", "\x1b]", "\x1bP", "\x1b]0;", "\x9d", "\x1b ", "1"]
)
def test_the_time_is_that_of_the_length(piece: str) -> None:
    """Beginnings without an end take no longer than anything else: quadratic, this would be minutes."""
    began = time.process_time()
    safe_for_terminal(piece * (300_000 // len(piece)))
    safe_for_terminal("\x1b[" + "1" * 300_000)
    assert time.process_time() - began < 2
