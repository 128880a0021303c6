"""Requests that wait at the same time go through the network together, on a thread of their own.

A long request is taken in slices, between which others have their turn (self-clocked fair queueing, Golestani, 1994):
a small one waits for the slice that is on its way, not for all of the long one. What nobody awaits any more is dropped.
"""

import asyncio
import heapq
import itertools
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic_core import to_json

from pipeline.feedback_loop.store import Prediction, Store
from pipeline.kinds.bodies import Invalid, invalid
from pipeline.serving.backlog import Backlog
from pipeline.serving.loaded import Model
from pipeline.tasks import task as tasks

SLICE = 0.1  # seconds of work after which another request has its turn
SHARE = 0.5  # of the seconds that a request has: as long as that may take what waits


@dataclass(eq=False)
class Job:
    """The records of one request, and whoever awaits the answers."""

    model: Model
    records: list[Any]
    costs: list[float]
    future: asyncio.Future[list[bytes]]
    loop: asyncio.AbstractEventLoop
    start: int = 0  # of the next slice
    end: int = 0
    cost: float = 0.0  # of the next slice
    told: list[bytes] = field(default_factory=list)
    kept: list[Prediction] = field(default_factory=list)

    def cut(self, most: float) -> None:
        """The next slice: at least a record, and no more than costs `most`."""
        self.start, self.cost = self.end, 0.0
        while self.end < len(self.records) and (not self.cost or self.cost + self.costs[self.end] <= most):
            self.cost += self.costs[self.end]
            self.end += 1


class Engine:
    """No waiting for company: a batch is what has come while the one before was on its way."""

    def __init__(self, store: Store, batch: int, seconds: float, heard: Callable[[int, int, float], None]):
        """`batch`: records at once, at most; `seconds`: for an answer; `heard`: version, records, seconds of each."""
        self.store, self.batch, self.heard = store, batch, heard
        self.backlog = Backlog(SLICE, batch, SHARE * seconds)
        self.come: list[Job] = []  # in the event loop
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.waiting: list[tuple[float, int, Job]] = []  # a heap: when its slice would end by the clock, in order
        self.clock, self.number = 0.0, itertools.count()
        self.thread = threading.Thread(target=self.work, name="engine")

    def start(self) -> None:
        self.thread.start()

    async def answers(self, model: Model, records: list[Any]) -> list[bytes]:
        """For each record the answer and its prediction_id, a JSON object; in the store before they are returned.

        HTTPException, 503, where too much waits.
        """
        costs = [*map(model.api.cost, records)]
        self.backlog.admit(sum(costs))
        loop = asyncio.get_running_loop()
        job = Job(model, records, costs, loop.create_future(), loop)
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
        going = True
        while going or self.waiting:
            going = self.collect(going)
            for model, jobs in by_model(self.next()):
                self.answer(model, jobs)

    def collect(self, going: bool) -> bool:
        """Queues what has come, and waits for it where nothing else is to be done; False when no more will."""
        with suppress(queue.Empty):
            while going:
                job = self.jobs.get(block=not self.waiting)
                going = job is not None
                if job:
                    self.wait(job)
        return going

    def wait(self, job: Job) -> None:
        job.cut(SLICE / self.backlog.pace)
        heapq.heappush(self.waiting, (self.clock + job.cost, next(self.number), job))

    def next(self) -> list[Job]:
        """Those whose slices are next, at least one and about as much as fits in a batch."""
        jobs: list[Job] = []
        records, left = self.batch, SLICE / self.backlog.pace
        while self.waiting and records > 0 and (not jobs or self.waiting[0][2].cost <= left):
            clock, _, job = heapq.heappop(self.waiting)
            if job.future.done():  # the client has gone, or was told that it takes too long
                self.backlog.finish(sum(job.costs[job.start :]))
                continue
            self.clock = clock
            records, left = records - (job.end - job.start), left - job.cost
            jobs.append(job)
        return jobs

    def answer(self, model: Model, jobs: list[Job]) -> None:
        """The next slice of each; what has all of its answers is told."""
        began = time.perf_counter()
        try:
            self.predict(model, jobs)
            whole = [job for job in jobs if job.end == len(job.records) and not job.future.done()]
            self.store.add([one for job in whole for one in job.kept])
        except Exception as error:  # noqa: BLE001 - whoever awaits it raises it
            if isinstance(error, Invalid) and len(jobs) > 1:
                for job in jobs:  # which of them was it?
                    self.answer(model, [job])
                return
            self.end(jobs, error)
            return
        self.heard(model.version, sum(job.end - job.start for job in jobs), time.perf_counter() - began)
        self.backlog.finish(sum(job.cost for job in jobs))
        for job in jobs:
            if job.end < len(job.records):
                self.wait(job)
        settle(whole, [job.told for job in whole])

    def end(self, jobs: list[Job], error: Exception) -> None:
        self.backlog.finish(sum(sum(job.costs[job.start :]) for job in jobs))
        settle(jobs, [error] * len(jobs))

    def predict(self, model: Model, jobs: list[Job]) -> None:
        api, now = model.api, round(time.time() * 1000)
        places = [(job, row) for job in jobs for row in range(job.start, job.end)]
        records = [job.records[row] for job, row in places]
        with self.backlog.learn(sum(job.cost for job in jobs)):
            rows = api.encoded(records)
            results = [*self.results(model, rows, jobs[0].start)]
        made = []
        for record, row, result in zip(records, rows, results, strict=True):
            name = f"{now:012x}{secrets.token_hex(10)}"  # in the order of time, as indexes like it
            answer, stored = to_json(api.answer(result)), api.stored(record, row)
            about = name, now, model.name, model.version, model.digest, api.kind
            told = b'%b,"prediction_id":"%b"}' % (answer[:-1], name.encode())
            made.append((told, Prediction(*about, stored, answer.decode())))
        for (job, _), (told, kept) in zip(places, made, strict=True):
            job.told.append(told)
            job.kept.append(kept)

    def results(self, model: Model, rows: np.ndarray, first: int) -> Iterator[dict[str, Any]]:
        """What the network says to each row; Invalid where that is no number. `first`: the first row's place."""
        for start in range(0, len(rows), self.batch):
            part = torch.from_numpy(rows[start : start + self.batch])
            outputs = model.bundle.outputs(part)
            if not (finite := outputs.isfinite().all(dim=1)).all():
                row = first + start + int(finite.int().argmin())
                raise invalid("", f"record {row}: the model has no finite answer; are all of its numbers plausible?")
            yield from tasks.of(model.bundle.encoder).answers(outputs, part, model.bundle.encoder)


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

    if jobs:
        jobs[0].loop.call_soon_threadsafe(tell)
