"""What the promises are tested on, and shorthand for it."""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import oxmq
import wire
from oxmq.testing import DevBroker

QUEUES = 4
"""Queues of the topics made here."""
PATIENCE = 40.0
"""Seconds, longer than anything takes here, rebalances of Apache's included."""
_RUN = uuid.uuid4().hex[:6]


@dataclass
class Server:
    """The cluster that OXMQ_NAME_SERVER names, or else a broker in this process."""

    name_server: str
    broker: str
    embedded: DevBroker | None
    clients: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def knows_new_groups(self) -> bool:
        """Whether it tells a group that has committed nothing from one that has committed 0.

        Apache does so from 5.0 on.
        """
        return self.embedded is not None or not wire.version_of(self.broker).startswith("V4")

    async def client(self) -> oxmq.Client:
        return await self.clients.enter_async_context(oxmq.connect(self.name_server))

    async def with_topic(
        self, topic: str, queues: int = QUEUES
    ) -> tuple[oxmq.Client, oxmq.Producer]:
        """Makes the topic, and a client with a producer."""
        wire.create_topic(self.broker, topic, queues)
        client = await self.client()
        return client, await client.producer("promises")

    def stored(self, topic: str, queues: int = QUEUES) -> int:
        """How many messages a topic has had in all its queues."""
        return sum(wire.max_offset(self.broker, topic, queue) for queue in range(queues))

    def committed(self, group: str, topic: str, queues: int = QUEUES) -> list[int | None]:
        """The offsets that a group has committed."""
        return [wire.committed(self.broker, group, topic, queue) for queue in range(queues)]


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Server]:
    async with contextlib.AsyncExitStack() as stack:
        name_server, embedded = os.environ.get("OXMQ_NAME_SERVER"), None
        if name_server is None:
            embedded = await stack.enter_async_context(DevBroker())
            name_server = embedded.name_server
        server = Server(name_server, wire.broker_of(name_server), embedded)
        async with server.clients:
            yield server


def own(name: str) -> str:
    """A name that no other run has used on the same cluster."""
    return f"py-{name}-{_RUN}"


def from_first(
    client: oxmq.Client, group: str, topic: str, wanted: str | oxmq.Sql = "*"
) -> oxmq.PushConsumer:
    """A consumer from the beginning on."""
    return client.push_consumer(group, {topic: wanted}, consume_from="first")


async def send(producer: oxmq.Producer, topic: str, prefix: str, count: int) -> set[str]:
    """Sends numbered messages: bodies and keys `PREFIX-0`, `PREFIX-1` …"""
    keys = [f"{prefix}-{number}" for number in range(count)]
    for key in keys:
        await producer.send(topic, key.encode(), key=key)
    return set(keys)


async def next_of(consumer: oxmq.PushConsumer) -> oxmq.Delivery:
    """The next message, which must come."""
    async with asyncio.timeout(PATIENCE):
        delivery = await consumer.next()
    assert delivery is not None, "the consumer has ended"
    return delivery


async def take(consumer: oxmq.PushConsumer, count: int) -> set[str]:
    """Takes and acknowledges so many: their keys."""
    keys: set[str] = set()
    for _ in range(count):
        delivery = await next_of(consumer)
        await delivery.ack()
        key = " ".join(delivery.keys)
        assert key not in keys, f"{key} came twice"
        keys.add(key)
    return keys


async def until(what: str, is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits until something that no event tells of is so."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = is_so()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.02)


class SilentBroker:
    """Takes connections and what they bring, and never answers."""

    def __init__(self) -> None:
        self.received = 0
        self._connections: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "SilentBroker":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(writer)
        while received := await reader.read(1 << 20):
            self.received += len(received)
