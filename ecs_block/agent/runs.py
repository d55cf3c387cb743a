"""The engine's runs, as an agent starts them: under a run id, told to nobody's terminal, and never stopped with the agent."""

from __future__ import annotations

from typing import Any

from ecs_block.agent.job import Job
from ecs_block.agent.recipe import Recipe
from ecs_block.aws import Aws, AwsCredentials
from ecs_block.engine.clock import SYSTEM_CLOCK
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Entry
from ecs_block.engine.prepare import Run
from ecs_block.engine.record import RunJournal
from ecs_block.events import Hook
from ecs_block.task import ECSTask


class Runs:
    """Makes runs of jobs, and of what the journal has of them."""

    def __init__(self, recipe: Recipe, conversation: Conversation | None = None) -> None:
        self._recipe = recipe
        self._conversation = conversation
        self._conversations: dict[tuple[Any, ...], Conversation] = {}

    async def of_job(self, job: Job, books: RunJournal, hook: Hook) -> Run:
        """Make the run of a job. Raises InvalidTask or AwsError."""
        return self._of(await self._recipe.task_for(job), books, hook)

    def of_entry(self, entry: Entry, books: RunJournal, hook: Hook) -> Run:
        """Make the run of what is recorded, with who talks to AWS where it was launched."""
        return self._of(ECSTask(aws_credentials=self._credentials_for(entry)), books, hook)

    def _of(self, task: ECSTask, books: RunJournal, hook: Hook) -> Run:
        run = task._run(books.run_id, hook, stops=False, conversation=self._with(task.aws_credentials))
        run.journal = books
        return run

    def _with(self, credentials: AwsCredentials) -> Conversation:
        """Give the one conversation of these credentials, so that all tasks share a watcher."""
        if self._conversation is not None:
            return self._conversation
        key = credentials.identity()
        if key not in self._conversations:
            self._conversations[key] = Conversation(Aws(credentials), SYSTEM_CLOCK)
        return self._conversations[key]

    def _credentials_for(self, entry: Entry) -> AwsCredentials:
        """Give the agent's credentials, for the region and the endpoint at which the run was launched."""
        credentials = self._recipe.aws_credentials
        if self._with(credentials).aws.region != entry.place.region:
            credentials = credentials.model_copy(update={"region_name": entry.place.region})
        if self._with(credentials).aws.endpoint != entry.place.endpoint:
            credentials = credentials.model_copy(update={"endpoint_url": entry.place.endpoint})
        return credentials
