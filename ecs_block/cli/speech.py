"""What a command says: lines of ours on stderr, results on stdout.

The container's output is not ours: it goes to stdout as it comes. With `--output json` stdout holds one JSON value and
nothing else, also when the command failed, and the container's output goes to stderr.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO

from ecs_block.cli.streams import STDERR, STDOUT, Streams, TextStream, print_out
from ecs_block.cli.terminal import is_terminal
from ecs_block.cli.voice import Voice
from ecs_block.plan.terminal import safe_json

if TYPE_CHECKING:
    from ecs_block.cli.words import Hint


class Speech:
    """The streams of a command, and how it speaks on them."""

    def __init__(self, *, debug: bool = False, quiet: bool = False, as_json: bool = False, query: Any = None) -> None:
        self.debug = debug
        self.as_json = as_json
        self.raw = False
        """True when the container's control sequences may reach the terminal."""
        self.local = False
        """True when the task's cloud ends with this process: then its ARNs are of no use to anybody."""
        self._quiet = quiet
        self._query = query
        self._streams = Streams()
        self._voice = Voice(self._streams)
        self._said: set[str] = set()

    @property
    def container_output(self) -> TextIO:
        """Where the container's output goes."""
        return TextStream(self._streams, self._output, raw=self.raw)  # type: ignore[return-value]

    @property
    def _output(self) -> int:
        return STDERR if self.as_json else STDOUT

    @property
    def is_full(self) -> bool:
        """True while the reader of the output rests."""
        return self._streams.is_full

    @property
    def output_is_coloured(self) -> bool:
        """True when the container's output may be given colours of ours."""
        return self._voice.terminal.coloured and is_terminal(self._output)

    def close(self, *, interrupted: bool = False) -> None:
        """Wait until all is written."""
        self._streams.close(interrupted=interrupted)

    # --- our own lines ---------------------------------------------------------------------------------------------

    def step(self, text: str, label: str = "note") -> None:
        """Tell something that goes as it should."""
        if not self._quiet:
            self._voice.say("note", label, text)

    def warning(self, text: str) -> None:
        """Warn, once of the same thing."""
        if text not in self._said:
            self._said.add(text)
            self._voice.say("warning", "warning", text)

    def error(self, text: str) -> None:
        """Tell why the command failed."""
        self._voice.say("error", "error", text)

    def failure(self, text: str, label: str = "failed") -> None:
        """Tell what became of a run that did not succeed."""
        self._voice.say("failure", label, text)

    def hints(self, hints: Iterable[Hint]) -> None:
        """Give the commands that are useful next."""
        if self._quiet or self.local:
            return
        for hint in hints:
            colon = "" if self._voice.in_columns else f"{hint.purpose}: "
            self._voice.say("hint", hint.purpose, f"{colon}{hint.command}")

    def told_one(self, label: str, text: str) -> None:
        """Tell in a line of the terminal what became of one of many tasks."""
        if not self._quiet:
            self._voice.brief("note", label, text if self._voice.in_columns else f"  {label} {text}")

    # --- results on stdout -----------------------------------------------------------------------------------------

    def print_text(self, text: str) -> None:
        """Print a result on stdout."""
        self.close()
        print_out(text)

    def print_line(self, text: str) -> None:
        """Print one of several lines on stdout, without ever waiting for its reader."""
        self._streams.write(STDOUT, text + "\n")

    def check_written(self) -> None:
        """Wait until all is written. Raises Unwritable where stdout has not taken it."""
        self._streams.check(STDOUT)

    def print_json(self, value: Any, default: Callable[[Any], Any] | None = None) -> None:
        """Print a JSON value on stdout, or what `--query` takes of it. `default` is json.dumps's."""
        if self._query is not None:
            value = self._query.search(value)
        self.print_text(safe_json(json.dumps(value, indent=2, ensure_ascii=False, default=default)))
