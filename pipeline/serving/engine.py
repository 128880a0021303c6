"""Requests that wait at the same time go through the network together, on a thread of their own."""

import asyncio
import itertools
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from pipeline.models import outputs as meaning
from pipeline.serving.forms import Invalid
from pipeline.serving.loaded import Model
from pipeline.serving.store import Prediction, Store


@dataclass(eq=False)
class Job:
    """The records of one request, and whoever awaits the answers."""

    model: Model
    records: list[Any]
    future: asyncio.Future
    loop: asyncio.AbstractEventLoop
    began: float = field(default_factory=time.perf_counter)


class Engine:
    """No waiting for company: a batch is what has come while the one before was on its way."""

    def __init__(self, store: Store, batch: int, told: Callable[[int, float], None]):
        """`batch`: records at once, at most; `told` hears each batch's records and seconds."""
        self.store, self.batch, self.told = store, batch, told
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work, name="engine")

    def start(self) -> None:
        self.thread.start()

    async def answers(self, model: Model, records: list[Any]) -> list[dict[str, Any]]:
        """An answer for each record, with its prediction_id; they are in the store before they are returned."""
        loop = asyncio.get_running_loop()
        job = Job(model, records, loop.create_future(), loop)
        self.jobs.put(job)
        return await job.future

    def close(self) -> None:
        """Ends when all that waits is answered."""
        self.jobs.put(None)
        self.thread.join()

    def work(self) -> None:
        while (jobs := self.waiting()) is not None:
            began = time.perf_counter()
            for model, some in by_model(jobs):
                self.answer(model, some)
            self.told(sum(len(job.records) for job in jobs), time.perf_counter() - began)

    def waiting(self) -> list[Job] | None:
        """What has come, at least one and about as much as fits in a batch; None when it is over."""
        jobs, left = [self.jobs.get()], self.batch
        with suppress(queue.Empty):
            while jobs[-1] is not None and (left := left - len(jobs[-1].records)) > 0:
                jobs.append(self.jobs.get_nowait())
        if jobs[-1] is None:
            self.jobs.put(None)  # for the next round
            jobs.pop()
        return jobs or None

    def answer(self, model: Model, jobs: list[Job]) -> None:
        try:
            results = self.predicted(model, [record for job in jobs for record in job.records])
        except Invalid as error:
            if len(jobs) == 1:
                return settle(jobs, [error])
            for job in jobs:  # which of them was it?
                self.answer(model, [job])
            return None
        except Exception as error:  # noqa: BLE001 - whoever awaits it raises it
            return settle(jobs, [error] * len(jobs))
        ends = [*itertools.accumulate(len(job.records) for job in jobs)]
        return settle(jobs, [results[start:end] for start, end in zip([0, *ends], ends, strict=False)])

    def predicted(self, model: Model, records: list[Any]) -> list[dict[str, Any]]:
        form, now = model.form, round(time.time() * 1000)
        rows = form.encoded(records)
        results, kept = [], []
        for start in range(0, len(records), self.batch):
            part = torch.from_numpy(rows[start : start + self.batch])
            results += map(form.answer, meaning.answers(model.bundle.outputs(part), part, model.bundle.encoder))
        for record, row, result in zip(records, rows, results, strict=True):
            name = f"{now:012x}{secrets.token_hex(10)}"  # in the order of time, as indexes like it
            stored = form.stored(record, row)
            answer = json.dumps(result, ensure_ascii=False, allow_nan=False)
            kept.append(
                Prediction(
                    name, now, model.name, model.version, model.digest, model.bundle.encoder["kind"], stored, answer
                )
            )
            result["prediction_id"] = name
        self.store.add(kept)
        return results


def by_model(jobs: list[Job]) -> Iterator[tuple[Model, list[Job]]]:
    """While one champion takes over from another, both are asked."""
    for model in dict.fromkeys(id(job.model) for job in jobs):
        some = [job for job in jobs if id(job.model) == model]
        yield some[0].model, some


def settle(jobs: list[Job], results: list[list[dict[str, Any]] | Exception]) -> None:
    """All at once: the event loop is woken but once."""

    def tell() -> None:
        for job, result in zip(jobs, results, strict=True):
            if job.future.done():  # the client has gone
                continue
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    jobs[0].loop.call_soon_threadsafe(tell)
