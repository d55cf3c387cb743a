"""What a run would change about the task definition at AWS: nothing, or which lines of it. AWS is only asked.

The forms that are compared are those that a run compares, so "the same" here is "reused" there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ecs_block.arn import short_name
from ecs_block.aws import input_shape, output_only, redactor
from ecs_block.engine import registry
from ecs_block.engine.prepare import Run
from ecs_block.engine.secrets import revealer
from ecs_block.plan import sameness
from ecs_block.plan import sketch as plans
from ecs_block.plan.image import official_python_image
from ecs_block.plan.sameness import Definition
from ecs_block.plan.sketch import Facts

NOTHING = "/dev/null"  # what diff(1) calls a side that is not there
_FIRST = ("family", "name")  # of each mapping; the rest by the alphabet
_WHOLE_LINE = 10_000


@dataclass(frozen=True)
class Difference:
    """A definition as a run would send it, beside the revision that it is compared with."""

    wanted: Definition
    known: Mapping[str, Any] | None
    """As AWS described it; None where the family has no active revision."""
    change: Literal["none", "new revision", "new family"]
    copied: bool
    """True when a definition that the block links would be copied with changes."""
    generated: bool
    """True when the family's name is made of the definition's content, so that a change makes another family."""

    @property
    def family(self) -> str:
        """Where a revision would be registered."""
        return str(self.wanted["family"])

    @property
    def revision(self) -> str | None:
        """`family:3`, as AWS has it."""
        return None if self.known is None else short_name(str(self.known["taskDefinitionArn"]))

    def lines(self) -> list[str]:
        """Give the difference as diff(1) would, of YAML, in the form in which definitions are compared, secrets masked.

        Where only what is masked differs, a line after the others names it.
        """
        if self.change == "none":
            return []
        one, other = self._canonical()
        shown = redactor().payload(one), redactor().payload(other)
        before, after = [_yaml(side).splitlines() if side else [] for side in shown]
        at_aws = NOTHING if self.revision is None else f"{self.revision} (at AWS)"
        here = f"{self.family} (as this block has it)"
        told = difflib.unified_diff(before, after, at_aws, here, lineterm="")
        return [*told, *(f"# {path}; its value is masked" for path in _hidden((one, other), shown))]

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON, with the paths that differ."""
        one, other = self._canonical()
        return {
            "change": self.change,
            "family": self.family,
            "revision": self.revision,
            "differences": [] if self.change == "none" else sameness.differences_of(one, other),
            "diff": self.lines(),
        }

    def _canonical(self) -> tuple[Definition, Definition]:
        left_out = output_only()
        known = {} if self.known is None else sameness.canonical(self.known, left_out)
        return known, sameness.canonical(self.wanted, left_out)


async def difference(run: Run) -> Difference:
    """Compare the definition that a run would use with what AWS has. Raises InvalidTask or AwsError."""
    fields, conversation = run.fields, run.conversation
    reveal = await revealer(conversation, fields.cloudwatch_logs_options.values())
    facts = Facts(conversation.aws.region, official_python_image(), reveal, {})
    arn = fields.task_definition_arn
    linked = None if arn is None else await registry.describe_linked(conversation, arn)
    plan = plans.sketch(fields, linked, facts)
    if linked is not None and sameness.same(linked, plan.definition, output_only()):
        return Difference(plan.definition, linked, "none", copied=False, generated=False)
    wanted = sameness.registrable(plan.definition, output_only())
    plans.check_definition(wanted, input_shape("RegisterTaskDefinition"))
    latest = await registry.latest_of(conversation, wanted["family"])
    generated = arn is None and not (fields.family or (fields.task_definition or {}).get("family"))
    if latest is not None and sameness.same(latest, wanted, output_only()):
        return Difference(wanted, latest, "none", copied=linked is not None, generated=generated)
    # Of a linked definition the revision that was linked tells what the block's own fields change.
    known = latest if linked is None else linked
    change: Literal["new revision", "new family"] = "new family" if latest is None else "new revision"
    return Difference(wanted, known, change, copied=linked is not None, generated=generated)


def _hidden(forms: tuple[Any, Any], shown: tuple[Any, Any]) -> list[str]:
    """List what differs, but looks the same once it is masked."""
    seen = set(sameness.differences_of(*shown))
    return [path for path in sameness.differences_of(*forms) if path not in seen]


def _yaml(content: Any) -> str:
    import yaml

    return yaml.safe_dump(
        _ordered(content), sort_keys=False, default_flow_style=False, allow_unicode=True, width=_WHOLE_LINE
    )


def _ordered(value: Any) -> Any:
    """Bring members into one order: AWS's answer and ours have each their own."""
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (key not in _FIRST, str(key)))
        return {key: _ordered(value[key]) for key in keys}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
