"""The model that a worker answers with, exchanged while it answers."""

import asyncio
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import to_json

from pipeline.kinds.bodies import Limits
from pipeline.models.bundle import Bundle
from pipeline.serving import watcher
from pipeline.serving.model_api import ModelApi

LOOKED = 0.25  # seconds between two looks at champion.json
STALE = 15.0  # seconds beyond the interval after which nobody seems to look for a new champion


@dataclass(frozen=True)
class Model:
    """Requests that began with one end with it."""

    name: str
    version: int
    digest: str
    bundle: Bundle
    api: ModelApi

    @cached_property
    def head(self) -> bytes:
        """How a JSON object begins that is an answer of this model."""
        return to_json({"model": self.name, "version": self.version})[:-1]


class Loaded:
    """`model`: what is served now, None before the first; `problem`: why it is not what MLflow says, or None."""

    def __init__(self, name: str, limits: Limits, seconds: float):
        """`name`: of the registered model; `seconds` between two looks of who asks MLflow."""
        self.name, self.limits, self.stale = name, limits, seconds + STALE
        self.model: Model | None = None
        self.problem: str | None = "nothing is loaded yet"
        self.tried: tuple[str, int] | None = None  # digest and version
        self.failure: str | None = None  # of the last try

    async def follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOKED)

    async def look(self) -> None:
        try:
            state = watcher.pointer(self.name)
            if state is not None:
                await self.take(state)
        except Exception as error:  # noqa: BLE001 - whatever it is, the model before is served, and /health tells
            self.failure = self.problem = f"{type(error).__name__}: {error}"

    async def take(self, state: dict[str, Any]) -> None:
        wanted = state["digest"], state["version"]
        if wanted[0] and wanted != self.tried:
            self.tried, self.failure = wanted, None
            self.model = await asyncio.to_thread(self.load, state)
        silent = time.time() - state["looked"]
        late = f"nobody has looked for a new champion for {silent:.0f} seconds.\nStart the service anew"
        self.problem = self.failure or state["problem"] or (late if silent > self.stale else None)

    def load(self, state: dict[str, Any]) -> Model:
        place = watcher.folder(self.name, state["digest"])
        bundle = Bundle.load(place / watcher.BUNDLE)
        api = ModelApi(bundle.encoder, watcher.examples(place, bundle.encoder), self.limits)
        return Model(self.name, state["version"], state["digest"], bundle, api)
