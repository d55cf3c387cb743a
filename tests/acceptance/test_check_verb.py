"""`ecs-block check` as its users meet it."""

from __future__ import annotations

import json


def test_what_would_run_is_marked_and_exits_0(on_aws):
    """A line for each thing that was looked at, on stdout."""
    done = on_aws("check", "--", "true")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✓ credentials: ")
    assert any(line.startswith("✓ cluster: default is active") for line in lines)


def test_what_would_not_run_exits_1_with_what_to_do(on_aws):
    """So that `check && run` does not run."""
    done = on_aws("check", "--cluster", "nope", "--", "true")
    assert done.returncode == 1
    assert "✗ cluster: nope does not exist" in done.stdout
    assert "create-cluster" in done.stdout


def test_findings_as_json(on_aws):
    """One object, and a part of it."""
    done = on_aws("check", "--cluster", "nope", "--output", "json", "--", "true")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert {"name", "state", "said", "advice"} == set(told["findings"][0])
    part = on_aws("check", "--cluster", "nope", "--query", "findings[?state=='failed'].name", "--", "true")
    assert json.loads(part.stdout) == ["cluster"]


def test_without_credentials_the_first_line_says_so(ecs_block):
    """And nothing else is looked at."""
    done = ecs_block("check", "--region", "us-east-1", "--", "true", AWS_EC2_METADATA_DISABLED="true")
    assert done.returncode == 1
    assert done.stdout.startswith("✗ credentials: ")
    assert len(done.stdout.splitlines()) == 1


def test_an_unknown_field_is_wrong_usage(on_aws):
    """As for `run`."""
    done = on_aws("check", "--set", "clutser=a", "--", "true")
    assert done.returncode == 2
    assert "Did you mean 'cluster'" in done.stderr


def test_on_a_terminal_findings_stand_in_columns(terminal, role):
    """Broken between words, with a last line that says what it comes to."""
    with terminal("check", "--cluster", "nope", "--execution-role", role, "--", "true", columns=80) as screen:
        assert screen.end() == 1
    assert screen.lines[0].startswith("✓ credentials      ")
    [cluster] = [line for line in screen.lines if line.startswith("✗ cluster")]
    assert cluster.startswith("✗ cluster          nope does not exist")
    assert all(len(line) < 80 for line in screen.lines)
    assert all(line[:2] in ("✓ ", "! ", "✗ ", "? ") or line.startswith(" " * 19) for line in screen.lines[:-1])
    assert screen.lines[-1].startswith("ecs-block: a run would fail: ")
