"""The file of `run --map`: one task for each line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ecs_block.cli.stdin import STDIN, text_of_stdin
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.task import ECSTask


class Item(NamedTuple):
    """What one line changes of the task, and where it stands."""

    where: str
    changes: dict[str, Any]


def items_of(path: str, words: Sequence[str]) -> list[Item]:
    """Read the file. The words of a line follow those of the command line. Raises InvalidTask, naming the line."""
    name = "<stdin>" if path == STDIN else path
    found = list(_items(_text(path), name, list(words)))
    if not found:
        raise InvalidTask(f"--map: {name} holds no command; write one on each line.")
    return found


def task_of_item(task: ECSTask, item: Item) -> ECSTask:
    """Give the task that an item makes of the common one. Raises InvalidTask, naming the line."""
    try:
        return task.model_copy(update=item.changes)
    except InvalidTask as error:
        raise InvalidTask(f"{item.where}: {error}") from None


def _text(path: str) -> str:
    if path == STDIN:
        return text_of_stdin()
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidTask(f"--map: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidTask(f"--map: {path} is not UTF-8 text.") from None


def _items(text: str, name: str, words: list[str]) -> Iterator[Item]:
    # Not splitlines(): a command may hold any of the other characters that end a line for it.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            where = f"{name}:{number}"
            yield Item(where, _changes(line, where, words))


def _changes(line: str, where: str, words: list[str]) -> dict[str, Any]:
    """Read a line: JSON if it begins like it, else words as a shell splits them."""
    if line[0] not in "[{":
        return {"command": [*words, *_split(line, where)]}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidTask(
            f"{where}: is not valid JSON ({error}). A line is a command, a JSON list or a JSON object."
        ) from None
    if isinstance(value, list):
        if not all(isinstance(word, str) for word in value):
            raise InvalidTask(f"{where}: a JSON list must hold the words of the command, all of them text.")
        return {"command": [*words, *value]}
    if "run_id" in value:
        raise InvalidTask(f"{where}: a line has no run_id of its own; --run-id is followed by its index: ID/0, ID/1, …")
    return dict(value)


def _split(line: str, where: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InvalidTask(f"{where}: cannot be split as a shell would: {error}.") from None
