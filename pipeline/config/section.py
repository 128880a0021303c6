"""What every section of the settings is made of."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.config.naming import a_name

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, AfterValidator(a_name)]
Said = Annotated[str, Field(min_length=1, max_length=1000)]  # in a person's own words


@dataclass(frozen=True)
class Unhashed:
    """Marks a setting that decides no byte of the model: the config hash leaves it out."""


@dataclass(frozen=True)
class Neutral:
    """Marks a setting that came after others had been trained without it, and changes nothing while it is `value`.

    The config hash leaves it out then, so that hashes from before still hold.
    """

    value: Any


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def decisive(self) -> dict[str, Any]:
        """As JSON, without what the config hash leaves out."""
        given = self.model_dump(mode="json")
        kept = [name for name, field in type(self).model_fields.items() if not is_left_out(field.metadata, given[name])]
        return {name: decisive(getattr(self, name), given[name]) for name in kept}


def is_left_out(marks: list[Any], given: Any) -> bool:
    return any(isinstance(mark, Unhashed) or (isinstance(mark, Neutral) and mark.value == given) for mark in marks)


def decisive(value: Any, given: Any) -> Any:
    """`given`: the same as JSON."""
    if isinstance(value, Section):
        return value.decisive()
    if isinstance(value, dict):
        return {key: decisive(value[key], given[key]) for key in given}
    if isinstance(value, list):
        return [decisive(*pair) for pair in zip(value, given, strict=True)]
    return given


def choices(union: Any, tag: str) -> dict[str, type[Any]]:
    """Of a discriminated union of sections: each value of the tag, and its class."""
    classes = get_args(get_args(union)[0])
    return {name: one for one in classes for name in get_args(one.model_fields[tag].annotation)}
