"""A RocketMQ client: explicit about what was stored, asynchronous, typed.

    async with oxmq.connect("127.0.0.1:9876") as client:
        producer = await client.producer("orders-service")
        receipt = await producer.send("orders", b"...", tag="paid", key="order-42")

        async with client.push_consumer("billing", {"orders": "paid"}) as consumer:
            async for delivery in consumer:
                await delivery.ack()

`oxmq.blocking` is the same for threads that wait; `oxmq.testing` starts a broker inside a test.
"""

from ._client import Client, Connecting, connect
from ._consumer import PushConsumer
from ._errors import (
    Busy,
    Closed,
    Denied,
    InvalidArgument,
    OxmqError,
    ProtocolError,
    Rejected,
    RouteNotFound,
    Timeout,
    Unavailable,
)
from ._native import Delivery, DrainReport, Message, MessageQueue, Receipt
from ._producer import Producer
from ._selector import Sql

__all__ = [
    "Busy",
    "Client",
    "Closed",
    "Connecting",
    "Delivery",
    "Denied",
    "DrainReport",
    "InvalidArgument",
    "Message",
    "MessageQueue",
    "OxmqError",
    "Producer",
    "ProtocolError",
    "PushConsumer",
    "Receipt",
    "Rejected",
    "RouteNotFound",
    "Sql",
    "Timeout",
    "Unavailable",
    "connect",
]
