"""What the requests of one worker share: the model, the engine, the store."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException

from pipeline.config.schema import Serving
from pipeline.project import paths
from pipeline.project.errors import StoreError
from pipeline.serving import metrics
from pipeline.serving.engine import Engine
from pipeline.serving.forms import Invalid
from pipeline.serving.loaded import Loaded, Model
from pipeline.serving.outcomes import matched, named
from pipeline.serving.store import Store

PRUNE_SECONDS = 3600.0
DAY = 86_400_000  # milliseconds


def database(settings: Serving) -> str:
    """The store's URL; `${oc.env:NAME}` in it is read here alone."""
    from omegaconf import OmegaConf

    if settings.store is None:
        paths.state().mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{paths.state('feedback.db')}"
    return str(OmegaConf.create({"url": settings.store}).url)


class Service:
    def __init__(self, name: str, settings: Serving, store: Store):
        """`name`: of the registered model."""
        self.settings, self.store = settings, store
        self.engine = Engine(store, settings.batch, metrics.batch)
        self.loaded = Loaded(name, {"pixels": settings.pixels, "records": settings.records}, settings.watch_seconds)

    @property
    def model(self) -> Model:
        if self.loaded.model is None:
            raise HTTPException(503, f"there is no model yet: {self.loaded.problem}")
        return self.loaded.model

    async def predicted(self, model: Model, records: list[Any]) -> list[bytes]:
        return await self.within(self.engine.answers(model, records))

    async def meant(self, prediction_id: str, given: Any) -> str:
        """The label, if the model that is served knows it, or the one that predicted; else Invalid."""
        try:
            return self.model.form.label(given)
        except Invalid:
            found = await self.within(asyncio.to_thread(self.store.prediction, prediction_id))
            if found is None or (label := matched(given, named(found.answer))) is None:
                raise
            return label

    async def within(self, work: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self.settings.seconds):
                return await work
        except TimeoutError:
            raise HTTPException(503, f"no answer within {self.settings.seconds} seconds; try again") from None

    async def prune(self) -> None:
        while self.settings.keep_days is not None:
            before = round(time.time() * 1000) - self.settings.keep_days * DAY
            with suppress(StoreError):  # the next hour tries again; requests say what is wrong with the store
                await asyncio.to_thread(self.store.prune, before)
            await asyncio.sleep(PRUNE_SECONDS)
