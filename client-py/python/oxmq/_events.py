"""What binds an event loop to the client's threads: one queue of results for each loop."""

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from . import _log, _native

Loop = asyncio.AbstractEventLoop

_queues: weakref.WeakKeyDictionary[Loop, weakref.ref[_native.Queue]] = weakref.WeakKeyDictionary()


class CallFuture(asyncio.Future[Any]):
    """The future of a native call: cancelling it frees the call's place."""

    queue: _native.Queue | None = None
    producer: _native.Producer | None = None
    tag: int = 0

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancels the future, and the work if it has not begun."""
        if not super().cancel(msg):
            return False
        if self.queue is not None:
            self.queue.cancel(self.tag)
        if self.producer is not None:
            self.producer.cancel(self.tag)
        return True


def queue_of(loop: Loop) -> _native.Queue:
    """Finds or makes the queue of a loop, which must be this thread's.

    Whoever uses the queue holds it; so does the loop while it watches it. It goes with them.
    """
    held = _queues.get(loop)
    queue = held() if held is not None else None
    if queue is None:
        queue = _watched(loop)
        _queues[loop] = weakref.ref(queue)
    return queue


def new_future(queue: _native.Queue) -> CallFuture:
    """Makes a future of the running loop, which must be the queue's; called natively."""
    loop = asyncio.get_running_loop()
    if queue_of(loop) is not queue:
        raise RuntimeError("this belongs to another event loop: use it in the loop that it is of")
    future = CallFuture(loop=loop)
    future.queue = queue
    return future


def call(queue: _native.Queue, start: Callable[..., int], *arguments: Any) -> CallFuture:
    """Starts a native call that takes a queue and a future first."""
    future = new_future(queue)
    future.tag = start(queue, future, *arguments)
    return future


def _watched(loop: Loop) -> _native.Queue:
    if os.name == "posix":
        queue = _native.Queue(descriptor=True)
        # Not every loop can watch descriptors.
        with contextlib.suppress(NotImplementedError):
            loop.add_reader(queue.fileno(), _drain, loop, queue)
            return queue
    queue = _native.Queue(descriptor=False)
    held = weakref.ref(queue)
    watch = threading.Thread(target=_wait, args=(loop, held), name="oxmq-events", daemon=True)
    watch.start()
    return queue


def _drain(loop: Loop, queue: _native.Queue) -> None:
    more = queue.drain()
    _log.forward()
    if more:
        loop.call_soon(_drain, loop, queue)


def _wait(loop: Loop, held: weakref.ref[_native.Queue]) -> None:
    """Waits for results in a thread of its own, for loops that cannot watch descriptors."""

    def drain_and_tell(queue: _native.Queue, drained: threading.Event) -> None:
        try:
            _drain(loop, queue)
        finally:
            drained.set()

    while not loop.is_closed():
        queue = held()
        if queue is None:
            return
        if queue.wait(1.0):
            drained = threading.Event()
            try:
                loop.call_soon_threadsafe(drain_and_tell, queue, drained)
            except RuntimeError:
                return
            while not drained.wait(1.0) and not loop.is_closed():
                pass
        del queue


def _after_fork() -> None:
    _native.forked()
    _queues.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
