"""The model that a worker answers with, exchanged while it answers."""

import asyncio
import time
from dataclasses import dataclass

from pipeline.models.bundle import Bundle
from pipeline.project.errors import RatchetError
from pipeline.serving import champion
from pipeline.serving.forms import Form

LOOKED = 0.25  # seconds between two looks at champion.json
STALE = 15.0  # seconds beyond the interval after which nobody seems to look for a new champion


@dataclass(frozen=True)
class Model:
    """Requests that began with one end with it."""

    name: str
    version: int
    digest: str
    bundle: Bundle
    form: Form


class Loaded:
    """`model`: what is served now, None before the first; `problem`: why it is not what MLflow says, or None."""

    def __init__(self, limits: dict[str, int], stale: float):
        self.limits, self.stale = limits, stale + STALE
        self.model: Model | None = None
        self.problem: str | None = "nothing is loaded yet"
        self.refused: str | None = None  # the digest that this worker could not load

    async def follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOKED)

    async def look(self) -> None:
        state = champion.pointer()
        if state is None:
            return
        wanted = state["digest"]
        if wanted and wanted != self.refused and (self.model is None or self.model.digest != wanted):
            try:
                self.model = await asyncio.to_thread(self.load, state)
            except RatchetError as error:
                self.refused = wanted
                self.problem = str(error)
                return
        if self.model is not None and wanted == self.model.digest and state["version"] != self.model.version:
            self.model = await asyncio.to_thread(self.load, state)  # the same bundle under another number
        silent = time.time() - state["looked"]
        if wanted != self.refused:
            self.problem = state["problem"]
        if self.problem is None and silent > self.stale:
            self.problem = f"nobody has looked for a new champion for {silent:.0f} seconds.\nStart the service anew"

    def load(self, state: dict) -> Model:
        place = champion.folder(state["digest"])
        bundle = Bundle.load(place / champion.BUNDLE)
        form = Form(bundle.encoder, champion.examples(place, bundle.encoder), **self.limits)
        return Model(state["model"], state["version"], state["digest"], bundle, form)
