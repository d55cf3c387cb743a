"""What many runs show on a terminal: a bar with counts, rate and the time that is left, below the lines of the tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rich.progress_bar import ProgressBar
from rich.text import Text

from ecs_block import events
from ecs_block.arn import short_name
from ecs_block.cli.live import Line
from ecs_block.cli.paint import Painter
from ecs_block.cli.progress import Clock, Step
from ecs_block.cli.words import brief_of, clock, network_of
from ecs_block.events import Event
from ecs_block.plan.result import ECSTaskResult
from ecs_block.plan.terminal import safe_for_terminal

_SHORTEST, _LONGEST = 8, 40  # cells of the bar


class ManyTasks:
    """The progress of many runs. Told by the event loop's thread, painted by the writer's."""

    def __init__(self, painter: Painter, total: int, clock: Clock = time.monotonic) -> None:
        self._painter = painter
        self._total = total
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._told: set[str] = set()
        self._launched: set[str] = set()
        self._delayed = ""
        self._ended = self._failed = 0
        self._stopping = False

    def event(self, event: Event) -> list[Step]:
        """Take note of what happens, and give the lines that stay of it."""
        with self._lock:
            match event:
                case events.NetworkReady():
                    return self._once("network", network_of(event), network_of(event))
                case events.DefinitionReady(task_definition_arn=arn, registered=registered):
                    how = "registered" if registered else "reused"
                    return self._once("definition", arn, f"{short_name(arn)} {how}")
                case events.LaunchDelayed(reason=reason):
                    self._delayed = safe_for_terminal(reason)
                case events.TaskLaunched(identifier=identifier):
                    self._delayed = ""
                    self._launched.add(identifier)
        return []

    def _once(self, label: str, what: str, text: str) -> list[Step]:
        """Tell what many tasks share at its first time."""
        if what in self._told:
            return []
        self._told.add(what)
        return [Step("step", label, text)]

    def ended(self, index: int, result: ECSTaskResult) -> list[Step]:
        """Take note of an end, and give the line of one that did not succeed."""
        with self._lock:
            self._ended += 1
            if result.identifier is not None:
                self._launched.discard(result.identifier)
            if result:
                return []
            self._failed += 1
        return [Step("failure", f"[{index}]", brief_of(result))]

    def stopping(self) -> None:
        """Show from now on that the end is being waited for."""
        self._stopping = True

    # --- painting --------------------------------------------------------------------------------------------------

    def lines(self, width: int) -> Sequence[Line]:
        """Give the bar with its counts."""
        with self._lock:
            counts = self._counts()
            failed, ended = self._failed, self._ended
        room = min(width - counts.cell_len - 2, _LONGEST)
        if room < _SHORTEST:
            return [self._painter.cut(counts, width)]
        bar = ProgressBar(total=self._total, completed=ended, width=room, complete_style="red" if failed else "green",
                          finished_style="red" if failed else "green", style="dim")  # fmt: skip
        return [Line(f"{self._painter.ansi(bar)}  {self._painter.ansi(counts)}", room + 2 + counts.cell_len)]

    def _counts(self) -> Text:
        running = len(self._launched)
        waiting = max(0, self._total - self._ended - running)
        parts = [Text(f"{self._ended}/{self._total}", "bold")]
        parts += [Text(f"{self._failed} failed", "red")] if self._failed else []
        parts += [Text("stopping", "yellow")] if self._stopping else []
        parts += [Text(f"{running} running")] if running else []
        parts += [Text(f"{waiting} waiting", "dim")] if waiting else []
        parts += [Text(text, "dim") for text in self._pace()]
        parts += [Text(self._delayed, "dim")] if self._delayed and not running else []
        return Text("  ").join(parts)

    def _pace(self) -> list[str]:
        """Say how many end in a second or a minute, and when the last one will; before any has ended, the time so far."""
        spent = self._clock() - self._began
        if not self._ended or spent < 1 or self._stopping:
            return [clock(spent)]
        rate = self._ended / spent
        shown = f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"
        left = (self._total - self._ended) / rate
        return [shown, f"eta {clock(left)}"] if left else [shown]
