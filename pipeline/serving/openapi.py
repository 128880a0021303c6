"""What the service says of itself in OpenAPI: the records, answers and examples of the model that it serves."""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, create_model
from pydantic.json_schema import models_json_schema

from pipeline.kinds.bodies import Invalid
from pipeline.serving.loaded import Model
from pipeline.serving.model_api import ModelApi
from pipeline.tasks.response import LISTED

REF = "#/components/schemas/{model}"
REFUSED = {
    400: "no HTTP that can be read",
    401: "the token is missing or wrong",
    403: "a foreign Host or Origin",
    408: "the request took too long to arrive",
    413: "the request, a picture of it or its texts are too large",
    415: "a content encoding or type that is not taken",
    422: "a field is wrong; it is named",
    500: "a fault of the service; its log tells more",
    503: "no model yet, a feedback store that can't be used, or too many requests; Retry-After says when to try again",
}
Responses = dict[int | str, dict[str, Any]]  # as FastAPI takes them: status → OpenAPI's response, with a `model`
TOKEN = {"type": "http", "scheme": "bearer", "description": "the line in the file that --token-file names"}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(Strict):
    field: str = Field(description="such as records.3.age; empty: the request itself")
    message: str


class Problems(Strict):
    detail: list[Problem]


class Feedback(Strict):
    prediction_id: str = Field(description="of an answer of /predict", max_length=64)
    label: str | bool | int | float = Field(
        description="what would have been right: a class, a number, the chosen item"
    )


class Stored(Strict):
    prediction_id: str
    label: str
    version: int = Field(description="of the model that predicted")
    status: Literal["stored", "known", "corrected"] = Field(description="known: it was there; corrected: another was")


class Health(Strict):
    ready: bool
    model: str = ""
    version: int = 0
    digest: str = ""
    unknown_tokens: float = Field(0.0, description="share of its training texts' tokens that the encoder did not know")
    problem: str | None = Field(description="why it is not what the registry says, or what is wrong with the store")


class Live(Strict):
    live: bool


class Column(Strict):
    name: str
    type: Literal["number", "date", "category"]
    values: list[str] = Field([], description="of a category, as far as known")


class About(Strict):
    model: str
    version: int
    kind: str = Field(description="of its records, as image, text, behaviour or table")
    input: str = Field(description="by which the page asks for one")
    task: str = Field(description="as classification, regression or ranking")
    labels: list[str] = Field(description="if they are few")
    shape: list[int] = Field(description="of a record as the network takes it")
    columns: list[Column]
    examples: list[dict[str, Any]] = Field(description="records that /predict takes")


class Found(Strict):
    item: str = Field(description="its id")
    title: str


class Items(RootModel[list[Found]]):
    pass


def refused(description: str) -> dict[str, Any]:
    return {"description": description, "model": Problems}


def named(route: APIRoute) -> str:
    return route.path.strip("/").replace("/", "_")


EVERY: Responses = {code: refused(text) for code, text in REFUSED.items()}
FORGOTTEN: Responses = {404: refused("there is no such prediction")}
RANKLESS: Responses = {404: refused("the model ranks no items")}
UNREADY: Responses = {
    503: refused("no model yet, or a feedback store that can't be used") | {"model": Health | Problems}
}
TEXT: Responses = {
    200: {"description": "in Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def feedback(body: bytes) -> tuple[str, Any]:
    """(prediction_id, label) of a request; Invalid names the field that is wrong."""
    try:
        given = Feedback.model_validate_json(body)
    except ValidationError as error:
        problems = [{"field": str((*one["loc"], "")[0]), "message": one["msg"]} for one in error.errors()]
        raise Invalid(problems) from None
    return given.prediction_id, given.label


def openapi(app: FastAPI, model: Model | None) -> dict[str, Any]:
    """FastAPI's, and what is known only once there is a model: the bodies, and the answers of /predict."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = [*labelled(document, model), *(described(document, model.api) if model else [])]
    _, definitions = models_json_schema([(one, "validation") for one in schemas], ref_template=REF)
    document["components"]["schemas"] |= definitions["$defs"]
    document["components"]["securitySchemes"] = {"token": TOKEN}
    document["security"] = [{}, {"token": []}]  # {}: a service that was started without --token-file
    return document


def labelled(document: dict[str, Any], model: Model | None) -> list[type[BaseModel]]:
    kind, example = right(model)
    described = Field(description=Feedback.model_fields["label"].description)
    given = create_model("Label", __base__=Feedback, label=(kind, described))
    operation = document["paths"]["/feedback"]["post"]
    operation["requestBody"] = body(given, [{"prediction_id": "0" * 32, "label": example}])
    return [given]


def right(model: Model | None) -> tuple[Any, Any]:
    """The type of a label, and one; that 7 is taken for "7" too is left unsaid."""
    if model is None:
        return str, "…"
    labels = model.api.response.labels
    if not labels:
        return float, 1234.5
    return (Literal[tuple(labels)] if len(labels) <= LISTED else str), labels[0]


def described(document: dict[str, Any], api: ModelApi) -> list[type[BaseModel]]:
    """Puts the two ways to predict into the document; returns their schemas."""
    identified = create_model("Identified", __base__=api.schema_out, prediction_id=(str, ...))
    answer = create_model("Answer", __base__=identified, model=(str, ...), version=(int, ...))
    some = Field(min_length=1, max_length=api.limit)
    records = (list[api.schema_in], some)  # type: ignore[name-defined]  # made at run time
    many = create_model("Records", __base__=Strict, records=records)
    predictions = (list[identified], ...)  # type: ignore[valid-type]  # made at run time
    answers = create_model("Answers", __base__=Strict, model=(str, ...), version=(int, ...), predictions=predictions)
    one = body(api.schema_in, api.examples)
    if api.input.uploads:
        file = {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "string", "format": "binary"}},
        }
        one["content"]["multipart/form-data"] = {"schema": file}
    describe(document, "/predict", one, answer)
    describe(document, "/predict/batch", body(many, [{"records": api.examples}]), answers)
    return [api.schema_in, identified, answer, many, answers]


def describe(document: dict[str, Any], path: str, given: dict[str, Any], answer: type[BaseModel]) -> None:
    operation = document["paths"][path]["post"]
    operation["requestBody"] = given
    operation["responses"]["200"] = answered(answer)


def body(schema: type[BaseModel], examples: list[Any]) -> dict[str, Any]:
    shown = {f"example {number}": {"value": one} for number, one in enumerate(examples, 1)}
    return {"required": True, "content": {"application/json": {"schema": reference(schema), "examples": shown}}}


def answered(schema: type[BaseModel]) -> dict[str, Any]:
    return {"description": "the answer", "content": {"application/json": {"schema": reference(schema)}}}


def reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=schema.__name__)}
