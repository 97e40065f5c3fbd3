"""What an application is promised, whatever server is behind. The names are the same as in Rust."""

import asyncio
import sys
import time
from pathlib import Path

import oxmq
import pytest
import wire
from support import QUEUES, Server, from_first, next_of, own, send, take, until


async def test_a_message_comes_back_whole(server: Server) -> None:
    topic = own("whole")
    client, producer = await server.with_topic(topic)
    receipt = await producer.send(
        topic,
        "été 中文 🚀".encode(),
        tag="paid",
        keys=["order-42", "invoice-7"],
        properties={"region": "île-de-france"},
        flag=9,
    )
    assert receipt.status == "Stored"
    assert receipt.queue_offset == 0
    assert receipt.attempts == 1

    async with from_first(client, own("whole-all"), topic) as consumer:
        delivery = await next_of(consumer)
        assert delivery.topic == topic
        assert delivery.body.decode() == "été 中文 🚀"
        assert delivery.tag == "paid"
        assert delivery.keys == ["order-42", "invoice-7"]
        assert delivery.properties["region"] == "île-de-france"
        assert delivery.flag == 9
        assert delivery.message_id == receipt.message_id
        assert delivery.offset_message_id == receipt.offset_message_id
        assert delivery.queue == receipt.queue
        assert delivery.queue_offset == receipt.queue_offset
        assert delivery.reconsume_times == 0
        assert delivery.born_host.startswith("127.0.0.1:")
        assert abs(delivery.store_timestamp / 1000 - time.time()) < 60
        assert abs(delivery.born_timestamp / 1000 - time.time()) < 60
        await delivery.ack()


async def test_a_topic_comes_to_be_with_its_first_message(server: Server) -> None:
    topic = own("comes-to-be")
    client = await server.client()
    producer = await client.producer("promises")
    sent = await send(producer, topic, "new", 3)
    async with from_first(client, own("new-all"), topic) as consumer:
        assert await take(consumer, 3) == sent


async def test_sends_use_every_queue_in_order(server: Server) -> None:
    topic = own("spread")
    _, producer = await server.with_topic(topic)
    offsets: dict[int, list[int]] = {}
    for number in range(5 * QUEUES):
        receipt = await producer.send(topic, str(number).encode())
        offsets.setdefault(receipt.queue.queue_id, []).append(receipt.queue_offset)
    assert len(offsets) == QUEUES
    assert all(of_queue == [0, 1, 2, 3, 4] for of_queue in offsets.values()), offsets


async def test_a_queue_can_be_chosen(server: Server) -> None:
    topic = own("chosen")
    _, producer = await server.with_topic(topic)
    first = await producer.send(topic, b"where?")
    queue = oxmq.MessageQueue(topic, first.queue.broker_name, 2)
    for _ in range(3):
        assert (await producer.send(topic, b"here", queue=queue)).queue == queue
    likes = [await producer.send(topic, b"with its like", shard="customer-7") for _ in range(3)]
    assert len({receipt.queue for receipt in likes}) == 1


async def test_large_bodies_come_back_whole(server: Server) -> None:
    topic = own("bulk")
    client, producer = await server.with_topic(topic)
    body = bytes(number // 7 % 256 for number in range(300_000))
    for form in (body, bytearray(body), memoryview(body)):
        await producer.send(topic, form)
    async with from_first(client, own("bulk-all"), topic) as consumer:
        for _ in range(3):
            delivery = await next_of(consumer)
            assert delivery.body == body
            await delivery.ack()


async def test_a_oneway_send_arrives(server: Server) -> None:
    topic = own("oneway")
    _, producer = await server.with_topic(topic)
    await producer.send_oneway(topic, b"no answer wanted")
    await until("the message is stored", lambda: server.stored(topic) == 1)


async def test_delayed_messages_arrive_later(server: Server) -> None:
    topic = own("later")
    client, producer = await server.with_topic(topic)
    async with from_first(client, own("later-all"), topic) as consumer:
        start = time.monotonic()
        await producer.send(topic, b"in a second", key="k", delay_level=1)
        delivery = await next_of(consumer)
        assert delivery.keys == ["k"]
        assert delivery.topic == topic
        # The broker's clock decides, to its own precision.
        assert time.monotonic() - start > 0.8
        await delivery.ack()


@pytest.mark.parametrize("topic", ["", "../up", "a b", "SCHEDULE_TOPIC_XXXX"])
async def test_bad_names_are_refused_before_they_are_sent(server: Server, topic: str) -> None:
    producer = await (await server.client()).producer("promises")
    with pytest.raises(oxmq.InvalidArgument) as refused:
        await producer.send(topic, b"x")
    assert refused.value.stored == "no"
    assert not refused.value.retryable


async def test_tags_filter(server: Server) -> None:
    topic = own("tagged")
    client, producer = await server.with_topic(topic)
    wanted = set()
    for number in range(18):
        tag = ["paid", "open", "refunded"][number % 3]
        key = f"{tag}-{number}"
        await producer.send(topic, b"x", tag=tag, key=key)
        if tag != "open":
            wanted.add(key)
    async with from_first(client, own("tagged-some"), topic, "paid || refunded") as consumer:
        assert await take(consumer, 12) == wanted


async def test_conditions_filter(server: Server) -> None:
    topic = own("priced")
    client, producer = await server.with_topic(topic)
    wanted = set()
    for price in range(18):
        color = ["red", "green", "blue"][price % 3]
        key = f"price-{price}"
        properties = {"price": str(price)}
        await producer.send(topic, b"x", tag=color, key=key, properties=properties)
        if price > 9 and color != "green":
            wanted.add(key)
    condition = oxmq.Sql("price > 9 AND TAGS IN ('red', 'blue')")
    async with from_first(client, own("priced-some"), topic, condition) as consumer:
        assert await take(consumer, len(wanted)) == wanted
    with pytest.raises(oxmq.Rejected):
        await client.push_consumer(own("bad"), {topic: oxmq.Sql("price >")})


async def test_a_new_group_begins_at_the_end(server: Server) -> None:
    if not server.knows_new_groups:
        pytest.skip("this server takes every new group for one that has committed 0")
    topic, group = own("news"), own("news-late")
    client, producer = await server.with_topic(topic)
    await send(producer, topic, "old", 8)
    async with client.push_consumer(group, {topic: "*"}) as consumer:
        await until("all queues are assigned", lambda: len(consumer.assignment()) == QUEUES)
        # Where a queue begins is decided with its first pull.
        await until("places to begin", lambda: None not in server.committed(group, topic))
        fresh = await send(producer, topic, "fresh", 8)
        assert await take(consumer, 8) == fresh


async def test_a_handler_acknowledges(server: Server) -> None:
    topic, group = own("handled"), own("handlers")
    client, producer = await server.with_topic(topic)
    sent = await send(producer, topic, "h", 10)
    seen: set[str] = set()

    async def handler(delivery: oxmq.Delivery) -> None:
        seen.add(delivery.body.decode())

    async with from_first(client, group, topic) as consumer:
        running = asyncio.create_task(consumer.run(handler, concurrency=4))
        await until("all are handled", lambda: len(seen) == 10)
        assert seen == sent
        report = await consumer.drain(10)
        assert report.abandoned == 0
        await running
    assert sum(filter(None, server.committed(group, topic))) == 10


async def test_a_handlers_error_delivers_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    topic = own("failing")
    client, producer = await server.with_topic(topic)
    attempts: list[int] = []

    async def handler(delivery: oxmq.Delivery) -> None:
        attempts.append(delivery.reconsume_times)
        if len(attempts) == 1:
            raise ArithmeticError("not this time")

    async with from_first(client, own("failers"), topic) as consumer:
        running = asyncio.create_task(consumer.run(handler))
        await producer.send(topic, b"try me")
        if server.embedded is not None:
            await until("it is tried", lambda: len(attempts) == 1)
            await until("it is handed back", lambda: server.stored("SCHEDULE_TOPIC_XXXX", 18) > 0)
            await server.embedded.advance(3600)
        await until("it is tried again", lambda: len(attempts) == 2)
        await consumer.drain(10)
        await running
    assert attempts == [0, 1]
    assert "not this time" in caplog.text


async def test_nack_delivers_again(server: Server) -> None:
    topic = own("again")
    client, producer = await server.with_topic(topic)
    async with from_first(client, own("again-all"), topic) as consumer:
        sent = await send(producer, topic, "n", 6)
        for _ in range(6):
            delivery = await next_of(consumer)
            assert delivery.reconsume_times == 0
            await delivery.nack(1.0)
        again = set()
        for _ in range(6):
            delivery = await next_of(consumer)
            assert delivery.reconsume_times == 1
            assert delivery.topic == topic, "the retry topic is not shown"
            await delivery.ack()
            again.add(delivery.body.decode())
        assert again == sent


async def test_reject_leads_to_the_dead_letters(server: Server) -> None:
    topic, group = own("refused"), own("refusers")
    client, producer = await server.with_topic(topic)
    async with from_first(client, group, topic) as consumer:
        await send(producer, topic, "r", 2)
        await (await next_of(consumer)).reject("cannot be read")
        await (await next_of(consumer)).ack()
        await until("a dead letter", lambda: server.stored(f"%DLQ%{group}", 1) == 1)
    done = sum(filter(None, server.committed(group, topic)))
    assert done == 2, "a rejected message is done with"


async def test_acks_in_any_order_commit_only_what_is_whole(server: Server) -> None:
    topic, group = own("gaps"), own("gap-makers")
    client, producer = await server.with_topic(topic, 1)
    await send(producer, topic, "g", 6)
    async with from_first(client, group, topic) as consumer:
        deliveries = [await next_of(consumer) for _ in range(6)]
        for index in (5, 1, 3, 0):
            await deliveries[index].ack()
        await consumer.commit()
        assert wire.committed(server.broker, group, topic, 0) == 2
    async with from_first(await server.client(), group, topic) as consumer:
        assert await take(consumer, 4) == {"g-2", "g-3", "g-4", "g-5"}
    assert wire.committed(server.broker, group, topic, 0) == 6


async def test_a_consumer_goes_on_where_it_stopped(server: Server) -> None:
    topic, group = own("resumed"), own("resumers")
    client, producer = await server.with_topic(topic)
    before = await send(producer, topic, "before", 8)
    async with from_first(client, group, topic) as consumer:
        assert await take(consumer, 8) == before
        report = await consumer.drain(10)
        assert report.abandoned == 0
        told = sum(offset for queue, offset in report.committed if queue.topic == topic)
        assert told == 8
    assert sum(filter(None, server.committed(group, topic))) == 8

    after = await send(producer, topic, "after", 8)
    async with from_first(await server.client(), group, topic) as consumer:
        assert await take(consumer, 8) == after


async def test_two_groups_each_see_everything(server: Server) -> None:
    topic = own("both")
    client, producer = await server.with_topic(topic)
    sent = await send(producer, topic, "b", 8)
    for group in (own("both-one"), own("both-two")):
        async with from_first(client, group, topic) as consumer:
            assert await take(consumer, 8) == sent, group


async def holds(consumer: oxmq.PushConsumer, count: int) -> None:
    await until(f"a member holds {count} queues", lambda: len(consumer.assignment()) == count)


async def test_two_members_share_the_queues(server: Server) -> None:
    topic, group = own("shared"), own("sharers")
    client, producer = await server.with_topic(topic)
    async with from_first(client, group, topic) as one:
        await holds(one, 4)
        async with from_first(await server.client(), group, topic) as other:
            await holds(one, 2)
            await holds(other, 2)
            queues = {*one.assignment(), *other.assignment()}
            assert len(queues) == 4, "no queue has two members"
            sent = await send(producer, topic, "s", 12)
            assert await take(one, 6) | await take(other, 6) == sent
        await holds(one, 4)
        alone = await send(producer, topic, "alone", 8)
        assert await take(one, 8) == alone


async def test_a_dead_members_queues_move(server: Server) -> None:
    topic, group = own("moved"), own("movers")
    client, producer = await server.with_topic(topic)
    async with from_first(client, group, topic) as one:
        program = Path(__file__).with_name("member.py")
        other = await asyncio.create_subprocess_exec(
            sys.executable, program, server.name_server, group, topic,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert other.stdout is not None
            assert await other.stdout.readline() == b"holds 2\n"
            await holds(one, 2)
        finally:
            other.kill()
            await other.communicate()
        await holds(one, 4)
        sent = await send(producer, topic, "m", 8)
        assert await take(one, 8) == sent
