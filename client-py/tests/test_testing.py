"""The embedded broker."""

import asyncio
import os
import time
from pathlib import Path

import oxmq
import oxmq.blocking
import pytest
from oxmq.testing import DevBroker

pytest_plugins = ["pytester"]


def test_the_fixture_is_there_without_being_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import oxmq.blocking

        def test_it(oxmq_broker):
            with oxmq.blocking.connect(oxmq_broker.name_server) as client:
                assert client.producer("p").send("t", b"x").status == "Stored"
        """
    )
    outcome = pytester.runpytest_subprocess("-p", "no:asyncio")
    outcome.assert_outcomes(passed=1)


def test_brokers_do_not_meet() -> None:
    with DevBroker() as one, DevBroker() as other:
        assert one.name_server != other.name_server
        assert one.broker_address != other.broker_address
        with oxmq.blocking.connect(one.name_server) as client:
            client.producer("p").send("t", b"x")
        with oxmq.blocking.connect(other.name_server) as client:
            with client.push_consumer("g", {"t": "*"}, consume_from="first") as consumer:
                assert consumer.next(0.2) is None


def test_it_leaves_nothing_behind() -> None:
    with DevBroker() as broker:
        store = Path(broker.store)
        assert store.is_dir()
    assert not store.exists()
    with pytest.raises(oxmq.OxmqError):
        oxmq.blocking.connect(broker.name_server, connect_timeout=1)


def test_a_store_of_ones_own_stays(tmp_path: Path) -> None:
    with DevBroker(store=tmp_path / "store") as broker:
        assert os.path.samefile(broker.store, tmp_path / "store")
        with oxmq.blocking.connect(broker.name_server) as client:
            client.producer("p").send("t", b"kept")
    with DevBroker(store=tmp_path / "store") as broker:
        with oxmq.blocking.connect(broker.name_server) as client:
            with client.push_consumer("g", {"t": "*"}, consume_from="first") as consumer:
                delivery = consumer.next(10)
                assert delivery is not None
                assert delivery.body == b"kept"


def test_settings_have_rocketmqs_names() -> None:
    with DevBroker(settings={"flushDiskType": "SYNC_FLUSH", "defaultTopicQueueNums": 1}) as broker:
        with oxmq.blocking.connect(broker.name_server) as client:
            assert client.producer("p").send("t", b"x").status == "Stored"
    with pytest.raises(ValueError, match="flushDiskType"), DevBroker(settings={"flushDiskTyp": 1}):
        pass


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with DevBroker() as broker:
        taken = DevBroker(name_server_address=broker.name_server)
        with pytest.raises(RuntimeError, match=f"cannot listen on {broker.name_server}"):
            taken.start()
    with pytest.raises(RuntimeError, match="has not started"):
        _ = taken.name_server


async def test_a_message_comes_at_its_time_unless_it_was_taken_back() -> None:
    settings = {"recallMessageEnable": True}
    async with DevBroker(settings=settings) as broker, oxmq.connect(broker.name_server) as client:
        producer = await client.producer("p")
        await producer.send("t", b"in a day", delay=86_400)
        at = time.time() + 7_200
        await producer.send("t", b"at", deliver_at=at)
        receipt = await producer.send("t", b"never", deliver_at=at)
        assert receipt.recall_handle is not None
        assert await producer.recall(receipt.recall_handle) == receipt.message_id
        with pytest.raises(ValueError, match="one of"):
            producer.send("t", b"x", delay=1, delay_level=1)
        with pytest.raises(oxmq.InvalidArgument):
            await producer.recall("nonsense")
        async with client.push_consumer("g", {"t": "*"}, consume_from="first") as consumer:
            for seconds, body in [(7_201, b"at"), (86_400, b"in a day")]:
                await broker.advance(seconds)
                async with asyncio.timeout(10):
                    delivery = await consumer.next()
                assert delivery is not None
                assert delivery.body == body


def test_threads_time_and_take_back_too() -> None:
    settings = {"recallMessageEnable": True}
    with (
        DevBroker(settings=settings) as broker,
        oxmq.blocking.connect(broker.name_server) as client,
    ):
        producer = client.producer("p")
        receipt = producer.send("t", b"x", delay=60)
        assert receipt.recall_handle is not None
        assert producer.recall(receipt.recall_handle) == receipt.message_id


async def test_its_clock_moves_when_told() -> None:
    async with DevBroker() as broker, oxmq.connect(broker.name_server) as client:
        producer = await client.producer("p")
        await producer.send("t", b"in two hours", delay_level=18)
        async with client.push_consumer("g", {"t": "*"}, consume_from="first") as consumer:
            await broker.advance(7_199)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await consumer.next()
            await broker.advance(1)
            async with asyncio.timeout(10):
                delivery = await consumer.next()
            assert delivery is not None
            assert delivery.body == b"in two hours"
