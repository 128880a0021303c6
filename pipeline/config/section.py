"""What every section of the settings is made of."""

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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def choices(union: Any, tag: str) -> dict[str, type[Any]]:
    """Of a discriminated union of sections: each value of the tag, and its class."""
    classes = get_args(get_args(union)[0])
    return {name: one for one in classes for name in get_args(one.model_fields[tag].annotation)}
