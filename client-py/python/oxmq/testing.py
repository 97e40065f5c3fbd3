"""A name server and a broker inside the test's process.

    with DevBroker() as broker:
        ... connect(broker.name_server) ...
        broker.advance(3600)  # an hour later

It listens on free ports of this machine, is ready in milliseconds, and leaves nothing behind. With
pytest, the fixture `oxmq_broker` is one, new for each test.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from . import _events, _native

__all__ = ["DevBroker"]


class DevBroker:
    """A broker to test with: `with` or `async with` starts and stops it."""

    def __init__(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        name_server_address: str | None = None,
        broker_address: str | None = None,
        settings: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        """Sets up a broker.

        Args:
            store: The folder of its data, which then stays. Default: a temporary one.
            name_server_address: Where the name server listens. Default: a free port of 127.0.0.1.
            broker_address: Where the broker listens. Default: a free port of 127.0.0.1.
            settings: RocketMQ's configuration keys, for instance `{"flushDiskType": "SYNC_FLUSH"}`.
        """
        self._options: dict[str, Any] = {
            "store": None if store is None else os.fspath(store),
            "name_server_address": name_server_address,
            "broker_address": broker_address,
            "settings": [(key, _text(value)) for key, value in (settings or {}).items()],
        }
        self._native: _native.DevBroker | None = None

    @property
    def name_server(self) -> str:
        """Where clients begin, `host:port`."""
        return self._started().name_server

    @property
    def broker_address(self) -> str:
        """Where messages go, `host:port`."""
        return self._started().broker_address

    @property
    def store(self) -> str:
        """The folder of its data."""
        return os.fspath(self._started().store)

    def start(self) -> None:
        """Starts it; in an event loop use `async with`."""
        self._native = _native.DevBroker.start(self._options)

    def stop(self) -> None:
        """Stops it cleanly."""
        if self._native is not None:
            self._native.stop()

    def advance(self, seconds: float) -> Awaitable[None]:
        """Moves the broker's time ahead.

        When it returns, whatever is due by then is done: delayed messages are in their topics,
        waits have ended. Await what it returns in an event loop; elsewhere, it has happened.
        """
        try:
            queue = _events.queue_of(asyncio.get_running_loop())
        except RuntimeError:
            self._started().advance(seconds)
            return _Nothing()
        return _events.call(queue, self._started().advance_in, seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self._native = await self._call(_native.DevBroker.start_in, self._options)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._call(self._started().stop_in)

    @staticmethod
    def _call(start: Callable[..., int], *arguments: Any) -> asyncio.Future[Any]:
        return _events.call(_events.queue_of(asyncio.get_running_loop()), start, *arguments)

    def _started(self) -> _native.DevBroker:
        if self._native is None:
            raise RuntimeError("the broker has not started: use `with`")
        return self._native


class _Nothing:
    """Something to await that is done."""

    def __await__(self) -> Any:
        return iter(())


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
