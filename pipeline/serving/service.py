"""What the requests of one worker share: the model, the engine, the store."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from pipeline.config.schema import Serving
from pipeline.feedback_loop.store import Store
from pipeline.kinds.bodies import Invalid, Limits
from pipeline.project import paths
from pipeline.project.errors import StoreError
from pipeline.project.secrets import redact
from pipeline.serving import metrics
from pipeline.serving.backlog import later, within
from pipeline.serving.engine import Engine
from pipeline.serving.loaded import Loaded, Model
from pipeline.serving.reading import Reader
from pipeline.tasks.response import matched, named

PRUNE_SECONDS = 3600.0
CHECK_SECONDS = 3.0  # between two looks at the store
DAY = 86_400_000  # milliseconds

log = logging.getLogger("uvicorn.error")


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
        self.fault: StoreError | None = None  # of the store, at the last look
        self.engine = Engine(store, settings.batch, settings.seconds, metrics.batch)
        self.reader = Reader(settings.seconds)
        limits = Limits(settings.records, settings.characters, settings.pixels, settings.side)
        self.loaded = Loaded(name, limits, settings.watch_seconds)

    def health(self) -> dict[str, Any]:
        model, fault = self.loaded.model, self.fault
        about = {"model": model.name, "version": model.version, "digest": model.digest} if model else {}
        if model and (unknown := model.bundle.encoder.get("unknown_tokens")) is not None:
            about["unknown_tokens"] = unknown  # share of the tokens of its training texts
        problems = [self.loaded.problem, f"the feedback store can't be used: {fault.reason}" if fault else None]
        ready = model is not None and fault is None
        return {"ready": ready, **about, "problem": "\n".join(filter(None, problems)) or None}

    def require_store(self) -> None:
        """StoreError at once where waiting for it would be in vain."""
        if self.fault is not None:
            raise StoreError(str(self.fault), self.fault.reason)

    @property
    def model(self) -> Model:
        if self.loaded.model is None:
            raise later("there is no model yet; /health says why")
        return self.loaded.model

    async def predicted(self, model: Model, records: list[Any]) -> list[bytes]:
        return await self.within(self.engine.answers(model, records))

    async def meant(self, prediction_id: str, given: Any) -> str:
        """The label, if the model that is served knows it, or the one that predicted; else Invalid."""
        try:
            return self.model.api.label(given)
        except Invalid:
            found = await self.within(asyncio.to_thread(self.store.prediction, prediction_id))
            if found is None or (label := matched(given, named(found.answer))) is None:
                raise
            return label

    async def within(self, work: Awaitable[Any]) -> Any:
        return await within(self.settings.seconds, work)

    async def look_after_store(self) -> None:
        with ThreadPoolExecutor(1, "store") as thread:
            while True:
                fault = await asyncio.get_running_loop().run_in_executor(thread, self.checked)
                if str(fault) != str(self.fault):
                    log.warning(redact(str(fault)) if fault else "the feedback store can be used again")
                self.fault = fault
                await asyncio.sleep(CHECK_SECONDS)

    def checked(self) -> StoreError | None:
        try:
            self.store.check()
        except StoreError as error:
            return error
        return None

    async def prune(self) -> None:
        while self.settings.keep_days is not None:
            before = round(time.time() * 1000) - self.settings.keep_days * DAY
            with suppress(StoreError):  # the next hour tries again; requests say what is wrong with the store
                await asyncio.to_thread(self.store.prune, before)
            await asyncio.sleep(PRUNE_SECONDS)
