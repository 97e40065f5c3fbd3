"""What a type checker must make of an application: checked, not run."""

import asyncio
from typing import assert_type

import oxmq
import oxmq.blocking
from oxmq.testing import DevBroker


async def application(broker: DevBroker) -> None:
    async with oxmq.connect(broker.name_server, address_map={"a:1": "b:2"}) as client:
        assert_type(client, oxmq.Client)
        producer = await client.producer("orders-service", timeout=3)
        receipt = await producer.send("orders", b"...", tag="paid", key="order-42")
        assert_type(receipt, oxmq.Receipt)
        receipts = await asyncio.gather(*(producer.send("orders", b"") for _ in range(3)))
        assert_type(receipts, list[oxmq.Receipt])
        assert_type(await producer.send_oneway("orders", memoryview(b"")), None)

        async with client.push_consumer("billing", {"orders": "paid"}) as consumer:
            async for delivery in consumer:
                assert_type(delivery, oxmq.Delivery)
                assert_type(delivery.body, bytes)
                assert_type(delivery.tag, str | None)
                assert_type(delivery.keys, list[str])
                await delivery.ack()
                await delivery.nack(1.5)
                await delivery.reject("why")
            assert_type(await consumer.next(), oxmq.Delivery | None)
            assert_type(await consumer.drain(20), oxmq.DrainReport)

        started = await client.push_consumer(
            "audit", {"orders": "*"}, consume_from=1_700_000_000_000
        )
        assert_type(started, oxmq.PushConsumer)

        async def handler(delivery: oxmq.Delivery) -> None:
            print(delivery.message_id)

        await started.run(handler, concurrency=16)
        await broker.advance(3600)


def threads(name_server: str) -> None:
    with oxmq.blocking.connect(name_server) as client:
        producer = client.producer("orders-service")
        assert_type(producer.send("orders", b"..."), oxmq.Receipt)
        messages = [oxmq.Message("orders", b"...", keys=["a", "b"])]
        assert_type(producer.send_many(messages), list[oxmq.Receipt])
        both = producer.send_many(messages, return_exceptions=True)
        assert_type(both, list[oxmq.Receipt | oxmq.OxmqError])
        handle = producer.send_nowait("orders", b"...")
        assert_type(handle.result(timeout=1), oxmq.Receipt)
        for delivery in client.push_consumer("billing", {"orders": "*"}):
            assert_type(delivery, oxmq.blocking.Delivery)
            delivery.ack()


def errors(error: oxmq.OxmqError) -> str:
    match error:
        case oxmq.Busy() | oxmq.Unavailable():
            return f"try again: {error.retryable}"
        case oxmq.Rejected(response_code=int() as code):
            return f"code {code}"
        case _:
            return f"{error.kind} {error.stored} {error.hint or ''}"
