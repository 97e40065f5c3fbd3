"""Hands the client's log to `logging`, under the logger `oxmq`."""

import logging

from . import _native

_logger = logging.getLogger("oxmq")


def start() -> None:
    """Begins to collect what the logger's level lets through now."""
    _native.start_log(_logger.getEffectiveLevel())


def forward() -> None:
    """Logs what was collected."""
    for level, target, text in _native.drain_log():
        logger = _logger.getChild(target.removeprefix("oxmq::").replace("::", "."))
        logger.log(level, "%s", text)
