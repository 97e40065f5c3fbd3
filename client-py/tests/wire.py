"""RocketMQ's wire protocol, as small as can be.

What tests need to judge a server without trusting the library under test.
"""

import json
import re
import socket
import struct
from dataclasses import dataclass

QUERY_CONSUMER_OFFSET = 14
UPDATE_AND_CREATE_TOPIC = 17
GET_BROKER_RUNTIME_INFO = 28
GET_MAX_OFFSET = 30
GET_BROKER_CLUSTER_INFO = 106


@dataclass
class Answer:
    code: int
    remark: str
    fields: dict[str, str]
    body: bytes


def call(address: str, code: int, fields: dict[str, str]) -> Answer:
    header = json.dumps({
        "code": code, "extFields": fields, "flag": 0, "language": "JAVA", "opaque": 1,
        "serializeTypeCurrentRPC": "JSON", "version": 407,
    }).encode()  # fmt: skip
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">II", 4 + len(header), len(header)) + header)
        with connection.makefile("rb") as answers:
            (length,) = struct.unpack(">I", answers.read(4))
            frame = answers.read(length)
    header_length = struct.unpack(">I", frame[:4])[0] & 0xFF_FFFF
    answer = json.loads(frame[4 : 4 + header_length])
    return Answer(
        code=answer["code"],
        remark=answer.get("remark") or "",
        fields=answer.get("extFields") or {},
        body=frame[4 + header_length :],
    )


def broker_of(name_server: str) -> str:
    """The address of a cluster's first master."""
    body = call(name_server, GET_BROKER_CLUSTER_INFO, {}).body.decode()
    # Apache writes the id, a number, bare.
    found = re.search(r'"?\b0"?:"([^"]+)"', body)
    assert found, f"no broker in {body}"
    return found[1]


def version_of(broker: str) -> str:
    """The broker's release, for instance `V4_9_7`; empty if it does not say."""
    body = call(broker, GET_BROKER_RUNTIME_INFO, {}).body.decode()
    found = re.search(r'"brokerVersionDesc":"([^"]+)"', body)
    return found[1] if found else ""


def create_topic(broker: str, topic: str, queues: int) -> None:
    answer = call(broker, UPDATE_AND_CREATE_TOPIC, {
        "topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues),
        "writeQueueNums": str(queues), "perm": "6", "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0", "order": "false",
    })  # fmt: skip
    assert answer.code == 0, answer.remark


def committed(broker: str, group: str, topic: str, queue_id: int) -> int | None:
    """The offset that a group has committed for a queue; `None` if it never did."""
    answer = call(broker, QUERY_CONSUMER_OFFSET, {
        "consumerGroup": group, "topic": topic, "queueId": str(queue_id),
        "setZeroIfNotFound": "false",
    })  # fmt: skip
    return int(answer.fields["offset"]) if answer.code == 0 else None


def max_offset(broker: str, topic: str, queue_id: int) -> int:
    """How many messages a queue has had."""
    answer = call(broker, GET_MAX_OFFSET, {"topic": topic, "queueId": str(queue_id)})
    return int(answer.fields.get("offset", 0))
