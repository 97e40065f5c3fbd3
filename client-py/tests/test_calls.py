"""Sends under way: cancelled, too many, never answered."""

import asyncio
import gc
import pickle
from collections.abc import AsyncIterator

import oxmq
import pytest
from oxmq import _events
from oxmq.testing import DevBroker
from support import SilentBroker


@pytest.fixture
async def silent(oxmq_broker: DevBroker) -> AsyncIterator[oxmq.Client]:
    """A client of a cluster whose broker never answers."""
    async with SilentBroker() as broker:
        instead = {oxmq_broker.broker_address: broker.address}
        async with oxmq.connect(oxmq_broker.name_server, address_map=instead) as client:
            yield client


def pending() -> int:
    return _events.queue_of(asyncio.get_running_loop()).pending()


async def test_many_sends_at_once_each_get_their_receipt(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("many")
        receipts = await asyncio.gather(*(producer.send("many", b"x") for _ in range(5_000)))
        assert len({receipt.message_id for receipt in receipts}) == 5_000
        places = {(receipt.queue, receipt.queue_offset) for receipt in receipts}
        assert len(places) == 5_000
    assert pending() == 0


async def test_sends_beyond_the_limit_wait_for_their_turn(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("few", max_pending=2)
        sends = [producer.send("few", str(number).encode()) for number in range(300)]
        assert pending() == 300
        receipts = await asyncio.gather(*sends)
        assert len({receipt.message_id for receipt in receipts}) == 300


async def test_a_cancelled_send_gives_its_place_up(silent: oxmq.Client) -> None:
    producer = await silent.producer("cancelled", max_pending=1)
    under_way = producer.send("t", b"first")
    waiting = producer.send("t", b"second")
    assert pending() == 2
    waiting.cancel()
    assert pending() == 1
    under_way.cancel()
    assert pending() == 0
    for send in (under_way, waiting):
        with pytest.raises(asyncio.CancelledError):
            await send


async def test_a_timeout_around_a_send_cancels_it(silent: oxmq.Client) -> None:
    producer = await silent.producer("impatient")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await producer.send("t", b"x")
    assert pending() == 0


async def test_waiting_messages_are_bounded(silent: oxmq.Client) -> None:
    producer = await silent.producer("greedy", max_pending=1)
    body = bytes(4 * 1024 * 1024)
    sends = [producer.send("t", body) for _ in range(66)]
    with pytest.raises(oxmq.Busy, match="await some sends") as busy:
        await sends[-1]
    assert busy.value.retryable
    assert busy.value.stored == "no"
    for send in sends:
        send.cancel()
    assert pending() == 0


async def test_a_full_producer_holds_up_no_other(
    silent: oxmq.Client, oxmq_broker: DevBroker
) -> None:
    full = await silent.producer("full", max_pending=1)
    sends = [full.send("t", b"x") for _ in range(3)]
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("free", max_pending=1)
        async with asyncio.timeout(2):
            await asyncio.gather(*(producer.send("t", b"y") for _ in range(10)))
    for send in sends:
        send.cancel()


async def test_a_silent_broker_leaves_the_outcome_unknown(silent: oxmq.Client) -> None:
    producer = await silent.producer("unlucky", timeout=0.4, attempt_timeout=0.2)
    with pytest.raises(oxmq.Timeout) as timeout:
        await producer.send("t", b"x")
    error = timeout.value
    assert isinstance(error, TimeoutError)
    assert error.kind == "Timeout"
    assert error.stored == "unknown"
    assert error.retryable
    assert error.operation == "send"
    assert error.topic == "t"
    assert error.broker == "broker-a"
    assert "may have been stored" in str(error)


async def test_sends_fail_when_their_client_closes(silent: oxmq.Client) -> None:
    producer = await silent.producer("closing")
    sends = [producer.send("t", b"x") for _ in range(3)]
    await asyncio.sleep(0)
    await silent.close()
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert all(isinstance(outcome, oxmq.OxmqError) for outcome in outcomes), outcomes
    with pytest.raises(oxmq.Closed):
        await producer.send("t", b"late")


async def test_a_send_that_nobody_keeps_is_sent_nevertheless(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("careless")
        _ = producer.send("t", b"x")
        del _
        gc.collect()
        receipt = await producer.send("t", b"y", queue=(await producer.send("t", b"z")).queue)
        assert receipt.status == "Stored"
    assert pending() == 0


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(oxmq.Unavailable) as unavailable:
        await oxmq.connect("127.0.0.1:1", connect_timeout=2)
    error = unavailable.value
    assert isinstance(error, ConnectionError)
    assert isinstance(error, oxmq.OxmqError)
    assert error.retryable
    assert error.hint is not None
    assert error.hint in str(error)


async def test_an_unknown_topic_is_named() -> None:
    async with DevBroker(settings={"autoCreateTopicEnable": False}) as broker:
        async with oxmq.connect(broker.name_server) as client:
            producer = await client.producer("lost", retries=0)
            with pytest.raises(oxmq.RouteNotFound) as lost:
                await producer.send("nowhere", b"x")
            assert lost.value.topic == "nowhere"
            assert lost.value.stored == "no"


async def test_arguments_of_the_wrong_kind_are_refused(oxmq_broker: DevBroker) -> None:
    async with oxmq.connect(oxmq_broker.name_server) as client:
        producer = await client.producer("careful")
        with pytest.raises(TypeError, match=r"text\.encode"):
            producer.send("t", "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="there is key"):
            producer.send("t", b"x", keys="order-42")
        with pytest.raises(TypeError, match="must be str"):
            producer.send("t", b"x", properties={"count": 1})  # type: ignore[dict-item]
        with pytest.raises(ValueError, match=r"0 .* to 18"):
            producer.send("t", b"x", delay_level=19)
        with pytest.raises(ValueError, match="timeout"):
            producer.send("t", b"x", timeout=-1.0)
        with pytest.raises(oxmq.InvalidArgument):
            await producer.send("t", b"x", tag="a\x01b")
        with pytest.raises(ValueError, match='"first"'):
            await client.push_consumer("g", {"t": "*"}, consume_from="middle")  # type: ignore[arg-type]
    assert pending() == 0


def test_errors_can_be_pickled() -> None:
    error = oxmq.Busy("send: too much", retryable=True, response_code=2, topic="t")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is oxmq.Busy
    assert (str(again), again.retryable, again.response_code, again.topic, again.stored) == (
        "send: too much", True, 2, "t", "no",
    )  # fmt: skip
