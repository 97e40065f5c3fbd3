"""A member of a group in a process of its own: says when it holds queues, waits to be killed."""

import asyncio
import sys

import oxmq
from support import until


async def main(name_server: str, group: str, topic: str) -> None:
    async with oxmq.connect(name_server) as client:
        async with client.push_consumer(group, {topic: "*"}) as consumer:
            await until("two queues", lambda: len(consumer.assignment()) == 2)
            print("holds 2", flush=True)
            await consumer.next()


asyncio.run(main(*sys.argv[1:]))
