"""Sending."""

import asyncio
from collections.abc import Iterable, Mapping

from . import _events, _native
from ._errors import OxmqError
from ._native import MessageQueue, Receipt

Body = bytes | bytearray | memoryview


class Producer:
    """Sends messages. Made by `Client.producer`; it may be used in any event loop.

    A send ends in one of three ways: stored (a receipt), not stored, or unknown (an error whose
    `stored` tells which of the two).
    """

    def __init__(self, native: _native.Producer) -> None:
        self._native = native
        self._loop = asyncio.get_running_loop()
        self._queue = _events.queue_of(self._loop)

    @property
    def group(self) -> str:
        """The producer's group."""
        return self._native.group

    def send(
        self,
        topic: str,
        body: Body,
        *,
        tag: str | None = None,
        key: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        delay_level: int = 0,
        delay: float | None = None,
        deliver_at: float | None = None,
        flag: int = 0,
        shard: str | None = None,
        queue: MessageQueue | None = None,
        timeout: float | None = None,
    ) -> asyncio.Future[Receipt]:
        """Sends a message; await the future returned for the receipt.

        The send begins at once, so several go out together: `await gather(send(..), send(..))`.
        Past `max_pending` sends, further ones wait for their turn. Cancelling the future ends the
        waiting and the retries; a request that has left cannot be called back.

        Args:
            topic: Where to.
            body: The message; it is copied.
            tag: What consumers can filter by.
            key: What the message can be looked up by; no spaces.
            keys: Several of those.
            properties: Properties of the application's own.
            delay_level: Delivers it later: 1 to 18, which are 1 s, 5 s, 10 s, 30 s, 1 to 10 min,
                20 min, 30 min, 1 h and 2 h unless the broker is configured otherwise.
            delay: Delivers it after so many seconds: to the second, for up to three days unless
                the broker is configured otherwise. Brokers of 5.x keep timed messages; 4.9 knows
                none and delivers at once.
            deliver_at: Delivers it at this time, in seconds since the Unix epoch as `time.time()`
                counts them; otherwise as `delay`.
            flag: The application's flag, which RocketMQ only carries.
            shard: Messages of equal shards go to the same queue, in their order.
            queue: To this queue only.
            timeout: Seconds allowed, retries included. Default: the producer's.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._queue = loop, _events.queue_of(loop)
        future = _events.CallFuture(loop=loop)
        if properties is not None:
            properties = dict(properties)
        try:
            future.tag = self._native.send(
                self._queue, future, topic, body, tag, key, keys, properties,
                delay_level, delay, deliver_at, flag, shard, queue, timeout,
            )  # fmt: skip
        except OxmqError as error:
            future.set_exception(error)
            return future
        future.queue = self._queue
        future.producer = self._native
        return future

    def recall(self, handle: str) -> asyncio.Future[str]:
        """Takes back a message that was sent for later, by its receipt's `recall_handle`.

        Await the future returned for the message's id. The broker does not deliver it if it still
        waits; there is no telling whether it did. Brokers take messages back from 5.3.1 on, and
        with their setting `recallMessageEnable=true`.
        """
        queue = _events.queue_of(asyncio.get_running_loop())
        return _events.call(queue, self._native.recall, handle)

    def send_oneway(
        self,
        topic: str,
        body: Body,
        *,
        tag: str | None = None,
        key: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        delay_level: int = 0,
        delay: float | None = None,
        deliver_at: float | None = None,
        flag: int = 0,
    ) -> asyncio.Future[None]:
        """Hands a message to a connection and does not wait for an answer.

        The fastest way, for messages that may be lost. Await the future returned to learn that the
        message could be handed over; nothing is known of it afterwards.
        """
        queue = _events.queue_of(asyncio.get_running_loop())
        if properties is not None:
            properties = dict(properties)
        return _events.call(
            queue, self._native.send_oneway, topic, body, tag, key, keys, properties,
            delay_level, delay, deliver_at, flag,
        )  # fmt: skip
