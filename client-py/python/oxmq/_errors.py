"""What can go wrong: one class for each thing that a caller can do about it."""

from typing import Any, ClassVar, Literal


class OxmqError(Exception):
    """An operation failed. Its text tells all that is known, and what to try."""

    kind: ClassVar[str] = "Error"
    """The name of the kind, the same in every language."""

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        stored: Literal["no", "unknown"] = "no",
        operation: str | None = None,
        reason: str | None = None,
        hint: str | None = None,
        response_code: int | None = None,
        topic: str | None = None,
        group: str | None = None,
        queue_id: int | None = None,
        broker: str | None = None,
        address: str | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        """Whether the same call may succeed later without anything being changed."""
        self.stored: Literal["no", "unknown"] = stored
        """Of a send: `no`, or `unknown` if the message may have been stored nevertheless."""
        self.operation = operation
        """What was being done, for instance `send`."""
        self.reason = reason
        """What went wrong, without the context."""
        self.hint = hint
        """What to try."""
        self.response_code = response_code
        """The code of the broker's answer, if there was one."""
        self.topic = topic
        self.group = group
        self.queue_id = queue_id
        self.broker = broker
        self.address = address
        """The address that was spoken to."""
        self.attempts = attempts
        """How often it was tried."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), str(self), self.__dict__)


class InvalidArgument(OxmqError, ValueError):
    """The call itself is wrong: a name, a size or a text that RocketMQ cannot carry."""

    kind = "InvalidArgument"


class RouteNotFound(OxmqError):
    """No name server knows the topic."""

    kind = "RouteNotFound"


class Timeout(OxmqError, TimeoutError):
    """The time allowed is over."""

    kind = "Timeout"


class Unavailable(OxmqError, ConnectionError):
    """Nobody could be reached, or the broker is not serving."""

    kind = "Unavailable"


class Busy(OxmqError):
    """There is more load than can be taken now."""

    kind = "Busy"


class Denied(OxmqError, PermissionError):
    """The broker does not permit it."""

    kind = "Denied"


class Rejected(OxmqError):
    """The broker refused with a code that asks for nothing else; see `response_code`."""

    kind = "Rejected"


class ProtocolError(OxmqError):
    """The other side speaks something that is not RocketMQ's protocol."""

    kind = "Protocol"


class Closed(OxmqError):
    """The client, the producer or the consumer was closed, or the call was cancelled."""

    kind = "Closed"


_CLASSES: dict[str, type[OxmqError]] = {
    cls.kind: cls
    for cls in (
        InvalidArgument,
        RouteNotFound,
        Timeout,
        Unavailable,
        Busy,
        Denied,
        Rejected,
        ProtocolError,
        Closed,
    )
}


def make(kind: str, message: str, **details: Any) -> OxmqError:
    """Makes an error of a kind; called by the native module."""
    return _CLASSES.get(kind, OxmqError)(message, **details)


def _restore(cls: type[OxmqError], message: str, details: dict[str, Any]) -> OxmqError:
    error = cls(message)
    error.__dict__.update(details)
    return error
