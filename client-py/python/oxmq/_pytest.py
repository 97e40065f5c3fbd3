"""The pytest plugin: the fixture `oxmq_broker`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import DevBroker


@pytest.fixture
def oxmq_broker() -> "Iterator[DevBroker]":
    """A broker of this test's own, on free ports; it leaves nothing behind."""
    from .testing import DevBroker

    with DevBroker() as broker:
        yield broker
