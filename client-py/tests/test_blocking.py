"""The same for threads that wait."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import oxmq.blocking
import pytest
from oxmq.testing import DevBroker


@pytest.fixture
def client(oxmq_broker: DevBroker) -> Iterator[oxmq.blocking.Client]:
    with oxmq.blocking.connect(oxmq_broker.name_server) as client:
        yield client


def test_a_message_comes_back_whole(client: oxmq.blocking.Client) -> None:
    receipt = client.producer("p").send("t", b"x", tag="paid", key="k", properties={"a": "b"})
    with client.push_consumer("g", {"t": "paid"}, consume_from="first") as consumer:
        delivery = consumer.next(10)
        assert delivery is not None
        assert (delivery.body, delivery.tag, delivery.keys) == (b"x", "paid", ["k"])
        assert delivery.message_id == receipt.message_id
        assert delivery.properties["a"] == "b"
        delivery.ack()


def test_many_messages_get_receipts_in_their_order(client: oxmq.blocking.Client) -> None:
    producer = client.producer("p", max_pending=50)
    queue = producer.send("t", b"where?").queue
    messages = [oxmq.Message("t", b"%d" % number, tag="n") for number in range(1_000)]
    receipts = producer.send_many(messages)
    assert len({receipt.message_id for receipt in receipts}) == 1_000
    assert {receipt.queue.topic for receipt in receipts} == {queue.topic}


def test_of_many_messages_some_may_fail(client: oxmq.blocking.Client) -> None:
    producer = client.producer("p")
    messages = [oxmq.Message("t", b"x"), oxmq.Message("../t", b"x"), oxmq.Message("t", b"x")]
    outcomes = producer.send_many(messages, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        oxmq.Receipt, oxmq.InvalidArgument, oxmq.Receipt,
    ]  # fmt: skip
    with pytest.raises(oxmq.InvalidArgument):
        producer.send_many(messages)


def test_a_handle_gives_the_receipt_whenever_it_is_asked(client: oxmq.blocking.Client) -> None:
    producer = client.producer("p")
    handles = [producer.send_nowait("t", b"x") for _ in range(200)]
    receipts = [handle.result(10) for handle in handles]
    assert all(handle.done() for handle in handles)
    assert handles[0].result().message_id == receipts[0].message_id


def test_threads_share_a_producer(client: oxmq.blocking.Client) -> None:
    producer = client.producer("p")
    ids: list[str] = []

    def work() -> None:
        ids.extend(producer.send("t", b"x").message_id for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(ids)) == 400


def test_waiting_for_nothing_ends(client: oxmq.blocking.Client) -> None:
    with client.push_consumer("g", {"t": "*"}) as consumer:
        assert consumer.next(0.05) is None


def test_iteration_ends_with_a_drain(client: oxmq.blocking.Client) -> None:
    producer = client.producer("p")
    producer.send_many([oxmq.Message("t", b"x") for _ in range(20)])
    consumer = client.push_consumer("g", {"t": "*"}, consume_from="first")
    received = 0
    for delivery in consumer:
        delivery.ack()
        received += 1
        if received == 20:
            report = consumer.drain(10)
            assert report.abandoned == 0
    assert received == 20


def test_nack_delivers_again(client: oxmq.blocking.Client, oxmq_broker: DevBroker) -> None:
    client.producer("p").send("t", b"x")
    with client.push_consumer("g", {"t": "*"}, consume_from="first") as consumer:
        delivery = consumer.next(10)
        assert delivery is not None
        delivery.nack(60)
        oxmq_broker.advance(60)
        again = consumer.next(10)
        assert again is not None
        assert again.reconsume_times == 1
        again.reject("enough")


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(oxmq.Unavailable):
        oxmq.blocking.connect("127.0.0.1:1", connect_timeout=2)


# A program that was started in the background has SIGINT ignored, and so have its children.
INTERRUPTED = """
import signal
import sys
import oxmq.blocking

signal.signal(signal.SIGINT, signal.default_int_handler)
client = oxmq.blocking.connect(sys.argv[1])
consumer = client.push_consumer("g", {"t": "*"})
try:
    print("waiting", flush=True)
    consumer.next()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_signal_interrupts_the_wait(oxmq_broker: DevBroker) -> None:
    program = [sys.executable, "-c", INTERRUPTED, oxmq_broker.name_server]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.communicate(timeout=20)[0] == "interrupted\n"
        finally:
            process.kill()


async def test_it_may_run_beside_an_event_loop(oxmq_broker: DevBroker) -> None:
    def work() -> str:
        with oxmq.blocking.connect(oxmq_broker.name_server) as client:
            return client.producer("p").send("t", b"x").status

    assert await asyncio.to_thread(work) == "Stored"
