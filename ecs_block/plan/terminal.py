r"""What a terminal may be sent of a text that somebody else wrote: a container, or AWS quoting one.

A container's output can hold sequences that retitle the window, fill the clipboard, move over lines of ours, or make the
terminal type an answer. Here all of them are taken out, but for colours. The syntax is that of ECMA-48 and of xterm's
"Control Sequences":

    ESC ] … BEL or ST               OSC: window title, clipboard, links
    ESC P, X, ^, _ … ST             DCS, SOS, PM, APC: strings for the terminal itself
    ESC [ parameters, final byte    CSI: the cursor, erasing, modes; with `m` at the end colours (SGR)
    ESC and one more                charsets, reset
    U+0080 to U+009F                the same introducers in one character (C1)

What has no end is taken out up to the end of its line, as far as a terminal would read it. Each pattern matches wherever
its introducer stands, whatever follows, so nothing is looked at twice.
"""

from __future__ import annotations

import re

LONGEST_LINE = 65_536  # characters that a terminal is sent of one line

_RESET = "\x1b[0m"
_UNSAFE = re.compile(
    r"""
      (?P<colour> \x1b\[ [0-9;:]* m )
    | (?: \x1b\] | \x9d ) [^\x07\x18\x1a\x1b\x9c]* (?: [\x07\x18\x1a\x9c] | \x1b\\ )?     # OSC
    | (?: \x1b[PX^_] | [\x90\x98\x9e\x9f] ) [^\x18\x1a\x1b\x9c]* (?: [\x18\x1a\x9c] | \x1b\\ )?
    | (?: \x1b\[ | \x9b ) [0-?]* [\x20-\x2f]* [@-~]?                                            # CSI
    | \x1b [\x20-\x2f]* [0-~]?
    | [\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]                                               # tab, newline, CR may stay
    | [\u202a-\u202e\u2066-\u2069]                                                        # text that runs backwards
    """,
    re.VERBOSE,
)
# What of it JSON leaves as it is; JSON itself spells out what is below U+0020.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_IS_RESET = re.compile(r"\x1b\[0*m")
_ROOM_FOR_THE_MARK = 100  # characters


def safe_for_terminal(text: str) -> str:
    """Take out of a text what could steer a terminal, line by line. Colours stay, and end with their line.

    Of a line longer than 65,536 characters the rest is left out, and a mark says how much.
    """
    if len(text) <= LONGEST_LINE and _UNSAFE.search(text) is None:
        return text
    return "\n".join(map(_safe_line, text.split("\n")))


def safe_json(text: str) -> str:
    """Spell out in JSON what could steer a terminal. It means the same."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _safe_line(line: str) -> str:
    colour = ""

    def colours_only(found: re.Match[str]) -> str:
        nonlocal colour
        kept = found["colour"] or ""
        colour = kept or colour
        return kept

    line = _UNSAFE.sub(colours_only, line)
    if len(line) > LONGEST_LINE:
        return _cut(line)
    return line + _RESET if _goes_on(colour) else line


def _goes_on(colour: str) -> bool:
    return bool(colour) and _IS_RESET.fullmatch(colour) is None


def _cut(line: str) -> str:
    """Shorten a safe line, so that it and the mark are short enough together."""
    end = LONGEST_LINE - _ROOM_FOR_THE_MARK
    introducer = line.rfind("\x1b", 0, end)
    if introducer >= 0 and line.find("m", introducer, end) < 0:
        end = introducer  # not amid a colour
    reset = _RESET if introducer >= 0 else ""
    return f"{line[:end]}{reset} … [{len(line) - end:,} characters left out]"
