"""Blocks as files: saved whole or not at all, never overwritten unasked, loaded as they were."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from given import ROLE, block_fields
from hypothesis import given
from pydantic import SecretStr

from ecs_block import AwsCredentials, Block, BlockExists, BlockInvalid, BlockNotFound, ECSTask, InvalidTask
from ecs_block import block as module

REFERENCE = {"$secret": "env:DB"}


def home() -> Path:
    return Path(os.environ["ECS_BLOCK_HOME"])


def folder() -> Path:
    return home() / "blocks" / "ecs-task"


def everything() -> dict[str, bytes]:
    """What is in the home, file by file."""
    return {str(path): path.read_bytes() for path in home().rglob("*") if path.is_file()}


# --- there and back ---


@given(block_fields)
@pytest.mark.filterwarnings("ignore:launch_type:UserWarning", "ignore:env:UserWarning")
def test_what_is_saved_is_loaded(fields: dict[str, Any]) -> None:
    """A saved block is loaded as an equal one, with the same fields set."""
    task = ECSTask(**fields)
    task.save("job", overwrite=True)
    again = ECSTask.load("job")
    assert again == task
    assert again.model_fields_set == task.model_fields_set


def test_the_file() -> None:
    """The file is JSON with type, format version and what was set, for its owner only, in folders for its owner only."""
    path = ECSTask(command=["a"], labels={"team": "données"}).save("nightly-1.0_x")
    assert path == folder() / "nightly-1.0_x.json"
    assert json.loads(path.read_text()) == {
        "type": "ecs-task",
        "format_version": 1,
        "command": ["a"],
        "labels": {"team": "données"},
    }
    assert "données" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder().stat().st_mode) == 0o700


def test_any_path(tmp_path: Path) -> None:
    """A block goes to a file of any path, and comes back from it."""
    task = ECSTask(command=["a"])
    path = task.save_to(tmp_path / "new" / "block.json")
    assert ECSTask.load_from(path) == ECSTask.load_from(str(path)) == task
    with pytest.raises(BlockExists, match="overwrite=True"):
        task.save_to(path)


def test_yaml_is_read(tmp_path: Path) -> None:
    """A file that ends in .yaml is read as YAML, also without type and format version."""
    path = tmp_path / "block.yaml"
    path.write_text("command: [echo, hi]\ncpu: 256\nmemory: 512\ntask_watch_poll_interval: 2.5\nenv:\n  A: '1:30'\n")
    assert ECSTask.load_from(path).model_dump(exclude_unset=True) == {
        "type": "ecs-task",
        "command": ["echo", "hi"],
        "cpu": 256,
        "memory": 512,
        "task_watch_poll_interval": 2.5,
        "env": {"A": "1:30"},
    }


def test_without_the_variable_blocks_are_in_the_users_config_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without ECS_BLOCK_HOME blocks are saved where the platform keeps a user's configuration."""
    monkeypatch.delenv("ECS_BLOCK_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = ECSTask().save("x")
    assert path.is_relative_to(tmp_path)
    assert path.parts[-4:] == ("ecs_block", "blocks", "ecs-task", "x.json")
    assert ECSTask.list() == ["x"]


# --- never unasked ---


def test_an_existing_block_is_not_overwritten() -> None:
    """A taken name is BlockExists, and the saved block is as it was; overwrite=True replaces it."""
    path = ECSTask(command=["old"]).save("job")
    before = everything()
    with pytest.raises(BlockExists, match=r"ecs-task block 'job' exists already, at .*overwrite=True"):
        ECSTask(command=["new"]).save("job")
    assert everything() == before
    assert ECSTask(command=["new"]).save("job", overwrite=True) == path
    assert ECSTask.load("job").command == ["new"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_many_saves_at_once_one_wins() -> None:
    """Threads that save under one name: one succeeds, the others get BlockExists, and the file is whole."""
    gate, saved, refused = threading.Barrier(8), [], []

    def save(number: int) -> None:
        gate.wait()
        try:
            ECSTask(command=[str(number)] * 500).save("job")
            saved.append(number)
        except BlockExists:
            refused.append(number)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(saved), len(refused)) == (1, 7)
    assert ECSTask.load("job").command == [str(saved[0])] * 500
    assert [path.name for path in folder().iterdir()] == ["job.json"]


def failing(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


STEPS = [
    (tempfile, "mkstemp", True),
    (tempfile, "mkstemp", False),
    (os, "fsync", True),
    (os, "fsync", False),
    (os, "replace", True),
    (os, "link", False),
]


@pytest.mark.parametrize(("library", "step", "overwrite"), STEPS)
def test_a_failing_save_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, library: Any, step: str, overwrite: bool
) -> None:
    """Whichever step of a save fails (a full disk, say), no file is changed, and none is left behind."""
    ECSTask(command=["old"]).save("job")
    before = everything()
    with monkeypatch.context() as patched:
        patched.setattr(library, step, failing)
        with pytest.raises(BlockInvalid, match=r"was not saved: No space left on device .* Nothing was changed"):
            ECSTask(command=["new"]).save("job" if overwrite else "other", overwrite=overwrite)
    assert everything() == before


def test_an_interrupted_save_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a save goes up, and no temporary file stays."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ECSTask().save("job")
    assert list(folder().iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file is in its place the save has succeeded, also where a folder cannot be synced."""
    real = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            failing()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    assert ECSTask(command=["a"]).save("job").exists()


def test_a_folder_that_is_a_file() -> None:
    """Where no folder can be made the save is BlockInvalid with the reason."""
    home().write_text("in the way")
    with pytest.raises(BlockInvalid, match=r"was not saved: (Not a directory|File exists)"):
        ECSTask().save("job")


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_what_json_cannot_hold_is_not_saved(value: Any) -> None:
    """A value that JSON cannot hold is BlockInvalid, and no file is made."""
    task = ECSTask.model_construct(_fields_set={"task_run_request"}, task_run_request={"group": value})
    with pytest.raises(BlockInvalid, match=r"was not saved: .*JSON"):
        task.save("job")
    assert not home().exists()


# --- secrets ---


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"env": {"DB": SecretStr("hunter2")}}, r"env\.DB"),
        (
            {"cloudwatch_logs_options": {"t": SecretStr("hunter2")}, "stream_output": True, "execution_role_arn": ROLE},
            "cloudwatch_logs_options.t",
        ),
        (
            {"aws_credentials": AwsCredentials(aws_access_key_id="hunter2", aws_secret_access_key="hunter2")},
            r"aws_credentials\.aws_access_key_id",
        ),
    ],
)
def test_a_secret_is_not_saved_unasked(fields: dict[str, Any], named: str) -> None:
    """A hidden value refuses the save, naming the field and the way out, and writes nothing."""
    task = ECSTask(**fields)
    with pytest.raises(BlockInvalid, match=rf"field {named} holds a secret.*env:NAME.*include_secrets=True") as error:
        task.save("job")
    assert "hunter2" not in str(error.value)
    assert not home().exists()
    task.save("job", include_secrets=True)
    again = ECSTask.load("job")
    assert again == task
    assert "hunter2" not in repr(again) + again.model_dump_json()


def test_references_are_saved_as_they_are() -> None:
    """References to secrets go to the file and come back, without include_secrets."""
    keys = {"aws_access_key_id": REFERENCE, "aws_secret_access_key": {"$secret": "file:/run/key"}}
    task = ECSTask(env={"DB": REFERENCE}, aws_credentials=keys)
    content = json.loads(task.save("job").read_text())
    assert content["env"] == {"DB": REFERENCE}
    assert content["aws_credentials"] == keys
    assert ECSTask.load("job") == task


def test_a_plain_value_of_a_secret_name_warns() -> None:
    """A plain variable whose name says that it is secret is saved with a warning, at the caller's line."""
    with pytest.warns(UserWarning, match=r"env\.DB_PASSWORD looks like a secret") as caught:
        ECSTask(env={"DB_PASSWORD": "hunter2", "LEVEL": "x", "API_KEY": REFERENCE}).save("job")
    (warning,) = caught
    assert warning.filename == __file__
    assert "hunter2" not in str(warning.message)


# --- names ---

BAD_NAMES = [
    "../x",
    "..",
    ".",
    "",
    ".hidden",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a b",
    "Job",
    "job\n",
    "-job",
    "_job",
    "naïve",
    "x" * 101,
    "con",
    "nul.txt",
    "com1",
    5,
    None,
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize(
    "verb", [lambda name: ECSTask().save(name), ECSTask.load, ECSTask.delete], ids=["save", "load", "delete"]
)
def test_names_that_could_leave_the_folder(verb: Callable[[Any], Any], name: Any) -> None:
    """A name that is no plain file's is refused by every verb, and nothing is written."""
    with pytest.raises(BlockInvalid, match="cannot be the name of a block: use 1 to 100"):
        verb(name)
    assert not home().exists()


@pytest.mark.parametrize("name", ["a", "0", "x" * 100, "a.b-c_d", "console", "com10"])
def test_names(name: str) -> None:
    """Letters, digits, dots, dashes and underscores make a name, up to 100 of them."""
    ECSTask().save(name)
    assert ECSTask.list() == [name]
    ECSTask.load(name)


@pytest.mark.parametrize("type_", ["..", "../..", "/etc", "a/b"])
def test_types_that_could_leave_the_folder(type_: str) -> None:
    """A type is checked as a name is."""
    for verb in (lambda: Block.list(type_), lambda: Block.delete("x", type_)):
        with pytest.raises(BlockInvalid, match="cannot be the type of a block"):
            verb()


def test_a_link_in_the_home_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in place of a block's file is refused; outside of the home links are the user's own."""
    target = ECSTask(command=["a"]).save_to(tmp_path / "target.json")
    ECSTask().save("real")
    (folder() / "link.json").symlink_to(target)
    with pytest.raises(BlockInvalid, match=r"link\.json cannot be read"):
        ECSTask.load("link")
    with pytest.raises(BlockExists):
        ECSTask().save("link")
    (tmp_path / "alias.json").symlink_to(target)
    assert ECSTask.load_from(tmp_path / "alias.json").command == ["a"]


# --- finding and deleting ---


def test_a_block_that_is_not_there() -> None:
    """A missing block is BlockNotFound, with the nearest name and those that are there."""
    ECSTask().save("nightly")
    for verb in (ECSTask.load, ECSTask.delete):
        with pytest.raises(
            BlockNotFound, match=r"No ecs-task block 'nigtly'.*Did you mean 'nightly'\? Saved: nightly\."
        ):
            verb("nigtly")
    with pytest.raises(BlockNotFound, match=r"There is no block file .*x\.json"):
        ECSTask.load_from("x.json")


def test_list_and_delete() -> None:
    """Names are listed sorted, without what is no block; a deleted block is gone."""
    assert ECSTask.list() == []
    for name in ("b", "a"):
        ECSTask().save(name)
    (folder() / ".c.json.tmp").touch()
    (folder() / "Not A Block.json").touch()
    assert ECSTask.list() == ["a", "b"]
    ECSTask.delete("a")
    assert ECSTask.list() == ["b"]


@pytest.fixture
def other_type(monkeypatch: pytest.MonkeyPatch) -> type[Block]:
    """A block type of a user's own."""
    monkeypatch.setattr(module.Block, "_by_type", dict(module.Block._by_type))

    class Other(Block):
        type: Literal["other"] = "other"
        size: int = 1

    return Other


def test_block_itself_knows_all_types(other_type: type[Block]) -> None:
    """On `Block`, blocks of every type are listed, loaded and deleted, by `type/name`, by type= or by a name of one type."""
    ECSTask(command=["a"]).save("job")
    ECSTask().save("both")
    other_type(size=2).save("both")
    assert Block.list() == ["ecs-task/both", "ecs-task/job", "other/both"]
    assert Block.list(type="other") == other_type.list() == ["both"]
    assert Block.load("job") == ECSTask(command=["a"])
    assert Block.load("other/both") == other_type(size=2)
    with pytest.raises(BlockInvalid, match=r"Several types have a block 'both': ecs-task/both, other/both"):
        Block.load("both")
    Block.delete("both", type="other")
    Block.delete("ecs-task/both")
    Block.delete("job")
    assert Block.list() == []
    with pytest.raises(BlockNotFound, match="'job'"):
        Block.delete("job")


def test_a_file_of_another_type(other_type: type[Block]) -> None:
    """A file says what it is: another type than the one asked for is refused with its line."""
    path = other_type(size=2).save("x")
    with pytest.raises(BlockInvalid, match=r"x\.json:2: the field 'type' says 'other'; expected 'ecs-task'"):
        ECSTask.load_from(path)
    assert Block.load_from(path) == other_type(size=2)


def test_a_subclass_does_not_take_over_its_parents_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass with its parent's slug can be saved and loaded as itself; `Block` still gives the parent."""
    monkeypatch.setattr(module.Block, "_by_type", dict(module.Block._by_type))

    class Mine(ECSTask):
        more: int = 0

    Mine(more=3, command="a b").save("mine")
    assert Mine.load("mine").more == 3
    ECSTask().save("plain")
    assert type(Block.load("plain")) is ECSTask


# --- broken files ---

BROKEN = {
    "nothing": ("", ":1:1: this is not valid JSON"),
    "cut short": ('{\n "command": [', ":2:14: this is not valid JSON"),
    "no object": ('["a"]', ":1: a block is an object, not list"),
    "garbage behind": ("{}\n}", ":2:1: this is not valid JSON: Extra data"),
    "a byte order mark": ("\ufeff{}", ":1:1: it starts with a byte order mark"),
    "a key twice": ('{"name": "x",\n "env": {"A": "1",\n "A": "2"}}', ":3: .*the key 'A' stands twice"),
    "NaN": ('{"name": "NaN",\n "task_watch_poll_interval": NaN}', ":2: .*NaN is no JSON number"),
    "Infinity": ('{\n"cpu": -Infinity}', ":2: .*-Infinity is no JSON number"),
    "deep": ('{"env":' * 100_000, ":1: .*nested too deeply"),
    "a long number": ('{"cpu": ' + "9" * 5000 + "}", ":1: this is not a block: "),
    "a newer format": (
        '{"type": "ecs-task",\n "format_version": 2}',
        ":2: the format_version 2 was written by a newer",
    ),
    "no format": ('{"format_version": "1"}', ":1: the format_version '1' is not known"),
    "a boolean format": ('{"format_version": true}', ":1: the format_version True is not known"),
    "an unknown field": ('{\n\t"name": "x",\n\t"comand": "x"}', ":3: comand is not a field .*Did you mean 'command'"),
    "a wrong type": ('{"env": {"A": "1",\n "B": [2]}}', r":2: env\.B must be a string"),
    "a wrong combination": (
        '{"name": "x",\n "stream_output": true,\n "cpu": 256, "memory": 9999}',
        ":1: execution_role_arn is needed",
    ),
    "a wrong size": ('{"name": "x",\n "cpu": 256, "memory": 9999}', ":2: cpu 256 and memory 9999 are not a size"),
    "deep inside": (
        '{"task_definition": {\n "containerDefinitions": [\n {"name": "a"},\n {"nam": "b"}]}}',
        r":4: task_definition\.containerDefinitions\[1\]\.nam is not known to AWS",
    ),
    "an operation": (
        '{"task_customizations": [\n {"op": "remove", "path": "/a"},\n {"op": "x"}]}',
        r":3: task_customizations\[1\] has the op 'x'",
    ),
    "a masked secret": ('{"env":\n {"A": "**********"}}', r":2: env\.A is a masked value"),
    "credentials": ('{"aws_credentials":\n {"profil": "x"}}', r":2: aws_credentials\.profil is not a field"),
    "an unknown type": ('{\n"type": "x"}', ":2: the field 'type' says 'x'; expected 'ecs-task'"),
}


@pytest.mark.parametrize(("text", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_json(tmp_path: Path, text: str, told: str) -> None:
    """A file that is no block is BlockInvalid with file, line and field, and is left as it is."""
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BlockInvalid, match=rf"broken\.json{told}") as error:
        ECSTask.load_from(path)
    assert str(error.value).endswith("The file was left as it is.")
    assert path.read_text(encoding="utf-8") == text


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are BlockInvalid with their line, as is a folder, and a file that is far too large."""
    path = tmp_path / "broken.json"
    path.write_bytes(b'{"name":\n"\xff"}')
    with pytest.raises(BlockInvalid, match=r"broken\.json:2: this is not UTF-8"):
        ECSTask.load_from(path)
    with pytest.raises(BlockInvalid, match="Is a directory"):
        ECSTask.load_from(tmp_path)
    path.write_text(" " * (4 * 1024**2 + 1))
    with pytest.raises(BlockInvalid, match="larger than 4 MiB"):
        ECSTask.load_from(path)


BROKEN_YAML = {
    "a tag": ("name: !!python/object/apply:os.system ['true']", ":1:7: this is not valid YAML: could not determine"),
    "an alias": ("command: &a [x]\nlabels: *a", r":2:9: YAML aliases \(\*name\) are not accepted"),
    "a merge": ("a: &x {b: c}\nd:\n  <<: *x", ":3:7: YAML aliases"),
    "two documents": ("---\nname: a\n---\nname: b", ":3:1: this is not valid YAML"),
    "a tab": ("env:\n\tA: b", ":2:1: this is not valid YAML"),
    "no mapping": ("- a", ":1: a block is an object, not list"),
    "nothing": ("", ":1: a block is an object, not NoneType"),
    "a key twice": ("name: a\nname: b", ":2:1: the key 'name' stands twice"),
    "a boolean key": ("env:\n  on: x", ":2:3: the key 'on' is not read as text; write it in quotes"),
    "a number key": ("1: x", ":1:1: the key '1' is not read as text"),
    "a boolean value": ("env:\n  A: no", r":2: env\.A must be text, not a boolean"),
    "a time": ("env:\n  A: 1:30", ":2:6: this is read as another number"),
    "an octal": ("env:\n  A: 010", ":2:6: this is read as another number"),
    "a version": ("env:\n  A: 1.10", ":2:6: this is read as another number"),
    "a date": ("env:\n  A: 2026-11-20", r":2: env\.A must be a string"),
    "a broken date": ("name: 2026-13-45", ":1: this is not a block: month must be"),
    "deep": ("[" * 100_000, ":1:101: .*nested too deeply"),
    "an unknown field": ("name: a\nnam: b", ":2: nam is not a field"),
}


@pytest.mark.parametrize(("text", "told"), BROKEN_YAML.values(), ids=BROKEN_YAML)
def test_broken_yaml(tmp_path: Path, text: str, told: str) -> None:
    """YAML runs no code, unfolds nothing, and is refused where it reads other than people write."""
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(BlockInvalid, match=rf"broken\.yaml{told}"):
        ECSTask.load_from(path)
    assert path.read_text() == text


def test_a_broken_file_in_the_home_hides_no_other() -> None:
    """One broken block does not keep the others from being listed and loaded."""
    ECSTask().save("good")
    (folder() / "bad.json").write_text("{")
    assert ECSTask.list() == ["bad", "good"]
    ECSTask.load("good")
    with pytest.raises(BlockInvalid, match=r"bad\.json:1:2"):
        ECSTask.load("bad")


def test_block_errors_are_no_invalid_task() -> None:
    """What is wrong with a file is a BlockError, also where the block in it would be an InvalidTask."""
    assert not issubclass(BlockInvalid, InvalidTask)
