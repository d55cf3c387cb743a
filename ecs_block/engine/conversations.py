"""Conversations that many runs share: one for each set of credentials, so that all of their tasks have one watcher."""

from __future__ import annotations

from typing import Any

from ecs_block.aws import Aws, AwsCredentials
from ecs_block.engine.clock import SYSTEM_CLOCK
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Place


class Conversations:
    """The conversations of one process. `only` is the one for all credentials, where it is given."""

    def __init__(self, only: Conversation | None = None) -> None:
        self._only = only
        self._by_credentials: dict[tuple[Any, ...], Conversation] = {}

    def of(self, credentials: AwsCredentials) -> Conversation:
        """Give the conversation of these credentials."""
        if self._only is not None:
            return self._only
        key = credentials.identity()
        if key not in self._by_credentials:
            self._by_credentials[key] = Conversation(Aws(credentials), SYSTEM_CLOCK)
        return self._by_credentials[key]

    def at(self, place: Place, credentials: AwsCredentials) -> AwsCredentials:
        """Give credentials for the region and the endpoint at which a run was launched: the same, where they fit."""
        if self.of(credentials).aws.region != place.region:
            credentials = credentials.model_copy(update={"region_name": place.region})
        if self.of(credentials).aws.endpoint != place.endpoint:
            credentials = credentials.model_copy(update={"endpoint_url": place.endpoint})
        return credentials
