"""The client."""

import asyncio
import contextlib
import weakref
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from . import _events, _log, _native, _selector
from ._consumer import PushConsumer
from ._producer import Producer
from ._selector import Sql


class Client:
    """One client of one cluster: its connections, routes and heartbeats.

    Made by `connect`. Producers and consumers made from it share all of it.
    """

    def __init__(self, native: _native.Client) -> None:
        self._native = native
        self._queue = _events.queue_of(asyncio.get_running_loop())
        self._consumers: weakref.WeakSet[PushConsumer] = weakref.WeakSet()

    @property
    def client_id(self) -> str:
        """As brokers know this client."""
        return self._native.client_id

    async def producer(
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
        """Starts a producer. The group's name tells operators who sends.

        Args:
            group: The producer's group.
            timeout: Seconds allowed for a send, retries included. Default: 10.
            attempt_timeout: Seconds allowed for one attempt. Default: 3.
            retries: How often a failed attempt is repeated. Default: 2.
            max_message_bytes: The longest body, before compression. Default: 4 MiB.
            compress_above: Bodies longer than this are compressed. Default: 4096 bytes.
            max_pending: How many sends may be on their way; more wait for their turn. Default:
                16,384.
        """
        options = {
            "group": group,
            "timeout": timeout,
            "attempt_timeout": attempt_timeout,
            "retries": retries,
            "max_message_bytes": max_message_bytes,
            "compress_above": compress_above,
            "max_pending": max_pending,
        }
        return Producer(await _events.call(self._queue, self._native.producer, options))

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
        """Sets up a consumer, which starts with `async with`, or when it is awaited.

        The members of a group share the messages of the topics that they subscribe to, all in the
        same way.

        Args:
            group: The consumer's group.
            subscriptions: For each topic `*`, tags joined by `||`, or an `Sql` condition.
            consume_from: Where the group starts in a queue that it has no committed offset of: at
                the `last` message, at the `first`, or at a time, milliseconds since 1970.
            max_in_flight: How many messages of one queue may be unsettled. Default: 1,000.
            max_in_flight_bytes: How many bytes of their bodies. Default: 32 MiB.
            max_reconsume_times: How often a message is delivered again before it goes to the
                dead-letter topic. Default: 16.
            commit_interval: How many seconds between two commits of progress. Default: 5.
        """
        options = {
            "group": group,
            "subscriptions": _selector.flat(subscriptions),
            "consume_from": consume_from,
            "max_in_flight": max_in_flight,
            "max_in_flight_bytes": max_in_flight_bytes,
            "max_reconsume_times": max_reconsume_times,
            "commit_interval": commit_interval,
        }
        consumer = PushConsumer(self._native, self._queue, options)
        self._consumers.add(consumer)
        return consumer

    async def close(self) -> None:
        """Closes its consumers, then all connections. Sends under way fail."""
        closing = [consumer.close() for consumer in list(self._consumers)]
        try:
            await asyncio.gather(*closing)
        finally:
            self._native.close()
            _log.forward()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Connecting(contextlib.AbstractAsyncContextManager[Client]):
    """A client about to connect: await it, or enter it with `async with`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._client: Client | None = None

    async def _connect(self) -> Client:
        _log.start()
        queue = _events.queue_of(asyncio.get_running_loop())
        return Client(await _events.call(queue, _native.Client.connect, self._options))

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()


def connect(
    name_servers: str,
    *,
    instance_name: str | None = None,
    address_map: Mapping[str, str] | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    connect_timeout: float | None = None,
) -> Connecting:
    """Connects to a cluster: `async with connect(...) as client`, or `client = await connect(...)`.

    Args:
        name_servers: `host:port`, several separated by `;`.
        instance_name: The first part of the client's id, which operators see.
        address_map: Where to connect instead, for each address that cannot be reached as the
            cluster advertises it.
        access_key: The user that signs every request, for a cluster that asks for it (RocketMQ's
            ACL). Default: nobody.
        secret_key: That user's secret.
        connect_timeout: How many seconds it may take. Default: 5.
    """
    options = {
        "name_servers": name_servers,
        "instance_name": instance_name,
        "address_map": None if address_map is None else dict(address_map),
        "credentials": None if access_key is None else (access_key, secret_key or ""),
        "connect_timeout": connect_timeout,
    }
    return Connecting(options)
