"""The service over HTTP: what each path takes and gives; pipeline/serving/edge.py bounds whatever comes."""

import asyncio
import gc
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from pipeline.config.schema import Serving
from pipeline.feedback_loop.store import Store
from pipeline.kinds.bodies import Invalid
from pipeline.project.errors import StoreError
from pipeline.project.processes import end_with
from pipeline.serving import metrics, openapi, pages
from pipeline.serving.connection import Bounded
from pipeline.serving.edge import Edge
from pipeline.serving.loaded import Model
from pipeline.serving.service import Service, database

SETTINGS = "RATCHET_SERVING"  # the environment variable that tells a worker what was typed


def create() -> metrics.Measured:
    """What uvicorn runs: one for each worker."""
    given = json.loads(os.environ[SETTINGS])
    settings = Serving(**given["serving"])
    token = Path(given["token_file"]) if given["token_file"] else None
    if given["main"] != os.getpid():
        end_with(given["main"])
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the one above answers to it
    service = Service(given["model"], settings, Store(database(settings), settings.scrub))
    torch.set_num_threads(max(1, torch.get_num_threads() // given["workers"]))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        await service.loaded.look()
        gc.collect()
        gc.freeze()  # what was imported stays: to look through it all for garbage takes a third of a second
        background = service.loaded.follow(), service.look_after_store(), service.prune()
        tasks = [asyncio.create_task(work) for work in background]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(service.engine.close)
        service.reader.close()
        service.store.close()

    app = FastAPI(
        lifespan=lifespan,
        title="Ratchet",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=openapi.EVERY,
        generate_unique_id_function=openapi.named,
    )
    app.openapi = lambda: openapi.openapi(app, service.loaded.model)  # type: ignore[method-assign]  # FastAPI's own way
    answers(app)
    predictions(app, service)
    facts(app, service)
    pages.pages(app)
    hosts = {"localhost", "127.0.0.1", "::1", given["host"], *settings.hosts}
    edge = Edge(app, hosts=hosts, body=settings.body_mb << 20, seconds=settings.seconds, token=token)
    return metrics.Measured(Bounded(edge))  # which counts what is refused there as well


def answers(app: FastAPI) -> None:
    """Every refusal in one form."""

    @app.exception_handler(Invalid)
    async def invalid(request: Request, error: Invalid) -> JSONResponse:
        return JSONResponse({"detail": error.problems}, error.status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        detail = [{"field": "", "message": error.detail}]
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    @app.exception_handler(StoreError)
    async def away(request: Request, error: StoreError) -> JSONResponse:
        message = f"the feedback store can't be used, and nothing was kept: {error.reason}; try again"
        return JSONResponse({"detail": [{"field": "", "message": message}]}, 503, {"retry-after": "1"})


class Plain(APIRoute):
    """Its endpoint takes the request and gives the response: nothing is left that FastAPI would have to work out.

    That would take twice the time until the app has the body; and what a body may be, the model alone says.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        return self.endpoint


def predictions(app: FastAPI, service: Service) -> None:
    async def predict(request: Request) -> Response:
        service.require_store()
        model = service.model
        kind = request.headers.get("content-type", "nothing")
        if kind.startswith("multipart/form-data"):
            record = await service.reader.aside(model.api.picture, await uploaded(request))
        else:
            record = await service.reader.read(model.api.one, await content(request, kind))
        (answer,) = await service.predicted(model, [record])
        return said(model, answer[1:])

    async def predict_batch(request: Request) -> Response:
        service.require_store()
        model = service.model
        records = await service.reader.read(model.api.many, await content(request))
        answers = await service.predicted(model, records)
        return said(model, b'"predictions":[%b]}' % b",".join(answers))

    async def feedback(request: Request) -> JSONResponse:
        service.require_store()
        name, given = openapi.feedback(await content(request))
        label = await service.meant(name, given)
        now = round(time.time() * 1000)
        stored = await service.within(asyncio.to_thread(service.store.label, name, label, now))
        if stored is None:
            raise HTTPException(404, f"there is no prediction {name!r}; /predict gives its id as prediction_id")
        prediction = stored.prediction
        metrics.FEEDBACK.labels(str(prediction.version), stored.status).inc()
        told = {"prediction_id": name, "label": stored.label, "version": prediction.version, "status": stored.status}
        return JSONResponse(told)

    add = partial(app.router.add_api_route, methods=["POST"], route_class_override=Plain)
    add("/predict", predict, summary="One record in, one answer out")
    add("/predict/batch", predict_batch, summary="Many records at once")
    add(
        "/feedback",
        feedback,
        summary="What would have been right",
        response_model=openapi.Stored,
        responses=openapi.FORGOTTEN,
    )


def said(model: Model, rest: bytes) -> Response:
    """`rest`: of the JSON object that begins with the model's name and version."""
    return Response(b"%b,%b" % (model.head, rest), media_type="application/json")


async def content(request: Request, kind: str | None = None) -> bytes:
    """A form on a page of another port could send any other type without asking first."""
    given = kind or request.headers.get("content-type", "nothing")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, f"Content-Type is {given[:100]!r}; send JSON with Content-Type: application/json")
    return await request.body()


async def uploaded(request: Request) -> bytes:
    """The content of the one file of a form, in its field `image`."""
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("image")
        if file is None or isinstance(file, str):
            message = "a form needs the picture as a file in the field `image`: curl --form image=@digit.png"
            raise Invalid([{"field": "image", "message": message}])
        return await file.read()


def facts(app: FastAPI, service: Service) -> None:
    get = partial(app.get, response_model_exclude_unset=True)

    @get("/health", summary="What is served, and what is wrong")
    async def all_of_it() -> openapi.Health:
        return openapi.Health(**service.health())

    @get("/health/live", summary="Whether the process answers")
    async def live() -> openapi.Live:
        return openapi.Live(live=True)

    @get("/health/ready", summary="Whether it can predict: 503 until then", responses=openapi.UNREADY)
    async def ready(response: Response) -> openapi.Health:
        told = openapi.Health(**service.health())
        response.status_code = 200 if told.ready else 503
        return told

    @app.get("/metrics", summary="For Prometheus", response_class=Response, responses=openapi.TEXT)
    async def numbers() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @get("/about", summary="What the model takes and gives, with examples")
    async def about() -> openapi.About:
        model = service.model
        return openapi.About(model=model.name, version=model.version, **model.api.about())

    @get("/items", summary="The items whose titles hold a text", responses=openapi.RANKLESS)
    async def items(query: str = "") -> openapi.Items:
        found = service.model.api.items(query)
        if found is None:
            raise HTTPException(404, "this model ranks no items")
        return openapi.Items.model_validate(found)
