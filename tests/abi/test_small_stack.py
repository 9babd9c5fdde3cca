"""A run on the CPU takes no more of its thread's stack than flashdec.h says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_STACK = 256 * 1024
_PROGRAM = f"""
import threading
import numpy as np
import flashdec

def run():
    for q_heads, kv_heads, dim, layout in (
        (64, 64, 128, "bshd"), (64, 8, 128, "bshd"), (32, 32, 256, "bshd"), (64, 1, 256, "bhsd"),
        (130, 1, 128, "bhsd"),
    ):
        q = np.ones((1, q_heads, dim), np.float32)
        k = np.ones((1, 40, kv_heads, dim), np.float32)
        if layout == "bhsd":
            k = np.ascontiguousarray(k.transpose(0, 2, 1, 3))
        assert (flashdec.decode(q, k, k, layout=layout) == 1).all()
    done.append(True)

done = []
run()  # imports and caches, which take their own
threading.stack_size({_STACK})
thread = threading.Thread(target=run)
thread.start()
thread.join()
assert len(done) == 2
"""


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer takes more of the stack")
def test_many_heads_fit() -> None:
    environment = {**os.environ, "FLASHDEC_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr or f"it ended by signal {-result.returncode}"
