"""What a service answers, by the encoder's task, and which labels can be right."""

import difflib
import json
import math
from typing import Any

from pydantic import BaseModel, Field, JsonValue, create_model

from pipeline.kinds.bodies import STRICT, given, invalid
from pipeline.kinds.table.encoder import LARGEST
from pipeline.kinds.table.input import word

LISTED = 1000  # labels that a document names
SHOWN = 30  # labels that a message names


class Response:
    """`labels`: those that can be right, none where it is a number; `schema`: of an answer, in JSON."""

    labels: list[str]
    schema: type[BaseModel]

    def answer(self, result: dict[str, Any]) -> dict[str, Any]:
        """Of one of Bundle.predict's results."""
        return result

    def label(self, value: Any) -> str:
        """What a client says would have been right, as it is stored; Invalid where nothing such can be."""
        raise NotImplementedError


class Classes(Response):
    """One of the labels, with the probability of each."""

    def __init__(self, encoder: dict[str, Any]):
        self.labels = encoder["labels"]
        named: dict[str, JsonValue] = {"enum": [*self.labels]} if len(self.labels) <= LISTED else {}
        first = dict(zip(self.labels, (0.9, 0.1), strict=False))
        self.schema = create_model(
            "Result",
            __config__=STRICT,
            label=(str, Field(description="the most probable class", examples=[*first][:1], json_schema_extra=named)),
            probabilities=(dict[str, float], Field(description="of each class; their sum is 1", examples=[first])),
        )

    def answer(self, result: dict[str, Any]) -> dict[str, Any]:
        return result | {"probabilities": dict(zip(self.labels, result["probabilities"], strict=True))}

    def label(self, value: Any) -> str:
        return known(value, self.labels, "classes")


class Numbers(Response):
    def __init__(self, encoder: dict[str, Any]):
        self.labels = []
        described = Field(description="in the target's own unit", examples=[encoder["target"]["mean"]])
        self.schema = create_model("Result", __config__=STRICT, value=(float, described))

    def answer(self, result: dict[str, Any]) -> dict[str, Any]:
        return result

    def label(self, value: Any) -> str:
        """repr of the float; what float32 can't hold no training could take."""
        usual = isinstance(value, int | float) and not isinstance(value, bool)
        if not usual or not abs(value) <= LARGEST:  # so is NaN
            raise invalid("label", f"{given(value)}; it needs a finite number, such as 1234.5, without quotes")
        return repr(float(value))


class Item(BaseModel):
    model_config = STRICT
    item: str = Field(description="its id")
    title: str
    score: float = Field(description="the larger, the better; to compare within one answer")


class Items(Response):
    """The best items that the history does not hold, the best first."""

    def __init__(self, encoder: dict[str, Any]):
        self.labels = encoder["labels"]
        title = (encoder.get("titles") or self.labels)[0]
        example = [{"item": self.labels[0], "title": title, "score": 3.2}]
        described = Field(description="the best first", examples=[example])
        self.schema = create_model("Result", __config__=STRICT, items=(list[Item], described))

    def answer(self, result: dict[str, Any]) -> dict[str, Any]:
        """Without what was seen, which fills the list where little else is left: its score is −inf."""
        rows = zip(result["items"], result["titles"], result["scores"], strict=True)
        return {"items": [{"item": a, "title": b, "score": score} for a, b, score in rows if score > -math.inf]}

    def label(self, value: Any) -> str:
        return known(value, self.labels, "items")


def matched(value: Any, labels: list[str]) -> str | None:
    """The label that `value` means, if there is one: 7 and "7" are "7"."""
    text = word(value) if isinstance(value, str | int | float) else None
    return text if text in labels else None


def named(answer: str) -> list[str]:
    """The labels that a stored answer names: the classes of the version that predicted, or the items that it listed."""
    told = json.loads(answer)
    return [*told.get("probabilities", ()), *(one["item"] for one in told.get("items", ()))]


def known(value: Any, labels: list[str], name: str) -> str:
    """As matched; Invalid with the nearest where there is none."""
    if (label := matched(value, labels)) is not None:
        return label
    near = difflib.get_close_matches(str(value)[:100], labels, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(labels[:SHOWN]) + (", …" if len(labels) > SHOWN else "")
    raise invalid("label", f"{given(value)}, which is none of the {len(labels):,} {name}.{hint} They are: {listed}")
