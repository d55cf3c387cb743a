"""`Agent`: a process that takes jobs from a queue and runs each, once, as an ECS task."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from ecs_block.agent.books import Books
from ecs_block.agent.health import StatusServer
from ecs_block.agent.loop import Loop
from ecs_block.agent.queue import LONGEST_WAIT, RunQueue
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.recipe import Recipe, recipe_of
from ecs_block.agent.runs import Runs
from ecs_block.agent.trust import DEFAULT_ALLOW, checked_allow
from ecs_block.agent.view import View
from ecs_block.agent.work import Work
from ecs_block.aws import AwsCredentials
from ecs_block.engine.clock import SYSTEM_CLOCK
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.record import RunJournal
from ecs_block.engine.signals import into_this_loop
from ecs_block.errors import InvalidTask
from ecs_block.events import Event, Hook

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult
    from ecs_block.task import ECSTask

logger = logging.getLogger("ecs_block.agent")

DEFAULT_NAME = "ecs-block-agent"
LONGEST_END = 29.0  # seconds after a signal in which the process ends, whatever hangs

# What `recipe_of` takes beside boto3's arguments.
_OF_THE_RECIPE = (
    "env_vars", "launch_type", "enable_task_revisions", "use_external_kwargs", "external_kwargs_s3_bucket",
    "external_kwargs_s3_key", "no_logs",
)  # fmt: skip


class Agent:
    """Take jobs from a queue and run each, once, as an ECS task.

    `block` is what the tasks are made of, `arguments` any of `register_task_definition` and `run_task` in AWS's spelling; or
    `recipe` makes them. A job is taken if the agent has all of its `labels`, and may set what `allow` names. At most `limit`
    tasks run at once; after `max_polls` polls the agent waits for its tasks and ends. `agent_address` is where health and
    status are shown (`http://127.0.0.1:8080`). `on_event` receives what happens, to jobs (`agent.view.JobChanged`) and to
    tasks (`ecs_block.events`). `poll_seconds` is how long one poll waits for a job: so long may it take to stop an idle agent.

    Raises InvalidTask, before anything is done, for what cannot be right.
    """

    def __init__(
        self,
        queue: RunQueue | str,
        recipe: Recipe | None = None,
        *,
        block: ECSTask | None = None,
        name: str = DEFAULT_NAME,
        labels: Sequence[str] = (),
        allow: Sequence[str] = DEFAULT_ALLOW,
        limit: int | None = None,
        max_polls: int | None = None,
        agent_address: str | None = None,
        aws_credentials: AwsCredentials | None = None,
        on_event: Hook | None = None,
        journal: RunJournal | None = None,
        conversation: Conversation | None = None,
        poll_seconds: int = LONGEST_WAIT,
        **arguments: Any,
    ) -> None:
        for what, number in (("limit", limit), ("max_polls", max_polls)):
            if number is not None and number < 1:
                raise InvalidTask(f"{what} is {number}; it must be 1 or more, or left out.")
        if recipe is not None and (block is not None or arguments):
            raise InvalidTask("A recipe makes the tasks by itself; give it, or a block and arguments, but not both.")
        self.recipe = recipe or _recipe(block, aws_credentials, arguments)
        credentials = aws_credentials or self.recipe.aws_credentials
        self.queue = queue if isinstance(queue, RunQueue) else RunQueue(queue, credentials, conversation=conversation)
        self.name, self.labels, self.allow = name, tuple(labels), checked_allow(allow)
        self.limit, self.max_polls, self.agent_address = limit, max_polls, agent_address
        on_event = None if on_event is None else _guarded(on_event)
        self._hook, self._journal, self._conversation = on_event, journal, conversation
        self._clock = SYSTEM_CLOCK if conversation is None else conversation.clock
        self.poll_seconds = poll_seconds
        self._loop: Loop | None = None
        self._call: Callable[[Callable[[], Any]], Any] | None = None
        self._stopped = False
        self.status_url: str | None = None
        """Where the status is shown, while it is."""
        about = {"name": name, "queue": self.queue.name, "labels": list(labels), "limit": limit, "process": os.getpid()}
        self.view = View(about, self._clock.now, self._clock.wall, on_event)

    # --- running --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run until SIGTERM, SIGINT, `stop()`, or the last of `max_polls`. Raises InvalidTask."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            anyio.run(self.astart)
            return
        thread = _Thread(lambda: anyio.run(self.astart))  # as in a notebook, whose own loop runs in this thread
        thread.start()
        thread.result()

    async def astart(self) -> None:
        """Run as `start` does."""
        books = Books(self.queue, self._journal)
        receipts = Receipts(self.queue, self._clock)
        work = Work(
            self.queue, Runs(self.recipe, self._conversation), books, receipts, self.view, self._clock,
            labels=self.labels, allow=self.allow, hook=self._hook,
        )  # fmt: skip
        loop = Loop(
            self.queue, books, receipts, work, self.view, self._clock, limit=self.limit, max_polls=self.max_polls,
            wait=self.poll_seconds,
        )  # fmt: skip
        self._call, self._loop = into_this_loop(), loop
        with _signals(self.stop):
            await self._greet(loop)
            if self._stopped:
                return
            with self._status():
                await loop.run()
        logger.info("The agent %s has ended; tasks that run go on.", self.name, extra={"state": "stopped"})

    def stop(self) -> None:
        """End soon: receive nothing more, finish launches, leave running tasks alone. May be called from any thread."""
        if not self._stopped:
            logger.info(
                "The agent %s ends: it finishes launches, and waits for its last poll, at most %d s.", self.name,
                self.poll_seconds, extra={"state": "stopping"},
            )  # fmt: skip
        self._stopped = True
        if self._call is not None and self._loop is not None:
            self._call(self._loop.end)

    async def _greet(self, loop: Loop) -> None:
        """Say what begins. Raises InvalidTask when no client can be made; what AWS refuses now is tried again later."""
        logger.info(
            "The agent %s takes jobs from %s%s%s.", self.name, self.queue.url,
            f" with the labels {', '.join(self.labels)}" if self.labels else "",
            f", {self.limit} at once" if self.limit else "", extra={"state": "starting"},
        )  # fmt: skip
        found = await loop.look()
        if found is not None and found.dead_letters is None and self.queue.dead_letter_url is None:
            logger.warning(
                "The queue %s has no dead-letter queue: what is no job is kept in files on this machine.",
                self.queue.name,
            )

    @contextmanager
    def _status(self) -> Iterator[None]:
        if self.agent_address is None:
            yield
            return
        server = StatusServer(self.agent_address, self.view)
        server.start()
        self.status_url = server.url
        logger.info("Status: %s", server.url, extra={"address": server.url})
        try:
            yield
        finally:
            server.stop()

    # --- checking beforehand --------------------------------------------------------------------------------------------

    async def avalidate_configuration(self) -> ECSTaskResult:
        """Prove that the definition registers and that a task can run, then clean up. Raises what `ECSTask.run` raises."""
        from ecs_block.agent.validation import validate

        return await validate(self.recipe, on_event=self._hook)

    def validate_configuration(self) -> ECSTaskResult:
        """Prove that the configuration works, as `avalidate_configuration` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        return bridge.block_on(self.avalidate_configuration, Control())


def _recipe(block: ECSTask | None, credentials: AwsCredentials | None, arguments: dict[str, Any]) -> Recipe:
    ours = {name: arguments.pop(name) for name in _OF_THE_RECIPE if name in arguments}
    return recipe_of(block, arguments, aws_credentials=credentials, **ours)


def _guarded(hook: Hook) -> Hook:
    """Make sure that a hook which raises is reported once, and harms no job."""
    hooks = [hook]

    def told(event: Event) -> None:
        for one in hooks:
            try:
                one(event)
            except Exception:
                hooks.clear()
                logger.exception("The hook %r raised, and is not called any more; the agent goes on.", one)

    return told


class _Thread(threading.Thread):
    """A thread that gives what it raised."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="ecs_block agent")
        self._work = work
        self._error: BaseException | None = None

    def run(self) -> None:
        """Work."""
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> None:
        """Wait for the end, and raise what was raised."""
        self.join()
        if self._error is not None:
            raise self._error


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the agent, the second one at once; a program's own handlers are left alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    soon = into_this_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    ours = [number for number, handler in before.items() if _is_nobodys(handler)]
    timer = threading.Timer(LONGEST_END, _leave, [0])  # a call that hangs must not outlast who told us to end
    timer.daemon = True

    def heard(number: int, frame: Any) -> None:
        if timer.ident is not None:
            _leave(128 + number)
        timer.start()
        soon(stop)  # not here: what is interrupted may be just writing a line of the log

    for number in ours:
        signal.signal(number, heard)
    try:
        yield
    finally:
        timer.cancel()  # the program may go on
        for number in ours:
            signal.signal(number, before[number])


def _is_nobodys(handler: Any) -> bool:
    """Tell whether a signal's handler is Python's own, or the one with which asyncio cancels its main task at Ctrl-C."""
    if handler in (signal.SIG_DFL, signal.default_int_handler):
        return True
    return isinstance(handler, partial) and getattr(handler.func, "__name__", "") == "_on_sigint"


def _leave(code: int) -> None:
    """End the process now. Nothing is lost: what was launched is in the journal, what was not comes again."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(code)
