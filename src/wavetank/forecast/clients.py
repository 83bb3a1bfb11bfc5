"""The clients that may send the rows of a forecast: the reference processor, and others where installed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import anyio

from ..processor import (
    CallResult,
    ItemResult,
    ItemTooLarge,
    LLMWorkItem,
    NotSent,
    ParallelBatchProcessor,
)
from ..processor.token_estimate import FIRST_ANSWER_TOKENS
from ..provider.identity import ITEM_HEADER
from ..run.row_processor import ROWS_AHEAD
from ..seams.errors import QuotaExhausted, RequestTooLarge
from ..seams.transports import transport
from ..text import did_you_mean
from .errors import ForecastError
from .virtual_run import BatchRun, Client

PROCESSOR: Final = "processor"
_Pace = Callable[[], AbstractAsyncContextManager[None]]
"""Waits until the next request may be sent."""
_SDK_RETRIES: Final = 2
"""The default of the OpenAI SDK (`DEFAULT_MAX_RETRIES`)."""


def client_named(name: str) -> Client:
    """The client of a name.

    `processor` is the reference processor; `openai` the OpenAI SDK with its own retries, `openai:5` with five
    of them; `aiolimiter` the same SDK behind an `AsyncLimiter` of the requests in a minute; `litellm` its
    Router over one deployment, with two retries of its own.

    Raises:
        ForecastError: there is no such client, or its package is not installed.
    """
    kind, _, number = name.partition(":")
    retries = int(number) if number.isdecimal() else _SDK_RETRIES
    clients: dict[str, tuple[Client, tuple[str, ...]]] = {
        PROCESSOR: (processor, ()),
        "openai": (partial(openai_sdk, retries=retries), ("openai", "httpx2")),
        "aiolimiter": (
            partial(openai_sdk, retries=retries, limited=True),
            ("openai", "httpx2", "aiolimiter"),
        ),
        "litellm": (partial(litellm_router, retries=retries), ("openai", "httpx2", "litellm")),
    }
    if kind not in clients or (number and (not number.isdecimal() or kind == PROCESSOR)):
        near = (
            did_you_mean(kind, clients)
            or "choose from processor, openai, openai:RETRIES, aiolimiter, litellm"
        )
        raise ForecastError(f"--client: there is no client {name!r}; {near}")
    client, packages = clients[kind]
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ForecastError(f"--client {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    # Its import would fetch a table of prices, which a forecast does not need, and no network may hold it up.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    for package in packages:
        import_module(package)  # not in a run: an import may draw random numbers
    return client


async def processor(run: BatchRun) -> None:
    """Send the rows as `wavetank run` does, with the reference processor."""
    answers: list[int] = [0, 0]

    async def call(id: str) -> CallResult[None]:
        answer = await run.call(int(id))
        answers[0] += answer.usage.output_tokens
        answers[1] += 1
        return answer

    def estimate(item: LLMWorkItem[None]) -> float:
        mean = answers[0] / answers[1] if answers[1] else FIRST_ANSWER_TOKENS
        return run.lengths.input[int(item.id)] + mean

    parallel = run.setup.parallel
    async with ParallelBatchProcessor(
        call,
        workers=parallel,
        estimate_tokens=estimate,
        on_quota=run.setup.on_quota,
        batch_size=max(ROWS_AHEAD, 2 * parallel),
    ) as batch:
        async for result in batch.process(_items(run)):
            if result.error is None:
                run.completed_row()
            else:
                run.undone[_cause(result)] += 1


def _cause(result: ItemResult[None]) -> str:
    """Why a row has no answer, in words without a time, so that it is equal for all rows."""
    error = result.error
    if isinstance(error, QuotaExhausted | NotSent):
        return "the quota is spent"
    if isinstance(error, RequestTooLarge | ItemTooLarge):
        return "larger than a limit ever lets through"
    if result.limit is not None:
        return result.limit.cause
    return result.cause or result.reason or type(error).__name__


def _items(run: BatchRun) -> Iterable[LLMWorkItem[None]] | AsyncIterator[LLMWorkItem[None]]:
    if run.lengths.arrives is None:
        return (LLMWorkItem(str(number), str(number)) for number in range(run.rows))
    return _arriving(run)


async def _arriving(run: BatchRun) -> AsyncIterator[LLMWorkItem[None]]:
    async for number in run.arrivals():
        yield LLMWorkItem(str(number), str(number))


# -- the OpenAI SDK --------------------------------------------------------------------------------


async def openai_sdk(run: BatchRun, *, retries: int, limited: bool = False) -> None:
    """Send the rows with the OpenAI SDK, as many at once as workers, and leave all retries to it."""
    pace = _requests_a_minute(run) if limited else _no_limit
    async with _sdk(run, retries) as client:
        await _send_all(run, partial(client.chat.completions.create, model=run.setup.model), pace)


async def litellm_router(run: BatchRun, *, retries: int) -> None:
    """Send the rows with the Router of litellm over one deployment, and leave all retries to it.

    The SDK of OpenAI below it makes none, as in litellm itself.
    """
    import litellm

    async with _sdk(run, 0) as client:
        deployment = {"model": f"openai/{run.setup.model}", "api_key": "key"}
        router = litellm.Router(
            model_list=[{"model_name": "rows", "litellm_params": deployment}], num_retries=retries
        )
        await _send_all(run, partial(router.acompletion, model="rows", client=client), _no_limit)


async def _send_all(run: BatchRun, ask: Callable[..., Any], pace: _Pace) -> None:
    """Send the rows, as many at once as workers."""
    rows = run.arrivals()
    fetching = anyio.Lock()

    async def worker() -> None:
        while True:
            async with fetching:
                number = await anext(rows, None)
            if number is None:
                return
            async with pace():
                await _asked(run, ask, number)

    async with anyio.create_task_group() as workers:
        for _ in range(run.setup.parallel):
            workers.start_soon(worker)


async def _asked(run: BatchRun, ask: Callable[..., Any], number: int) -> None:
    import openai

    try:
        await ask(
            messages=[{"role": "user", "content": str(number)}],
            extra_headers={ITEM_HEADER: str(number)},
        )
    except openai.APIStatusError as error:
        run.undone[f"{type(error).__name__} (status {error.status_code}) after its retries"] += 1
    except openai.APIError as error:
        run.undone[f"{type(error).__name__} after its retries"] += 1
    else:
        run.completed_row()


@asynccontextmanager
async def _sdk(run: BatchRun, retries: int) -> AsyncIterator[Any]:
    import httpx2
    import openai

    async with (
        httpx2.AsyncClient(transport=transport(httpx2, run.desk)) as http,
        openai.AsyncOpenAI(api_key="key", max_retries=retries, http_client=http) as client,
    ):
        yield client


@asynccontextmanager
async def _no_limit() -> AsyncIterator[None]:
    yield


def _requests_a_minute(run: BatchRun) -> _Pace:
    """A limiter of all requests in a minute, as its documentation shows it.

    Raises:
        ForecastError: the provider limits no requests by the minute.
    """
    from aiolimiter import AsyncLimiter

    tables = (run.setup.scenario.limits, *run.setup.scenario.limit)
    rates = [table.requests_per_minute for table in tables if table.requests_per_minute is not None]
    if not rates:
        raise ForecastError("--client aiolimiter needs a limit on requests by the minute: add --limits")
    limiter = AsyncLimiter(min(rates))
    return lambda: limiter
