"""Sends one message and consumes it. Stands in the README as it is here."""

import asyncio
import os

import oxmq


async def main() -> None:
    address = os.environ.get("OXMQ_NAME_SERVER", "127.0.0.1:9876")
    async with oxmq.connect(address) as client:
        producer = await client.producer("orders-service")
        receipt = await producer.send("orders", b"one espresso", tag="paid", key="order-42")
        print("stored as", receipt.message_id)

        topics = {"orders": "paid || refunded"}
        async with client.push_consumer("billing", topics, consume_from="first") as consumer:
            async for delivery in consumer:
                print("received", delivery.body.decode())
                await delivery.ack()
                break


asyncio.run(main())
