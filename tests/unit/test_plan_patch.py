"""JSON 6902 operations: bounded, checked, and told apart by index, operation and path."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import ECSTask, JsonPatch, PatchError
from ecs_block.plan.patch import LARGEST_RESULT, MOST_OPERATIONS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DOCUMENT = {
    "cluster": "c",
    "count": 1,
    "tags": [{"key": "a", "value": "secret-in-the-document"}],
    "overrides": {"containerOverrides": [{"name": "main", "environment": []}]},
}
tokens = st.sampled_from(
    ["cluster", "tags", "overrides", "containerOverrides", "0", "-", "-1", "²", "~", "~1", "", "9" * 5000]
)
paths = st.lists(tokens | st.text(max_size=4), max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": paths},
    optional={"value": json_values, "from": paths},
)


@given(json_values | st.lists(operations | json_values, max_size=4))
def test_any_json_is_a_patch_or_a_patch_error(value: Any) -> None:
    """Whatever JSON is given as operations, it is a patch or a PatchError, as a value and as text."""
    for given_one in (value, json.dumps(value)):
        try:
            patch = JsonPatch(given_one)
        except PatchError:
            continue
        assert json.loads(json.dumps(patch.operations)) == patch.operations


@given(st.lists(operations, max_size=5))
def test_operations_apply_or_say_which_does_not(given_ones: list[dict[str, Any]]) -> None:
    """Operations give a document, or a PatchError with the index, and never show the document's values."""
    before = copy.deepcopy(DOCUMENT)
    result, told = {}, "task_customizations[0]"
    try:
        result = JsonPatch(given_ones).apply(DOCUMENT)
    except PatchError as error:
        told = str(error)
    assert told.startswith("task_customizations[")
    assert "secret-in-the-document" not in told
    assert isinstance(json.loads(json.dumps(result)), dict)
    assert before == DOCUMENT


MALFORMED = {
    "no list": ({"op": "add", "path": "/a", "value": 1}, "must be a list"),
    "a number": (5, "must be a list"),
    "broken text": ("[{", "not valid JSON"),
    "deep text": ("[" * 100_000, "nested too deeply"),
    "a word": (["add"], r"\[0\] must be an object"),
    "no op": ([{"path": "/a"}], r"\[0\] has the op None; JSON 6902 knows add"),
    "unknown op": ([{"op": "ad", "path": "/a"}], r"\[0\] has the op 'ad'"),
    "a list for an op": ([{"op": ["add"], "path": "/a"}], r"\[0\] has the op a list"),
    "no path": ([{"op": "remove"}], r"\[0\] \(remove\) needs a 'path'"),
    "the root": ([{"op": "replace", "path": "", "value": {}}], r"\(replace\) needs a 'path' that starts with '/'"),
    "no slash": ([{"op": "remove", "path": "a"}], "starts with '/'"),
    "no value": ([{"op": "add", "path": "/a"}], r"\(add /a\) lacks 'value'"),
    "no from": ([{"op": "move", "path": "/a"}], r"\(move /a\) lacks 'from'"),
    "the root as from": ([{"op": "copy", "path": "/a", "from": ""}], "needs a 'from' that starts with '/'"),
    "too many": ([{"op": "remove", "path": "/a"}] * (MOST_OPERATIONS + 1), "201 operations; at most 200"),
    "the second": ([{"op": "remove", "path": "/a"}, {"op": "x"}], r"task_customizations\[1\]"),
}


@pytest.mark.parametrize(("value", "told"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(value: Any, told: str) -> None:
    """A malformed operation is refused when the block is made, with its index and what would be right."""
    with pytest.raises(PatchError, match=told):
        JsonPatch(value)
    with pytest.raises(PatchError, match=told):
        ECSTask(task_customizations=value)


FAILING = [
    (
        [{"op": "remove", "path": "/nope"}],
        r"\[0\] \(remove /nope\) does not apply: .* nothing at /nope; .* as far as /\.",
    ),
    ([{"op": "add", "path": "/tags/5", "value": 1}], r"\(add /tags/5\).* as far as /tags\."),
    ([{"op": "add", "path": "/count/x", "value": 1}], r"\(add /count/x\).* as far as /count\."),
    ([{"op": "remove", "path": "/count/x/y"}], r"\(remove /count/x/y\).* as far as /count\."),
    ([{"op": "replace", "path": "/overrides/cpu/x", "value": 1}], r"as far as /overrides\."),
    ([{"op": "move", "path": "/a", "from": "/b/c"}], r"nothing at /b/c"),
    (
        [{"op": "test", "path": "/cluster", "value": "other"}],
        r"\(test /cluster\) failed: the value there is another one",
    ),
    ([{"op": "add", "path": "/cluster/²", "value": 1}], r"as far as /cluster\."),
    ([{"op": "add", "path": "/tags/²", "value": 1}], r"as far as /tags\."),
    ([{"op": "remove", "path": "/tags/" + "9" * 5000}], r"as far as /tags\."),
]


@pytest.mark.parametrize(("value", "told"), FAILING)
def test_what_does_not_apply(value: Any, told: str) -> None:
    """The message says how far the path leads into the request, and not what stands there."""
    with pytest.raises(PatchError, match=told) as error:
        JsonPatch(value).apply(DOCUMENT)
    assert "secret-in-the-document" not in str(error.value)


def test_a_copy_bomb_is_stopped() -> None:
    """Copies that double the request end at 256 KiB, long before they fill the memory."""
    bomb = [{"op": "add", "path": "/a", "value": ["x" * 100]}]
    bomb += [{"op": "copy", "from": "/a", "path": "/a/-"} for _ in range(100)]
    with pytest.raises(PatchError, match=rf"customizations\[1\d\] .* larger than {LARGEST_RESULT // 1024} KiB"):
        JsonPatch(bomb).apply({})


def test_the_document_is_not_touched() -> None:
    """A patch is applied to a copy, and its own values stay its own."""
    patch = JsonPatch([{"op": "add", "path": "/a", "value": []}, {"op": "add", "path": "/a/-", "value": 1}])
    assert patch.apply({}) == patch.apply({}) == {"a": [1]}


OPERATIONS = [{"op": "add", "path": "/group", "value": "batch"}]


@pytest.mark.parametrize(
    "given_one",
    [
        OPERATIONS,
        tuple(OPERATIONS),
        json.dumps(OPERATIONS),
        json.dumps(OPERATIONS).encode(),
        JsonPatch(OPERATIONS),
        jsonpatch.JsonPatch(OPERATIONS),
    ],
    ids=["list", "tuple", "text", "bytes", "JsonPatch", "the library's"],
)
def test_what_a_patch_is_made_of(given_one: Any) -> None:
    """A list, JSON text, one of ours and one of the jsonpatch library's make the same patch."""
    made = ECSTask(task_customizations=given_one).task_customizations
    assert made == JsonPatch(OPERATIONS)
    assert (list(made), len(made)) == (OPERATIONS, 1)
    assert hash(made) == hash(JsonPatch(OPERATIONS))
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_patch_shows_no_values() -> None:
    """The repr of a patch shows operations and paths: a value may be secret."""
    assert repr(JsonPatch(OPERATIONS)) == "JsonPatch([add /group])"


def test_handed_out_operations_are_copies() -> None:
    """Changing what `operations` gives changes no patch."""
    patch = JsonPatch(OPERATIONS)
    patch.operations[0]["path"] = "/other"
    assert patch.operations == OPERATIONS
