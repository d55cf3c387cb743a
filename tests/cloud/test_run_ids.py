"""Run ids of many runs, and what the other verbs write into the journal: a real server, real processes."""

from __future__ import annotations

import pytest

from ecs_block import ECSTask, InvalidTask
from ecs_block.engine.journal import Journal, journal
from ecs_block.home import home
from ecs_block.local import LocalCloud


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def task(cloud):
    return ECSTask(command=["true"], aws_credentials=cloud.credentials)


def entries():
    return {entry.run_id: entry for entry in journal().latest()}


# --- map ---------------------------------------------------------------------------------------------------------------


def test_each_item_of_a_map_is_launched_once(cloud, task):
    """Under `<run_id>/<index>`, also where the items are the same; the same map again launches nothing."""
    commands = ["true", "true", "sh -c 'exit 3'"]
    cloud.calls.clear()
    first = task.map(commands, run_id="nightly")
    again = task.map(commands, run_id="nightly")
    assert [result.status_code for result in first] == [0, 0, 3]
    assert again == first
    assert cloud.calls["ecs:RunTask"] == 3
    assert set(entries()) == {"nightly/0", "nightly/1", "nightly/2"}
    assert {item["startedBy"] for item in cloud.tasks} >= set(entries())


def test_a_map_takes_an_id_for_each_item(cloud, task):
    """A sequence; what has run under its id is not run again."""
    done = task.run(run_id="b")
    results = task.map([["true"], ["true"]], run_id=("a", "b"))
    assert results[1].identifier == done.identifier != results[0].identifier


@pytest.mark.asyncio
async def test_amap_has_run_ids_too(task):
    """The awaited colour."""
    results = [result async for result in task.amap(["true"], run_id="awaited")]
    assert (len(results), set(entries())) == (1, {"awaited/0"})


@pytest.mark.parametrize(
    ("run_id", "commands", "said"),
    [
        (["a"], ["true", "true"], "1 ids for 2 commands"),
        (["a", "b", "a", "b"], ["true"] * 4, "'a', 'b' more than once"),
        ("not good", ["true"], "' '"),
        ("", [], "0 characters"),
        (["a", "b c"], ["true", "true"], "'b c'"),
        ("x" * 127, ["true"], "129 characters"),
        (None, [{"run_id": "a"}], r"Item 0 .*run_id=\[...\]"),
        ("a", [{"command": "true"}, {"run_id": "b"}], "Item 1"),
    ],
)
def test_run_ids_that_do_not_fit_are_refused_before_any_call(cloud, task, run_id, commands, said):
    """Naming what is wrong; the journal stays empty."""
    cloud.calls.clear()
    with pytest.raises(InvalidTask, match=said):
        task.map(commands, run_id=run_id)
    assert not cloud.calls
    assert not (home("state") / "journal.sqlite3").exists()


# --- the other verbs ---------------------------------------------------------------------------------------------------


def test_attach_records_the_outcome(task):
    """Of a run that its process left."""
    identifier = task.start(run_id="left")
    assert entries()["left"].state == "launched"
    result = task.attach(identifier)
    assert entries()["left"].outcome["identifier"] == result.identifier


def test_attach_to_one_of_several_does_not_speak_for_the_run(cloud, task):
    """The run's outcome is that of all of them."""
    several = task.model_copy(update={"task_run_request": {"count": 2}})
    journal_entry = several.run(run_id="two")
    assert len(journal_entry.tasks) == 2
    known = entries()["two"]
    task.attach(journal_entry.tasks[0].identifier)
    assert entries()["two"] == known


def test_kill_notes_that_the_run_is_to_end(task):
    """And the same run id then tells so, without a second task."""
    task = task.model_copy(update={"command": ["sleep", "60"]})
    identifier = task.start(run_id="killed")
    task.kill(identifier)
    assert entries()["killed"].stop_reason == "killed by the user"
    assert task.run(run_id="killed").outcome == "stopped"


def test_reading_makes_no_journal(task):
    """attach and kill without one."""
    identifier = task.start()
    task.attach(identifier)
    task.kill(identifier)
    assert not (home("state") / "journal.sqlite3").exists()


def test_a_journal_that_cannot_be_read_is_no_reason_not_to_stop_a_task(cloud, task, caplog):
    """What it would have said is said in a warning."""
    identifier = task.model_copy(update={"command": ["sleep", "60"]}).start()
    path = home("state") / "journal.sqlite3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no database " * 100)
    task.kill(identifier)
    assert task.attach(identifier).outcome == "stopped"
    assert "journal" in caplog.text
    with pytest.raises(Exception, match="left as it is"):
        Journal(path).latest()
