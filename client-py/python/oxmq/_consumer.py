"""Receiving."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Self

from . import _events, _native
from ._errors import OxmqError
from ._native import Delivery, DrainReport, MessageQueue

_logger = logging.getLogger("oxmq")

_MAX_TAKE = 256
_MAX_TAKE_BYTES = 4 * 1024 * 1024

Handler = Callable[[Delivery], Awaitable[object]]


class PushConsumer:
    """Receives messages. Made by `Client.push_consumer`; it starts with `async with` or `await`.

    Either iterate over it (`async for delivery in consumer`) and settle each delivery with `ack`,
    `nack` or `reject`, in any order; or give `run` a handler. A delivery that is never settled is
    delivered again once the consumer has ended.
    """

    def __init__(
        self, client: _native.Client, queue: _native.Queue, options: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._queue = queue
        self._options = options
        self._native: _native.Consumer | None = None
        self._ready = asyncio.Event()
        self._taken: deque[Delivery] = deque()
        self._is_ended = False

    async def start(self) -> Self:
        """Joins the group; returns once this member has its first share of the queues, if any.

        A topic that does not exist is no error: its messages come once it does.
        """
        if self._native is not None or self._is_ended:
            raise RuntimeError("a consumer starts once: make another")
        start = self._client.consumer
        self._native = await _events.call(self._queue, start, self._options, self._ready.set)
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self.start().__await__()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncGenerator[Delivery, None]:
        taken = self._taken
        while True:
            while taken:
                yield taken.popleft()
            if not await self._take():
                return

    async def next(self) -> Delivery | None:
        """Waits for the next delivery; `None` once the consumer is drained or closed.

        Cancelling it loses none.
        """
        while not self._taken:
            if not await self._take():
                return None
        return self._taken.popleft()

    async def _take(self) -> bool:
        """Waits for deliveries and takes a batch; returns whether there may be more."""
        native = self._started()
        # Others get a turn, however many messages wait.
        await asyncio.sleep(0)
        while not self._taken:
            self._ready.clear()
            batch, is_ended = native.take(_MAX_TAKE, _MAX_TAKE_BYTES)
            self._taken.extend(batch)
            if is_ended or self._is_ended:
                # Whoever waits besides us shall see it, too.
                self._is_ended = True
                self._ready.set()
                return bool(batch)
            if not batch:
                await self._ready.wait()
        return True

    async def run(self, handler: Handler, *, concurrency: int = 16) -> None:
        """Calls a handler with each delivery, up to `concurrency` at once, until the end.

        A delivery is acknowledged when its handler returns, and handed back to be delivered again
        when it raises. The handler may settle a delivery itself: settling twice changes nothing.
        It ends when the consumer is drained or closed, or when it is cancelled.
        """
        async with asyncio.TaskGroup() as workers:
            for _ in range(max(1, concurrency)):
                workers.create_task(self._work(handler))

    async def _work(self, handler: Handler) -> None:
        async with contextlib.aclosing(self.__aiter__()) as deliveries:
            async for delivery in deliveries:
                try:
                    await handler(delivery)
                except Exception:
                    _logger.exception("the handler failed: %r is delivered again", delivery)
                    await self._hand_back(delivery)
                else:
                    await delivery.ack()

    async def _hand_back(self, delivery: Delivery) -> None:
        try:
            await delivery.nack()
        except OxmqError as error:
            # It stays in flight, and comes again when this consumer has ended.
            _logger.warning("%r could not be handed back: %s", delivery, error)

    def assignment(self) -> list[MessageQueue]:
        """Lists the queues that this member owns now."""
        return self._started().assignment()

    async def commit(self) -> None:
        """Tells brokers of all progress now; it also happens every few seconds by itself."""
        await self._started().commit()

    async def drain(self, seconds: float) -> DrainReport:
        """Ends in good order: takes no more messages, waits for those in hand, commits, leaves.

        Iteration and `run` end. What is not settled in so many seconds is delivered again.
        """
        native = self._started()
        self._is_ended = True
        native.give_back(list(self._taken))
        self._taken.clear()
        report: DrainReport = await _events.call(self._queue, native.drain, seconds)
        self._ready.set()
        return report

    async def close(self) -> None:
        """Leaves the group at once, having committed. Does nothing if it has ended."""
        if self._native is not None:
            await self.drain(0.0)

    def _started(self) -> _native.Consumer:
        if self._native is None:
            raise RuntimeError("the consumer has not started: use `async with` or await it")
        return self._native
