"""Hands results to post-processing, sinks and callback, in the chosen order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar, final

import anyio

from .cancellation import awaited
from .decisions import logger
from .items import ItemResult, LLMWorkItem
from .processor_options import ProcessorOptions

T = TypeVar("T")


@final
class Delivery(Generic[T]):
    """Delivers results one at a time: as they come, or in the order of the items.

    Args:
        options: has the receivers of a result, and the order.
        out: called with the number of an item and its result after all receivers.
    """

    def __init__(self, options: ProcessorOptions, out: Callable[[int, ItemResult[T]], None]) -> None:
        self._options = options
        self._out = out
        self._lock = anyio.Lock(fast_acquire=True)
        self._waiting: dict[int, tuple[LLMWorkItem[Any], ItemResult[T]]] = {}
        self._next = 0
        self._input_order = options.order == "input"
        self._resumes = self._input_order and options.store is not None
        self._held_back = False
        no_receivers = options.post_process is None and options.on_result is None and not options.sinks
        self._nothing_to_do = no_receivers and not self._input_order

    async def take(self, number: int, item: LLMWorkItem[Any], result: ItemResult[T]) -> None:
        """Deliver the result of an item, or keep it until its turn comes."""
        if self._nothing_to_do:
            self._out(number, result)
            return
        if not self._input_order:
            async with self._lock:
                await self._hand_over(number, item, result)
            return
        self._waiting[number] = item, result
        async with self._lock:
            await self._hand_over_in_order()

    async def _hand_over_in_order(self) -> None:
        while (ready := self._waiting.pop(self._next, None)) is not None:
            number = self._next
            self._next += 1
            try:
                await self._hand_over(number, *ready)
            except Exception:
                raise
            except BaseException:
                # It was cancelled: another worker, or the end of the run, delivers it again.
                self._waiting[number], self._next = ready, number
                raise

    async def _hand_over(self, number: int, item: LLMWorkItem[Any], result: ItemResult[T]) -> None:
        """Give a result to all receivers; after a cancellation it counts as not delivered."""
        try:
            result = await self._post_processed(item, result)
            await self._write(item, result)
            await self._call_back(result)
        except Exception:
            self._out(number, result)
            raise
        self._out(number, result)

    async def _write(self, item: LLMWorkItem[Any], result: ItemResult[T]) -> None:
        """Give an outcome to the sinks.

        In the order of the input, a missing outcome holds back those after it, if there is a
        store from which a later run can write them all.
        """
        self._held_back |= result.unfinished and self._resumes
        if result.unfinished or self._held_back:
            return
        self._held_back = self._resumes
        for sink in self._options.sinks:
            await awaited(sink.write(item, result))
        self._held_back = False

    async def _post_processed(self, item: LLMWorkItem[Any], result: ItemResult[T]) -> ItemResult[T]:
        if self._options.post_process is None or result.error is not None:
            return result
        try:
            value = await awaited(self._options.post_process(item, result.value))
        except Exception as error:
            reason = f"post-processing failed: {type(error).__name__}: {error}"
            return replace(result, value=None, error=error, reason=reason, cause=reason)
        return replace(result, value=value)

    async def _call_back(self, result: ItemResult[T]) -> None:
        """Call `on_result`; an error in it is logged, since the outcome itself is stored."""
        if self._options.on_result is None:
            return
        try:
            await awaited(self._options.on_result(result))
        except Exception:
            logger.exception("on_result raised for item %r; its result stays in the batch", result.id)
