"""The native half: what the Python half is written on."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, final

_Body = bytes | bytearray | memoryview
_Options = Mapping[str, Any]

@final
class MessageQueue:
    """One queue of a topic: the unit that a consumer group shares out."""

    def __new__(cls, topic: str, broker_name: str, queue_id: int) -> MessageQueue: ...
    @property
    def topic(self) -> str: ...
    @property
    def broker_name(self) -> str:
        """The name of the broker that holds it."""
    @property
    def queue_id(self) -> int:
        """Its number on that broker, from 0."""

@final
class Message:
    """A message to be sent, for calls that take several."""

    def __new__(
        cls,
        topic: str,
        body: _Body,
        *,
        tag: str | None = None,
        key: str | None = None,
        keys: Iterable[str] | None = None,
        properties: dict[str, str] | None = None,
        delay_level: int = 0,
        delay: float | None = None,
        deliver_at: float | None = None,
        flag: int = 0,
    ) -> Message: ...
    @property
    def topic(self) -> str: ...
    @property
    def body(self) -> bytes: ...

@final
class Receipt:
    """A message was stored, and this is where."""

    @property
    def message_id(self) -> str:
        """The message's id, the same for every attempt: what consumers see."""
    @property
    def offset_message_id(self) -> str:
        """Where the broker keeps it."""
    @property
    def queue(self) -> MessageQueue: ...
    @property
    def queue_offset(self) -> int:
        """Its place in the queue, counted in messages from 0."""
    @property
    def status(
        self,
    ) -> Literal["Stored", "FlushDiskTimeout", "FlushSlaveTimeout", "SlaveNotAvailable"]:
        """How safely it is stored."""
    @property
    def attempts(self) -> int:
        """How many attempts it took."""
    @property
    def recall_handle(self) -> str | None:
        """What a message sent for later can be taken back with; see `Producer.recall`."""

class Received:
    """A message received."""

    @property
    def topic(self) -> str:
        """The topic that it was sent to, also when it comes back after a `nack`."""
    @property
    def body(self) -> bytes: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def message_id(self) -> str:
        """The id that the producer gave it, the same for every copy."""
    @property
    def offset_message_id(self) -> str:
        """Where the broker keeps this copy."""
    @property
    def properties(self) -> MappingProxyType[str, str]:
        """All properties, RocketMQ's own included."""
    @property
    def queue(self) -> MessageQueue:
        """Where it was read from; for one that was handed back, a queue of the retry topic."""
    @property
    def queue_offset(self) -> int: ...
    @property
    def reconsume_times(self) -> int:
        """How often it was handed back before."""
    @property
    def flag(self) -> int: ...
    @property
    def born_timestamp(self) -> int:
        """When it was sent, milliseconds since 1970."""
    @property
    def store_timestamp(self) -> int:
        """When it was stored, milliseconds since 1970."""
    @property
    def born_host(self) -> str:
        """Who sent it, `host:port`."""

@final
class Delivery(Received):
    """A message received, to be settled with `ack`, `nack` or `reject`, in any order."""

    def ack(self) -> Awaitable[None]:
        """It is done. Takes effect at once; brokers are told every few seconds."""
    def nack(self, delay: float = 0.0) -> Awaitable[None]:
        """It could not be done now: it is delivered again after so many seconds or more.

        Rounded up to a delay level (1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h);
        0 lets the broker choose, longer from time to time. After `max_reconsume_times` it goes to
        the dead-letter topic.
        """
    def reject(self, reason: str = "") -> Awaitable[None]:
        """It can never be done: it goes to the group's dead-letter topic."""

@final
class BlockingDelivery(Received):
    """A message received, to be settled with `ack`, `nack` or `reject`, in any order."""

    def ack(self) -> None:
        """It is done. Takes effect at once; brokers are told every few seconds."""
    def nack(self, delay: float = 0.0) -> None:
        """It could not be done now: see `oxmq.Delivery.nack`."""
    def reject(self, reason: str = "") -> None:
        """It can never be done: it goes to the group's dead-letter topic."""

@final
class DrainReport:
    """What became of a consumer's messages when it ended."""

    @property
    def finished(self) -> int:
        """Deliveries that the application had and settled in time."""
    @property
    def handed_back(self) -> int:
        """Messages fetched that the application did not have: other members get them."""
    @property
    def abandoned(self) -> int:
        """Deliveries that the application had and did not settle: they come again."""
    @property
    def committed(self) -> list[tuple[MessageQueue, int]]:
        """The offsets that brokers know now."""

@final
class Handle:
    """A send under way."""

    def done(self) -> bool:
        """Whether there is a result."""
    def cancel(self) -> None:
        """Stops its retries. A request that has left cannot be called back."""
    def result(self, timeout: float | None = None) -> Receipt:
        """Waits for the receipt, for so many seconds at most (`TimeoutError`)."""

@final
class Queue:
    def __new__(cls, descriptor: bool) -> Queue: ...
    def fileno(self) -> int: ...
    def wait(self, seconds: float) -> bool: ...
    def drain(self) -> bool: ...
    def cancel(self, tag: int) -> None: ...
    def pending(self) -> int: ...

_Future = asyncio.Future[Any]

@final
class Client:
    @staticmethod
    def connect(queue: Queue, future: _Future, options: _Options) -> int: ...
    def producer(self, queue: Queue, future: _Future, options: _Options) -> int: ...
    def consumer(
        self, queue: Queue, future: _Future, options: _Options, wake: Callable[[], object]
    ) -> int: ...
    @property
    def client_id(self) -> str: ...
    def close(self) -> None: ...

@final
class Producer:
    @property
    def group(self) -> str: ...
    def send(
        self,
        queue: Queue,
        future: _Future,
        topic: str,
        body: _Body,
        tag: str | None,
        key: str | None,
        keys: Iterable[str] | None,
        properties: Mapping[str, str] | None,
        delay_level: int,
        delay: float | None,
        deliver_at: float | None,
        flag: int,
        shard: str | None,
        to_queue: MessageQueue | None,
        timeout: float | None,
    ) -> int: ...
    def send_oneway(
        self,
        queue: Queue,
        future: _Future,
        topic: str,
        body: _Body,
        tag: str | None,
        key: str | None,
        keys: Iterable[str] | None,
        properties: Mapping[str, str] | None,
        delay_level: int,
        delay: float | None,
        deliver_at: float | None,
        flag: int,
    ) -> int: ...
    def recall(self, queue: Queue, future: _Future, handle: str) -> int: ...
    def cancel(self, tag: int) -> None: ...

@final
class Consumer:
    def take(self, max: int, max_bytes: int) -> tuple[list[Delivery], bool]: ...
    def give_back(self, deliveries: list[Delivery]) -> None: ...
    def assignment(self) -> list[MessageQueue]: ...
    def commit(self) -> Awaitable[None]: ...
    def drain(self, queue: Queue, future: _Future, deadline: float) -> int: ...

@final
class BlockingClient:
    @staticmethod
    def connect(options: _Options) -> BlockingClient: ...
    def producer(self, options: _Options) -> BlockingProducer: ...
    def consumer(self, options: _Options) -> BlockingConsumer: ...
    @property
    def client_id(self) -> str: ...
    def close(self) -> None: ...

@final
class BlockingProducer:
    @property
    def group(self) -> str: ...
    def send_nowait(
        self,
        topic: str,
        body: _Body,
        tag: str | None,
        key: str | None,
        keys: Iterable[str] | None,
        properties: Mapping[str, str] | None,
        delay_level: int,
        delay: float | None,
        deliver_at: float | None,
        flag: int,
        shard: str | None,
        to_queue: MessageQueue | None,
        timeout: float | None,
    ) -> Handle: ...
    def send_all_nowait(self, messages: list[Message]) -> list[Handle]: ...
    def recall(self, handle: str) -> str: ...
    def send_oneway(self, message: Message) -> None: ...

@final
class BlockingConsumer:
    def next(self, timeout: float | None = None) -> BlockingDelivery | None: ...
    def assignment(self) -> list[MessageQueue]: ...
    def commit(self) -> None: ...
    def drain(self, deadline: float) -> DrainReport: ...

@final
class DevBroker:
    @staticmethod
    def start(options: _Options) -> DevBroker: ...
    @staticmethod
    def start_in(queue: Queue, future: _Future, options: _Options) -> int: ...
    @property
    def name_server(self) -> str: ...
    @property
    def broker_address(self) -> str: ...
    @property
    def store(self) -> os.PathLike[str]: ...
    def advance(self, duration: float) -> None: ...
    def advance_in(self, queue: Queue, future: _Future, duration: float) -> int: ...
    def stop(self) -> None: ...
    def stop_in(self, queue: Queue, future: _Future) -> int: ...

def forked() -> None: ...
def start_log(level: int) -> None: ...
def drain_log() -> list[tuple[int, str, str]]: ...
