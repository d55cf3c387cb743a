"""Clients are shared, and not kept for ever."""

from __future__ import annotations

import pytest

from ecs_block.aws import AwsCredentials, clients


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Make nothing of boto3; give what was made."""
    made: list[object] = []

    def new_client(*args: object) -> object:
        made.append(object())
        return made[-1]

    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.setattr(clients, "_new_client", new_client)
    monkeypatch.setattr(clients, "Login", lambda credentials: None)
    return made


def caller(number: int) -> AwsCredentials:
    return AwsCredentials(aws_access_key_id=f"AKIA{number}", aws_secret_access_key="s", region_name="eu-west-1")


def test_a_client_is_made_once(made: list[object]) -> None:
    """For a caller, a service and a region."""
    assert clients.client(caller(1), "ecs") is clients.client(caller(1), "ecs")
    assert clients.client(caller(1), "ecs") is not clients.client(caller(1), "logs")
    assert clients.client(caller(1), "ecs") is not clients.client(caller(1), "ecs", "us-east-1")
    assert len(made) == 3


def test_of_many_callers_those_are_kept_that_spoke_last(made: list[object]) -> None:
    """A process that speaks for a thousand callers has not a thousand clients; who speaks on keeps his."""
    mine = clients.client(caller(0), "ecs")
    for number in range(1, 1000):
        clients.client(caller(number), "ecs")
        assert clients.client(caller(0), "ecs") is mine
    assert len(clients._clients) == clients.MOST_CLIENTS
    assert clients.known_client(caller(999), "ecs", None) is not None
    assert clients.known_client(caller(1), "ecs", None) is None
