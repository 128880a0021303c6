"""What the service says of itself in OpenAPI: the records, answers and examples of the model that it serves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import models_json_schema

from pipeline.serving.forms import Form, Invalid
from pipeline.serving.loaded import Model

REF = "#/components/schemas/{model}"
REFUSED = {
    400: "no HTTP that can be read",
    401: "the token is missing or wrong",
    403: "a foreign Host or Origin",
    408: "the request took too long to arrive",
    413: "the request is too large",
    415: "a content encoding or type that is not taken",
    422: "a field is wrong; it is named",
    500: "a fault of the service; its log tells more",
    503: "no model yet, or too many requests",
}


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
    version: int
    status: str = Field(description="stored, known (it was there) or corrected (another was)")


def feedback(body: bytes) -> tuple[str, Any]:
    """(prediction_id, label) of a request; Invalid names the field that is wrong."""
    try:
        given = Feedback.model_validate_json(body)
    except ValidationError as error:
        problems = [{"field": str((*one["loc"], "")[0]), "message": one["msg"]} for one in error.errors()]
        raise Invalid(problems) from None
    return given.prediction_id, given.label


def openapi(app: FastAPI, model: Model | None) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] |= {str(code): refusal(text) for code, text in REFUSED.items()}
    schemas: list[type[BaseModel]] = [Problems, Feedback, Stored]
    if model is not None:
        schemas += described(document, model.form)
    describe(document, "/feedback", body(Feedback, [{"prediction_id": "…", "label": "…"}]), Stored)
    document["paths"]["/feedback"]["post"]["responses"]["404"] = refusal("there is no such prediction")
    _, definitions = models_json_schema([(one, "validation") for one in schemas], ref_template=REF)
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    return document


def described(document: dict[str, Any], form: Form) -> list[type[BaseModel]]:
    """Puts the two ways to predict into the document; returns their schemas."""
    identified = create_model("Identified", __base__=form.schema_out, prediction_id=(str, ...))
    answer = create_model("Answer", __base__=identified, model=(str, ...), version=(int, ...))
    many = create_model("Records", __base__=Strict, records=(list[form.schema_in], ...))
    answers = create_model(
        "Answers", __base__=Strict, model=(str, ...), version=(int, ...), predictions=(list[identified], ...)
    )
    one = body(form.schema_in, form.examples)
    if form.kind == "image":
        file = {
            "type": "object",
            "required": ["image"],
            "properties": {"image": {"type": "string", "format": "binary"}},
        }
        one["content"]["multipart/form-data"] = {"schema": file}
    describe(document, "/predict", one, answer)
    describe(document, "/predict/batch", body(many, [{"records": form.examples}]), answers)
    return [form.schema_in, identified, answer, many, answers]


def describe(document: dict[str, Any], path: str, given: dict[str, Any], answer: type[BaseModel]) -> None:
    operation = document["paths"][path]["post"]
    operation["requestBody"] = given
    content = {"application/json": {"schema": reference(answer)}}
    operation["responses"]["200"] = {"description": "the answer", "content": content}


def body(schema: type[BaseModel], examples: list[Any]) -> dict[str, Any]:
    shown = {f"example {number}": {"value": one} for number, one in enumerate(examples, 1)}
    return {"required": True, "content": {"application/json": {"schema": reference(schema), "examples": shown}}}


def refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": reference(Problems)}}}


def reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=schema.__name__)}
