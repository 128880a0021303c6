"""More requests than can be answered: long ones give way, what nobody awaits is dropped, others are refused."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from pipeline.feedback_loop.store import Store
from pipeline.kinds.bodies import Invalid, Limits
from pipeline.models.bundle import Bundle
from pipeline.serving import engine, watcher
from pipeline.serving.backlog import within
from pipeline.serving.engine import Engine
from pipeline.serving.loaded import Model
from pipeline.serving.model_api import ModelApi
from pipeline.serving.reading import READERS, Reader
from tests.support import untrained

LIMITS = Limits(records=1000, characters=1_000_000, pixels=25_000_000, side=10_000)
PACE = 0.002  # seconds for a record, in these tests
SECONDS = 4.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("engine") / "project"
    return project / ".ratchet/served/mnist" / untrained.lay(project, "text")


@pytest.fixture
def model(place: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A net that takes its time."""
    bundle = Bundle.load(place / "bundle")
    outputs = bundle.outputs

    def slow(inputs: Any) -> Any:
        time.sleep(PACE * len(inputs))
        return outputs(inputs)

    monkeypatch.setattr(bundle, "outputs", slow)
    form = ModelApi(bundle.encoder, watcher.examples(place, bundle.encoder), LIMITS)
    return Model("mnist", 1, bundle.digest, bundle, form)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/feedback.db")
    yield store
    store.close()


@pytest.fixture
def served(store: Store) -> Callable[[Callable[[Engine], Coroutine]], Any]:
    """served(ask): what `await ask(engine)` gives, of an engine that ends afterwards."""

    def run(ask: Callable[[Engine], Coroutine]) -> Any:
        one = Engine(store, 64, SECONDS, lambda *_: None)

        async def whole() -> Any:
            one.start()
            try:
                return await ask(one)
            finally:
                await asyncio.to_thread(one.close)

        return asyncio.run(whole())

    return run


def kept(store: Store) -> int:
    return sum(store.made("mnist").values())


def test_a_small_request_waits_for_a_slice_of_a_long_one(model: Model, store: Store, served) -> None:
    async def ask(one: Engine) -> tuple[float, list[bytes]]:
        long = asyncio.create_task(one.answers(model, ["good film"] * 1000))
        await asyncio.sleep(0.3)
        waits = []
        for _ in range(3):
            began = time.perf_counter()
            await one.answers(model, ["bad film"])
            waits.append(time.perf_counter() - began)
        assert not long.done()
        return max(waits), await long

    waited, answers = served(ask)
    assert waited < 6 * engine.SLICE, waited  # 1,000 records take 2 seconds
    assert len({json.loads(one)["prediction_id"] for one in answers}) == 1000
    assert kept(store) == 1003


@pytest.mark.parametrize("give_up", [0.05, 0.5])
def test_what_nobody_awaits_is_neither_worked_on_nor_kept(model: Model, store: Store, served, give_up: float) -> None:
    async def ask(one: Engine) -> float:
        with pytest.raises(HTTPException, match="503") as error:
            await within(give_up, asyncio.gather(*(one.answers(model, ["good film"] * 400) for _ in range(2))))
        assert error.value.headers == {"retry-after": "1"}
        began = time.perf_counter()
        await one.answers(model, ["bad film"])
        waited = time.perf_counter() - began
        await asyncio.sleep(0.3)
        assert one.backlog.waiting == pytest.approx(0, abs=1e-6)
        return waited

    assert served(ask) < 6 * engine.SLICE
    assert kept(store) == 1


def test_more_than_can_be_answered_is_refused_at_once(model: Model, store: Store, served) -> None:
    async def ask(one: Engine) -> list[Any]:
        await one.answers(model, ["good film"] * 500)  # from which it learns its pace
        began, longest = time.perf_counter(), 0.0

        async def some() -> Any:
            nonlocal longest
            try:
                return await one.answers(model, ["good film"] * 500)
            except HTTPException as error:
                longest = max(longest, time.perf_counter() - began)
                return error.status_code

        found = await asyncio.gather(*(some() for _ in range(8)))
        assert longest < 0.2
        await one.answers(model, ["good film"])
        return found

    found = served(ask)
    refused = found.count(503)
    assert 4 <= refused <= 6, found  # a second each, and half of the four seconds may wait
    assert kept(store) == 500 * (8 - refused) + 501


def test_a_record_without_an_answer_is_named_by_its_place_in_the_request(model: Model, served, monkeypatch) -> None:
    outputs, seen = model.bundle.outputs, 0

    def odd(inputs: Any) -> Any:
        nonlocal seen
        given = outputs(inputs).clone()
        if seen <= 333 < seen + len(inputs):
            given[333 - seen] = float("nan")
        seen += len(inputs)
        return given

    monkeypatch.setattr(model.bundle, "outputs", odd)
    with pytest.raises(Invalid, match="record 333"):
        served(lambda one: one.answers(model, ["good film"] * 500))


def test_the_characters_of_a_request_are_bounded_together(model: Model) -> None:
    texts = [{"text": "a" * 100_000}] * 10
    assert len(model.api.many(json.dumps({"records": texts}).encode())) == 10
    with pytest.raises(Invalid, match="1,000,001 characters") as error:
        model.api.many(json.dumps({"records": [*texts, {"text": "a"}]}).encode())
    assert (error.value.status, error.value.problems[0]["field"]) == (413, "records")


def test_bodies_that_take_long_to_read_are_refused_before_they_pile_up() -> None:
    begun = []

    def slow(body: bytes) -> bytes:
        begun.append(body)
        time.sleep(0.2)
        return body

    async def ask() -> list[Any]:
        reader = Reader(2.0)
        tasks = [asyncio.create_task(reader.aside(slow, b"%d" % number)) for number in range(4)]
        await asyncio.gather(*tasks)  # from which it learns its pace
        given = await asyncio.gather(*(reader.aside(slow, b"x") for _ in range(40)), return_exceptions=True)
        refused = [one for one in given if isinstance(one, HTTPException)]
        assert 20 < len(refused) < 36, len(refused)
        assert {one.status_code for one in refused} == {503}
        begun.clear()
        left = [asyncio.create_task(reader.aside(slow, b"y")) for _ in range(8)]
        await asyncio.sleep(0.05)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        reader.close()
        return begun

    assert len(asyncio.run(ask())) == READERS, "what nobody awaits is not begun"
