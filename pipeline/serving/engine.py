"""Requests that wait at the same time go through the network together, on a thread of their own."""

import asyncio
import itertools
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic_core import to_json

from pipeline.models import outputs as meaning
from pipeline.serving.bodies import Invalid, invalid
from pipeline.serving.loaded import Model
from pipeline.serving.store import Prediction, Store


@dataclass(eq=False)
class Job:
    """The records of one request, and whoever awaits the answers."""

    model: Model
    records: list[Any]
    future: asyncio.Future
    loop: asyncio.AbstractEventLoop


class Engine:
    """No waiting for company: a batch is what has come while the one before was on its way."""

    def __init__(self, store: Store, batch: int, heard: Callable[[int, int, float], None]):
        """`batch`: records at once, at most; `heard` is told the version, records and seconds of each."""
        self.store, self.batch, self.heard = store, batch, heard
        self.come: list[Job] = []  # in the event loop
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work, name="engine")

    def start(self) -> None:
        self.thread.start()

    async def answers(self, model: Model, records: list[Any]) -> list[bytes]:
        """For each record the answer and its prediction_id, a JSON object; in the store before they are returned."""
        loop = asyncio.get_running_loop()
        job = Job(model, records, loop.create_future(), loop)
        if not self.come:
            loop.call_soon(self.hand_over)  # after the other requests that have come by now
        self.come.append(job)
        return await job.future

    def hand_over(self) -> None:
        for job in self.come:
            self.jobs.put(job)
        self.come.clear()

    def close(self) -> None:
        """Ends when all that waits is answered."""
        self.jobs.put(None)
        self.thread.join()

    def work(self) -> None:
        while (jobs := self.waiting()) is not None:
            for model, some in by_model(jobs):
                self.answer(model, some)

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

    def predicted(self, model: Model, records: list[Any]) -> list[bytes]:
        form, now, began = model.form, round(time.time() * 1000), time.perf_counter()
        rows = form.encoded(records)
        told, kept = [], []
        for record, row, result in zip(records, rows, self.results(model, rows), strict=True):
            name = f"{now:012x}{secrets.token_hex(10)}"  # in the order of time, as indexes like it
            answer, stored = to_json(form.answer(result)), form.stored(record, row)
            about = name, now, model.name, model.version, model.digest, form.kind
            kept.append(Prediction(*about, stored, answer.decode()))
            told.append(b'%b,"prediction_id":"%b"}' % (answer[:-1], name.encode()))
        self.store.add(kept)
        self.heard(model.version, len(records), time.perf_counter() - began)
        return told

    def results(self, model: Model, rows: np.ndarray) -> Iterator[dict[str, Any]]:
        """What the network says to each row; Invalid where that is no number."""
        for start in range(0, len(rows), self.batch):
            part = torch.from_numpy(rows[start : start + self.batch])
            outputs = model.bundle.outputs(part)
            if not (finite := outputs.isfinite().all(dim=1)).all():
                row = start + int(finite.int().argmin())
                raise invalid("", f"record {row}: the model has no finite answer; are all of its numbers plausible?")
            yield from meaning.answers(outputs, part, model.bundle.encoder)


def by_model(jobs: list[Job]) -> Iterator[tuple[Model, list[Job]]]:
    """While one champion takes over from another, both are asked."""
    for model in dict.fromkeys(id(job.model) for job in jobs):
        some = [job for job in jobs if id(job.model) == model]
        yield some[0].model, some


def settle(jobs: list[Job], results: list[list[bytes] | Exception]) -> None:
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
