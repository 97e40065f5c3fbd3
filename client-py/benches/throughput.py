"""Messages a second through one Python process: sent many at once, received with an ack each.

Give it a broker in a process of its own (`broker-dev`), so that the figures are the client's. It
counts receipts and message ids, not calls, and prints one JSON object a line.

    python client-py/benches/throughput.py 127.0.0.1:9876
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from itertools import islice

import oxmq
import oxmq.blocking

WARM_UP = 64


class Stopwatch:
    """Time passed, and processor time of this process."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def figures(self, count: int) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {
            "messages": count,
            "seconds": round(wall, 3),
            "messages_per_second": round(count / wall),
            "cpu_us_per_message": round(cpu * 1e6 / count, 2),
        }


def report(direction: str, how: str, figures: dict[str, float]) -> None:
    print(json.dumps({"direction": direction, "how": how, **figures}), flush=True)


async def tasks(producer: oxmq.Producer, topic: str, body: bytes, count: int, at_once: int) -> None:
    """Sends from so many tasks, each awaiting one send after the other."""
    ids: set[str] = set()

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            ids.add((await producer.send(topic, body)).message_id)

    numbers = iter(range(count))
    watch = Stopwatch()
    await asyncio.gather(*(work(numbers) for _ in range(at_once)))
    figures = watch.figures(count)
    assert len(ids) == count
    report("send", f"asyncio, tasks: {at_once:,}", figures)


async def gathered(
    producer: oxmq.Producer, topic: str, body: bytes, count: int, at_once: int
) -> None:
    """Sends so many and awaits them together, again and again."""
    ids: set[str] = set()
    numbers = iter(range(count))
    watch = Stopwatch()
    while batch := [producer.send(topic, body) for _ in islice(numbers, at_once)]:
        ids.update(receipt.message_id for receipt in await asyncio.gather(*batch))
    figures = watch.figures(count)
    assert len(ids) == count
    report("send", f"asyncio, gather of {at_once:,}", figures)


async def received(client: oxmq.Client, topic: str, count: int) -> None:
    """Iterates over what is stored, reads each body, acknowledges each message."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    ids: set[str] = set()
    total = 0
    watch: Stopwatch | None = None
    async with client.push_consumer(group, {topic: "*"}, consume_from="first") as consumer:
        async for delivery in consumer:
            # From the first message on: joining the group is not what is measured.
            watch = watch or Stopwatch()
            total += len(delivery.body)
            await delivery.ack()
            ids.add(delivery.message_id)
            if len(ids) == count:
                break
        assert watch is not None
        report("receive", "asyncio, async for", {**watch.figures(count), "bytes": total})
        await consumer.commit()


async def handled(client: oxmq.Client, topic: str, count: int) -> None:
    """The same with a handler in workers."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    ids: set[str] = set()
    done = asyncio.Event()

    watch: Stopwatch | None = None

    async def handler(delivery: oxmq.Delivery) -> None:
        nonlocal watch
        watch = watch or Stopwatch()
        ids.add(delivery.message_id)
        if len(ids) == count:
            done.set()

    async with client.push_consumer(group, {topic: "*"}, consume_from="first") as consumer:
        running = asyncio.create_task(consumer.run(handler, concurrency=16))
        await done.wait()
        assert watch is not None
        report("receive", "asyncio, run with 16 workers", watch.figures(count))
        await consumer.drain(5)
        await running


async def measure(options: argparse.Namespace) -> int:
    """Runs all asyncio cases; returns how many messages the topic has."""
    body = bytes(options.bytes)
    stored = 0
    async with oxmq.connect(options.name_server) as client:
        producer = await client.producer("bench", compress_above=1 << 30)
        # Creates the topic and the connections.
        await asyncio.gather(*(producer.send(options.topic, body) for _ in range(WARM_UP)))
        stored += WARM_UP
        for at_once, count in ((1, options.count // 20), (100, options.count)):
            await tasks(producer, options.topic, body, count, at_once)
            stored += count
        for at_once in (200, 1_000):
            await gathered(producer, options.topic, body, options.count, at_once)
            stored += options.count
        await received(client, options.topic, stored)
        await handled(client, options.topic, stored)
    return stored


def blocking(options: argparse.Namespace) -> None:
    """Runs the blocking cases."""
    body = bytes(options.bytes)
    with oxmq.blocking.connect(options.name_server) as client:
        producer = client.producer("bench", compress_above=1 << 30)
        watch = Stopwatch()
        count = options.count // 20
        ids = {producer.send(options.topic, body).message_id for _ in range(count)}
        figures = watch.figures(count)
        assert len(ids) == count
        report("send", "blocking, one at a time", figures)
        message = oxmq.Message(options.topic, body)
        watch = Stopwatch()
        ids = set()
        for _ in range(options.count // 200):
            ids.update(receipt.message_id for receipt in producer.send_many([message] * 200))
        figures = watch.figures(len(ids))
        assert len(ids) == options.count // 200 * 200
        report("send", "blocking, send_many of 200", figures)


def main() -> None:
    """Reads the arguments, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name_server")
    parser.add_argument("--count", type=int, default=200_000, help="messages of each case")
    parser.add_argument("--bytes", type=int, default=1_024, help="bytes of a body")
    parser.add_argument("--topic", default=f"bench-{uuid.uuid4().hex[:8]}")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, if installed")
    options = parser.parse_args()
    if options.uvloop:
        import uvloop

        uvloop.run(measure(options))
    else:
        asyncio.run(measure(options))
    blocking(options)


if __name__ == "__main__":
    main()
