"""A producer or a consumer of the demonstration; see rust/worker.rs, which does the same."""

import argparse
import asyncio
import json
import sys
from itertools import islice
from typing import Any

import oxmq


def report(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}, separators=(",", ":")), flush=True)


def is_handed_back_once(event_id: str) -> bool:
    total = 7
    for byte in event_id.encode():
        total = (total * 31 + byte) % 1_000_003
    return total % 50 == 0


async def produce(options: argparse.Namespace) -> None:
    async with oxmq.connect(options.name_server) as client:
        producer = await client.producer("demo-producers")
        report("ready")
        with open(options.events, encoding="utf-8") as lines:
            for line in islice(lines, options.part, None, options.parts):
                event = json.loads(line)
                body = event["body"].encode()
                await producer.send(options.topic, body, tag=event["tag"], key=event["id"])
                report("sent", id=event["id"])
                await asyncio.sleep(1 / options.rate)


async def handle(delivery: oxmq.Delivery, hand_back: bool) -> None:
    event_id = delivery.keys[0]
    redelivered = delivery.reconsume_times > 0
    report("received", id=event_id, redelivered=redelivered)
    if hand_back and not redelivered and is_handed_back_once(event_id):
        await delivery.nack(1.0)
        report("handed_back", id=event_id)
    else:
        await delivery.ack()
        report("acked", id=event_id)


async def consume(options: argparse.Namespace) -> None:
    async def until_stdin_ends(consumer: oxmq.PushConsumer) -> None:
        await asyncio.to_thread(sys.stdin.read)
        await consumer.drain(5.0)

    async with oxmq.connect(options.name_server) as client:
        topics = {options.topic: "*"}
        async with client.push_consumer(options.group, topics, consume_from="first") as consumer:
            report("ready")
            stopping = asyncio.create_task(until_stdin_ends(consumer))
            async for delivery in consumer:
                await handle(delivery, options.hand_back)
            await stopping


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("produce", "consume"):
        command = commands.add_parser(name)
        command.add_argument("--name-server", required=True)
        command.add_argument("--topic", required=True)
        if name == "produce":
            command.add_argument("--events", required=True)
            command.add_argument("--part", type=int, required=True)
            command.add_argument("--parts", type=int, required=True)
            command.add_argument("--rate", type=int, required=True)
        else:
            command.add_argument("--group", required=True)
            command.add_argument("--hand-back", action="store_true")
    options = parser.parse_args()
    asyncio.run(produce(options) if options.command == "produce" else consume(options))
    report("done")


if __name__ == "__main__":
    main()
