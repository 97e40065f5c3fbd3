"""Event loops: several, closed ones, ones that cannot watch descriptors; forks and exits."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import Any

import oxmq
import pytest
from oxmq import _events
from oxmq.testing import DevBroker
from support import SilentBroker, next_of


async def send_and_receive(name_server: str, topic: str, count: int) -> None:
    async with oxmq.connect(name_server) as client:
        producer = await client.producer("looping")
        bodies = [f"{topic}-{number}".encode() for number in range(count)]
        await asyncio.gather(*(producer.send(topic, body) for body in bodies))
        async with client.push_consumer(topic, {topic: "*"}, consume_from="first") as consumer:
            received = []
            while len(received) < count:
                delivery = await next_of(consumer)
                await delivery.ack()
                received.append(delivery.body)
        assert sorted(received) == sorted(bodies)


def test_loops_of_several_threads_do_not_wait_for_each_other(oxmq_broker: DevBroker) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            asyncio.run(send_and_receive(oxmq_broker.name_server, f"loop-{number}", 500))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_loops_one_after_the_other(oxmq_broker: DevBroker) -> None:
    for number in range(3):
        asyncio.run(send_and_receive(oxmq_broker.name_server, f"after-{number}", 10))


def test_a_producer_works_in_another_loop_and_a_consumer_says_that_it_does_not(
    oxmq_broker: DevBroker,
) -> None:
    async def make() -> tuple[oxmq.Client, oxmq.Producer, oxmq.Delivery, oxmq.PushConsumer]:
        client = await oxmq.connect(oxmq_broker.name_server)
        producer = await client.producer("anywhere")
        await producer.send("anywhere", b"x")
        consumer = await client.push_consumer("g", {"anywhere": "*"}, consume_from="first")
        return client, producer, await next_of(consumer), consumer

    async def elsewhere(
        producer: oxmq.Producer, delivery: oxmq.Delivery, consumer: oxmq.PushConsumer
    ) -> None:
        receipts = await asyncio.gather(*(producer.send("anywhere", b"y") for _ in range(100)))
        assert len(receipts) == 100
        with pytest.raises(RuntimeError, match="another event loop"):
            await delivery.nack()
        with pytest.raises(RuntimeError, match="another event loop"):
            await consumer.drain(1)

    with asyncio.Runner() as one:
        client, producer, delivery, consumer = one.run(make())
        with asyncio.Runner() as other:
            other.run(elsewhere(producer, delivery, consumer))
        one.run(client.close())


def test_a_loop_waits_for_places_that_another_loop_has(oxmq_broker: DevBroker) -> None:
    async def make(address: str) -> tuple[oxmq.Client, oxmq.Producer]:
        instead = {oxmq_broker.broker_address: address}
        client = await oxmq.connect(oxmq_broker.name_server, address_map=instead)
        options = {"timeout": 0.3, "attempt_timeout": 0.3}
        return client, await client.producer("shared", max_pending=1, **options)

    async def fail(producer: oxmq.Producer) -> None:
        with pytest.raises(oxmq.Timeout):
            await producer.send("t", b"x")

    with asyncio.Runner() as one, asyncio.Runner() as other:

        async def begin() -> tuple[SilentBroker, oxmq.Client, oxmq.Producer]:
            silent = await SilentBroker().__aenter__()
            client, producer = await make(silent.address)
            producer.send("t", b"takes the only place").add_done_callback(
                lambda send: send.exception()
            )
            return silent, client, producer

        async def end(silent: SilentBroker, client: oxmq.Client) -> None:
            await client.close()
            await silent.__aexit__()

        silent, client, producer = one.run(begin())
        other.run(fail(producer))
        one.run(end(silent, client))


def test_a_loop_closed_with_sends_under_way_leaves_nothing_behind(
    oxmq_broker: DevBroker,
) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[weakref.ref[Any], oxmq.Client, oxmq.Producer]:
        async with SilentBroker() as silent:
            instead = {oxmq_broker.broker_address: silent.address}
            client = await oxmq.connect(oxmq_broker.name_server, address_map=instead)
            producer = await client.producer("hasty")
            for _ in range(10):
                producer.send("t", b"x")
            return weakref.ref(_events.queue_of(asyncio.get_running_loop())), client, producer

    queue, *made = loop.run_until_complete(begin())
    loop.close()
    assert queue().pending() == 10
    del made, loop
    gc.collect()
    assert queue() is None
    asyncio.run(send_and_receive(oxmq_broker.name_server, "afterwards", 10))


class BlindLoop(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as on Windows."""

    def add_reader(self, *_: Any) -> Any:
        raise NotImplementedError


def test_a_loop_that_cannot_watch_descriptors_works(oxmq_broker: DevBroker) -> None:
    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        runner.run(send_and_receive(oxmq_broker.name_server, "blind", 2_000))


FORK = """
import asyncio, os, sys
import oxmq, oxmq.blocking

name_server = sys.argv[1]
client = oxmq.blocking.connect(name_server)
producer = client.producer("parents")
consumer = client.push_consumer("parents", {"forked": "*"}, consume_from="first")
producer.send("forked", b"before")

async def anew():
    async with oxmq.connect(name_server) as client:
        producer = await client.producer("children")
        await producer.send("forked", b"from the child")

if (child := os.fork()) == 0:
    for use in (lambda: producer.send("forked", b"x"), lambda: consumer.next(1), client.close):
        try:
            use()
        except RuntimeError as error:
            assert "made before a fork" in str(error), error
        else:
            os._exit(3)
    del producer, consumer
    asyncio.run(anew())
    os._exit(0)

_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
producer.send("forked", b"after")
bodies = sorted(consumer.next(10).body for _ in range(3))
assert bodies == [b"after", b"before", b"from the child"], bodies
client.close()
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Newer releases warn of any fork beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_fork_is_refused_loudly_and_may_connect_again(oxmq_broker: DevBroker) -> None:
    outcome = run(FORK, oxmq_broker.name_server)
    assert outcome.returncode == 0, outcome.stderr


EXIT = """
import asyncio, sys
import oxmq

async def main():
    client = await oxmq.connect(sys.argv[1])
    producer = await client.producer("leaving")
    consumer = await client.push_consumer("leaving", {"left": "*"})
    for _ in range(1_000):
        producer.send("left", b"x")

asyncio.run(main())
"""


def test_the_interpreter_exits_with_sends_under_way(oxmq_broker: DevBroker) -> None:
    outcome = run(EXIT, oxmq_broker.name_server)
    assert (outcome.returncode, outcome.stderr) == (0, "")
