"""Fixtures and helpers of the tests that need a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import driver

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("bare")


@pytest.fixture
def primary() -> Iterator[None]:
    """Give this thread the primary context of device 0, and its own one back afterwards."""
    driver.call("cuInit", 0)
    driver.call("cuCtxPushCurrent", driver.primary_context())
    yield
    driver.call("cuCtxPopCurrent")
