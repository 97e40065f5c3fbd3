"""The client for threads that wait: the same nouns and verbs, without `await`.

    with oxmq.blocking.connect("127.0.0.1:9876") as client:
        producer = client.producer("orders-service")
        receipt = producer.send("orders", b"...", tag="paid")

A send that waits is one round trip, so one thread sends some thousands a second. `send_nowait` and
`send_many` keep many under way. Everything may be used from several threads at once.
"""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Literal, Self, overload

from . import _log, _native, _selector
from ._errors import OxmqError
from ._native import BlockingDelivery as Delivery
from ._native import DrainReport, Handle, Message, MessageQueue, Receipt
from ._producer import Body
from ._selector import Sql

__all__ = ["Client", "Delivery", "Handle", "Producer", "PushConsumer", "connect"]


class Producer:
    """Sends messages. Made by `Client.producer`."""

    def __init__(self, native: _native.BlockingProducer) -> None:
        self._native = native

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
    ) -> Receipt:
        """Sends a message and waits for the receipt; see `oxmq.Producer.send`."""
        handle = self.send_nowait(
            topic, body, tag=tag, key=key, keys=keys, properties=properties,
            delay_level=delay_level, delay=delay, deliver_at=deliver_at, flag=flag,
            shard=shard, queue=queue, timeout=timeout,
        )  # fmt: skip
        try:
            return handle.result()
        finally:
            _log.forward()

    def send_nowait(
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
    ) -> Handle:
        """Sends a message; the handle's `result()` waits for the receipt.

        It waits only while `max_pending` sends are on their way.
        """
        if properties is not None:
            properties = dict(properties)
        return self._native.send_nowait(
            topic, body, tag, key, keys, properties, delay_level, delay, deliver_at, flag,
            shard, queue, timeout,
        )  # fmt: skip

    @overload
    def send_many(
        self, messages: Iterable[Message], *, return_exceptions: Literal[False] = False
    ) -> list[Receipt]: ...

    @overload
    def send_many(
        self, messages: Iterable[Message], *, return_exceptions: bool
    ) -> list[Receipt | OxmqError]: ...

    def send_many(
        self, messages: Iterable[Message], *, return_exceptions: bool = False
    ) -> list[Receipt] | list[Receipt | OxmqError]:
        """Sends many at once, each by itself, and waits for all; receipts come in their order.

        If some fail, the first error is raised when all have ended; or, with
        `return_exceptions=True`, errors stand in the list in place of receipts.
        """
        outcomes: list[Receipt | OxmqError] = []
        for handle in self._native.send_all_nowait(list(messages)):
            try:
                outcomes.append(handle.result())
            except OxmqError as error:
                outcomes.append(error)
        _log.forward()
        if return_exceptions:
            return outcomes
        receipts: list[Receipt] = []
        for outcome in outcomes:
            if isinstance(outcome, OxmqError):
                raise outcome
            receipts.append(outcome)
        return receipts

    def recall(self, handle: str) -> str:
        """Takes back a message that was sent for later; see `oxmq.Producer.recall`."""
        try:
            return self._native.recall(handle)
        finally:
            _log.forward()

    def send_oneway(self, message: Message) -> None:
        """Hands a message to a connection and does not wait for an answer: it may be lost."""
        self._native.send_oneway(message)


class PushConsumer:
    """Receives messages. Made by `Client.push_consumer`; iterate over it."""

    def __init__(self, native: _native.BlockingConsumer) -> None:
        self._native = native

    def next(self, timeout: float | None = None) -> Delivery | None:
        """Waits for the next delivery.

        Returns `None` after so many seconds, or once the consumer is drained or closed.
        """
        try:
            return self._native.next(timeout)
        finally:
            _log.forward()

    def __iter__(self) -> Iterator[Delivery]:
        while (delivery := self.next()) is not None:
            yield delivery

    def assignment(self) -> list[MessageQueue]:
        """Lists the queues that this member owns now."""
        return self._native.assignment()

    def commit(self) -> None:
        """Tells brokers of all progress now; it also happens every few seconds by itself."""
        self._native.commit()

    def drain(self, seconds: float) -> DrainReport:
        """Ends in good order: takes no more messages, waits for those in hand, commits, leaves."""
        return self._native.drain(seconds)

    def close(self) -> None:
        """Leaves the group at once, having committed. Does nothing if it has ended."""
        self._native.drain(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Client:
    """One client of one cluster. Made by `connect`."""

    def __init__(self, native: _native.BlockingClient) -> None:
        self._native = native
        self._consumers: weakref.WeakSet[PushConsumer] = weakref.WeakSet()

    @property
    def client_id(self) -> str:
        """As brokers know this client."""
        return self._native.client_id

    def producer(
        self,
        group: str,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        retries: int | None = None,
        max_message_bytes: int | None = None,
        compress_above: int | None = None,
        max_pending: int | None = None,
    ) -> Producer:
        """Starts a producer; see `oxmq.Client.producer`."""
        options = {
            "group": group,
            "timeout": timeout,
            "attempt_timeout": attempt_timeout,
            "retries": retries,
            "max_message_bytes": max_message_bytes,
            "compress_above": compress_above,
            "max_pending": max_pending,
        }
        return Producer(self._native.producer(options))

    def push_consumer(
        self,
        group: str,
        subscriptions: Mapping[str, str | Sql],
        *,
        consume_from: Literal["last", "first"] | int = "last",
        max_in_flight: int | None = None,
        max_in_flight_bytes: int | None = None,
        max_reconsume_times: int | None = None,
        commit_interval: float | None = None,
    ) -> PushConsumer:
        """Starts a consumer; see `oxmq.Client.push_consumer`."""
        options = {
            "group": group,
            "subscriptions": _selector.flat(subscriptions),
            "consume_from": consume_from,
            "max_in_flight": max_in_flight,
            "max_in_flight_bytes": max_in_flight_bytes,
            "max_reconsume_times": max_reconsume_times,
            "commit_interval": commit_interval,
        }
        consumer = PushConsumer(self._native.consumer(options))
        self._consumers.add(consumer)
        return consumer

    def close(self) -> None:
        """Closes its consumers, then all connections. Sends under way fail."""
        try:
            for consumer in list(self._consumers):
                consumer.close()
        finally:
            self._native.close()
            _log.forward()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    name_servers: str,
    *,
    instance_name: str | None = None,
    address_map: Mapping[str, str] | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    connect_timeout: float | None = None,
) -> Client:
    """Connects to a cluster; see `oxmq.connect`."""
    _log.start()
    options = {
        "name_servers": name_servers,
        "instance_name": instance_name,
        "address_map": None if address_map is None else dict(address_map),
        "credentials": None if access_key is None else (access_key, secret_key or ""),
        "connect_timeout": connect_timeout,
    }
    return Client(_native.BlockingClient.connect(options))
