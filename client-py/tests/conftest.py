"""Fixtures of these tests."""

from collections.abc import AsyncIterator

import pytest
import support


@pytest.fixture
async def server() -> AsyncIterator[support.Server]:
    """The cluster under test; the clients made through it are closed with it."""
    async with support.cluster() as server:
        yield server
