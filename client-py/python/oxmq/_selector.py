"""Which messages of a topic a consumer wants."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sql:
    """Messages whose properties meet a condition in SQL92, such as `price > 10 AND color = 'red'`.

    The broker judges it. A property is a text and is read as what it is compared with; one that is
    not there is NULL; `TAGS` and `KEYS` are the tag and the keys. Apache's broker serves it only
    with `enablePropertyFilter=true`; a broker that does not, or that cannot read the condition, is
    an error (`Rejected`) when the consumer starts.
    """

    condition: str


def flat(subscriptions: Mapping[str, str | Sql]) -> list[tuple[str, str, bool]]:
    """Topic, expression, and whether that is SQL."""
    return [
        (topic, wanted.condition, True) if isinstance(wanted, Sql) else (topic, wanted, False)
        for topic, wanted in subscriptions.items()
    ]
