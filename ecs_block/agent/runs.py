"""The engine's runs, as an agent starts them: under a run id, told to nobody's terminal, and never stopped with the agent."""

from __future__ import annotations

from ecs_block.agent.job import Job
from ecs_block.agent.recipe import Recipe
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.conversations import Conversations
from ecs_block.engine.journal import Entry
from ecs_block.engine.prepare import Run
from ecs_block.engine.record import RunJournal
from ecs_block.events import Hook
from ecs_block.task import ECSTask


class Runs:
    """Makes runs of jobs, and of what the journal has of them."""

    def __init__(self, recipe: Recipe, conversation: Conversation | None = None) -> None:
        self._recipe = recipe
        self._conversations = Conversations(conversation)

    async def of_job(self, job: Job, books: RunJournal, hook: Hook) -> Run:
        """Make the run of a job. Raises InvalidTask or AwsError."""
        return self._of(await self._recipe.task_for(job), books, hook)

    def of_entry(self, entry: Entry, books: RunJournal, hook: Hook) -> Run:
        """Make the run of what is recorded, with who talks to AWS where it was launched."""
        credentials = self._conversations.at(entry.place, self._recipe.aws_credentials)
        return self._of(ECSTask(aws_credentials=credentials), books, hook)

    def _of(self, task: ECSTask, books: RunJournal, hook: Hook) -> Run:
        run = task._run(books.run_id, hook, stops=False, conversation=self._conversations.of(task.aws_credentials))
        run.journal = books
        return run
