"""The manners of all our models: unknown fields are errors, values are frozen, and every error is an InvalidTask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ecs_block.errors import InvalidTask
from ecs_block.plan.problems import field_path, invalid_task
from ecs_block.plan.redact import Redactor
from ecs_block.plan.secret import not_unicode


class Strict(BaseModel):
    """A pydantic model whose errors are ours: they name the field, and never quote a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    error_prefix: ClassVar[str] = ""
    """What stands before a field's name in an error, for a model that is a field of another one."""

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, given: Any) -> Any:
        place = not_unicode(given)
        if place is not None:
            error = InvalidTask(
                f"{cls.error_prefix}{field_path(place) or cls.__name__} holds bytes that are no UTF-8 text, and AWS takes "
                "only that."
            )
            error.location = place
            raise error
        return given

    if not TYPE_CHECKING:  # a type checker sees the fields as arguments

        def __init__(self, /, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise invalid_task(error, type(self), self.error_prefix) from None

    # To pydantic this is its own __init__: otherwise it would validate, and warn, twice when it makes a model.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except ValidationError as error:  # its text would quote the value
            raise invalid_task(error, type(self), self.error_prefix) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        given = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        return list(Redactor().payload(given).items())  # a proxy or an endpoint may have a password in its URL

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Make a model of a mapping. Raises InvalidTask."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise invalid_task(error, cls, cls.error_prefix) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Make a model of JSON text. Raises InvalidTask."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise invalid_task(error, cls, cls.error_prefix) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the model; unlike pydantic's own, a changed copy is validated. Raises InvalidTask."""
        if not update:
            return super().model_copy(deep=deep)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**given, **update})
