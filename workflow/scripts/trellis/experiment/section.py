"""What every section of an experiment has in common: unknown keys are errors, and keys may be marked as runtime keys."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict


class RuntimeKey:
    """Marks a key that cannot change a result (workers, log interval): it stays out of every fingerprint."""


Value = TypeVar("Value")
Runtime = Annotated[Value, RuntimeKey()]


class Section(BaseModel):
    """A part of the experiment; frozen, and closed to keys that it does not define."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def semantic(value: Any) -> Any:
    """The part of a configuration that can change a result, as plain JSON values: everything but the runtime keys."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            key: semantic(getattr(value, key))
            for key, field in fields.items()
            if not any(isinstance(mark, RuntimeKey) for mark in field.metadata)
        }
    if isinstance(value, dict):
        return {key: semantic(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [semantic(item) for item in value]
    return value


def complete(value: Any) -> Any:
    """The whole configuration, runtime keys included, as plain JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: complete(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [complete(item) for item in value]
    return value
