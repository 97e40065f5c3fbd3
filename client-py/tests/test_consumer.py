"""What Python adds to receiving: iteration, workers, batches taken ahead."""

import asyncio
import logging

import oxmq
import pytest
from oxmq.testing import DevBroker
from support import next_of


async def filled(broker: DevBroker, client: oxmq.Client, topic: str, count: int) -> set[bytes]:
    producer = await client.producer("fillers")
    bodies = [f"{topic}-{number}".encode() for number in range(count)]
    await asyncio.gather(*(producer.send(topic, body) for body in bodies))
    return set(bodies)


def first(client: oxmq.Client, group: str, topic: str) -> oxmq.PushConsumer:
    return client.push_consumer(group, {topic: "*"}, consume_from="first")


async def test_iteration_ends_with_a_drain(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        sent = await filled(oxmq_broker, client, "t", 20)
        async with first(client, "g", "t") as consumer:
            draining = None
            received = set()
            async for delivery in consumer:
                await delivery.ack()
                received.add(delivery.body)
                if len(received) == len(sent):
                    draining = asyncio.create_task(consumer.drain(10))
            assert draining is not None
            report = await draining
            assert report.abandoned == 0
            assert received == sent
            assert await consumer.next() is None


async def test_a_drain_hands_back_what_was_taken_ahead(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        sent = await filled(oxmq_broker, client, "t", 100)
        consumer = await first(client, "g", "t")
        delivery = await next_of(consumer)
        await delivery.ack()
        async with asyncio.timeout(5):
            report = await consumer.drain(60)
        assert report.abandoned == 0
        async with first(client, "g", "t") as consumer:
            others = set()
            while len(others) < 99:
                again = await next_of(consumer)
                await again.ack()
                others.add(again.body)
        assert others == sent - {delivery.body}


async def test_a_drain_waits_for_what_is_in_hand(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        await filled(oxmq_broker, client, "t", 1)
        consumer = await first(client, "g", "t")
        delivery = await next_of(consumer)
        draining = asyncio.create_task(consumer.drain(30))
        done, _ = await asyncio.wait({draining}, timeout=0.3)
        assert not done, "it waits for the delivery that is in hand"
        await delivery.ack()
        report = await draining
        assert (report.finished, report.abandoned) == (1, 0)


async def test_waiting_in_vain_loses_nothing(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("late")
        async with first(client, "g", "t") as consumer:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await consumer.next()
            await producer.send("t", b"x")
            assert (await next_of(consumer)).body == b"x"


async def test_workers_run_at_once_and_no_more_than_asked(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        sent = await filled(oxmq_broker, client, "t", 64)
        running, most, seen = 0, 0, set()
        all_seen = asyncio.Event()

        async def handler(delivery: oxmq.Delivery) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            # Several turns of the loop, so that all workers have a message in hand.
            for _ in range(20):
                await asyncio.sleep(0)
            running -= 1
            seen.add(delivery.body)
            if seen == sent:
                all_seen.set()

        async with first(client, "g", "t") as consumer:
            work = asyncio.create_task(consumer.run(handler, concurrency=8))
            async with asyncio.timeout(20):
                await all_seen.wait()
            await consumer.drain(10)
            await work
        assert most == 8


async def test_cancelling_run_stops_the_workers(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        await filled(oxmq_broker, client, "t", 4)
        began = asyncio.Event()
        stopped = 0

        async def handler(_: oxmq.Delivery) -> None:
            nonlocal stopped
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped += 1

        async with first(client, "g", "t") as consumer:
            work = asyncio.create_task(consumer.run(handler, concurrency=2))
            await began.wait()
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            assert stopped >= 1


async def test_other_tasks_get_their_turn_while_messages_flow(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        sent = await filled(oxmq_broker, client, "t", 3_000)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async with first(client, "g", "t") as consumer:
            received = 0
            async for delivery in consumer:
                await delivery.ack()
                received += 1
                if received == len(sent):
                    break
        task.cancel()
        assert turns > 5


async def test_two_hours_of_retries_pass_at_once(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("patient")
        await producer.send("t", b"x")
        async with first(client, "g", "t") as consumer:
            async with asyncio.timeout(20):
                for times in range(3):
                    delivery = await next_of(consumer)
                    assert delivery.reconsume_times == times
                    await delivery.nack(7_200)
                    await oxmq_broker.advance(7_200)
                await (await next_of(consumer)).ack()


async def test_the_log_goes_to_logging(
    oxmq_broker: DevBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        await filled(oxmq_broker, client, "t", 1)
        async with first(client, "g", "t") as consumer:
            await (await next_of(consumer)).reject("no such customer")
    records = [record for record in caplog.records if "no such customer" in record.getMessage()]
    assert [record.levelno for record in records] == [logging.WARNING]
    assert records[0].name.startswith("oxmq.")


async def test_a_consumer_starts_once_and_before_it_is_used(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        consumer = first(client, "g", "t")
        with pytest.raises(RuntimeError, match="has not started"):
            consumer.assignment()
        async with consumer:
            with pytest.raises(RuntimeError, match="starts once"):
                await consumer.start()
