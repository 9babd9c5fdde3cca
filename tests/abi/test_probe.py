"""flashdec_probe: what it refuses; what it reads shows in flashdec bench."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene import INVALID_VALUE, MISALIGNED, NULL_POINTER, aligned_array, check_sentence, last_error

from flashdec import _abi

probe = _abi.bind("flashdec_probe")

GIVEN = {"memory": 0, "blocks": 0, "count": 4, "block_bytes": 256, "ahead": 1}


def call(area: Any, order: Any, **change: int) -> int:
    given = {**GIVEN, "memory": area.ctypes.data, "blocks": order.ctypes.data, **change}
    return int(probe(*given.values()))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"memory": 0}, NULL_POINTER, ["memory"]),
        ({"memory": 8}, MISALIGNED, ["64"]),
        ({"count": 0}, INVALID_VALUE, ["count is 0", "1"]),
        ({"block_bytes": 128}, INVALID_VALUE, ["block_bytes is 128", "256"]),
        ({"block_bytes": 300}, INVALID_VALUE, ["block_bytes is 300", "256"]),
        ({"ahead": -1}, INVALID_VALUE, ["ahead is -1", "0"]),
    ],
)
def test_refusals(change: dict[str, int], code: int, words: list[str]) -> None:
    memory, blocks = aligned_array((2048,), np.uint8), np.arange(4, dtype=np.int32)
    assert call(memory, blocks) == 0
    assert call(memory, blocks, blocks=0) == 0
    assert call(memory, blocks, **change) == code
    check_sentence(last_error(), *words)


def test_a_bad_block_is_refused() -> None:
    memory, blocks = aligned_array((2048,), np.uint8), np.array([0, 3, -2, 1], np.int32)
    assert call(memory, blocks) == INVALID_VALUE
    check_sentence(last_error(), "blocks[2] is -2", "0")
