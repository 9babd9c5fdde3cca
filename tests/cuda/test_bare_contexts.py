"""Contexts, devices and threads on raw device memory: whose stream it is decides."""

from __future__ import annotations

import threading

import pytest
from bare import SPLIT, Bare, last_error, run_python

from kit.compare import check
from kit.driver import call, current_context, new_context, new_stream

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]

WRONG_DEVICE, CUDA_ERROR = 31, 32


def test_the_callers_context_stays() -> None:
    bare, stream, before = Bare(), new_stream(), current_context()
    for each in (stream, None, 1, 2):
        assert bare.run(each) == 0, last_error()
        assert current_context() == before


def test_a_thread_without_a_context() -> None:
    bare, stream = Bare(), new_stream()
    found: list[tuple[int, int]] = []

    def run() -> None:
        for each in (stream, None):
            found.append((bare.run(each), current_context()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(0, 0), (0, 0)]
    check(SPLIT, bare.arrays, bare.fetch())


def test_a_stream_of_another_context_of_the_device() -> None:
    """The work goes where the stream belongs, and the caller's context stays."""
    primary, context = current_context(), new_context()
    bare, stream = Bare(), new_stream()
    call("cuCtxPopCurrent")
    assert bare.run(stream) == 0, last_error()
    assert current_context() == primary
    call("cuCtxPushCurrent", context)
    check(SPLIT, bare.arrays, bare.fetch())
    del bare  # its memory goes before its context
    call("cuCtxDestroy", context)
    assert current_context() == primary


def test_contexts_that_come_and_go() -> None:
    """Each has functions of its own, also where it lies where another one lay."""
    primary = current_context()
    for _ in range(3):
        context = new_context()
        bare, stream = Bare(), new_stream()
        assert bare.run(stream) == 0, last_error()
        check(SPLIT, bare.arrays, bare.fetch())
        del bare
        call("cuCtxDestroy", context)
        bare = Bare()
        assert bare.run() == 0, last_error()
        check(SPLIT, bare.arrays, bare.fetch())
    assert current_context() == primary


RESET = """
from bare import SPLIT, Bare, last_error
from kit.compare import check
from kit.driver import call, enter, primary_context
for _ in range(3):
    primary_context.cache_clear()
    enter()
    bare = Bare()
    print(bare.run(), last_error(), flush=True)
    check(SPLIT, bare.arrays, bare.fetch())
    del bare
    call("cuDevicePrimaryCtxReset", 0)
print("done", flush=True)
"""


def test_a_device_that_is_reset() -> None:
    done = run_python(RESET)
    assert done.returncode == 0, done
    assert done.stdout.split() == ["0", "0", "0", "done"], done


GONE = """
from bare import Bare, last_error
from kit.driver import call, enter, new_context, new_stream
enter()
bare = Bare()
context = new_context()
stream = new_stream()
call("cuCtxDestroy", context)
enter()
print(bare.run(stream), last_error(), flush=True)
"""


def test_a_stream_of_a_destroyed_context_is_refused() -> None:
    """CUDA calls this undefined, so in a process of its own."""
    done = run_python(GONE)
    if done.returncode < 0 and not done.stdout:
        pytest.skip(f"this driver ends the process with signal {-done.returncode}")
    status, _, sentence = done.stdout.strip().partition(" ")
    assert int(status) in (WRONG_DEVICE, CUDA_ERROR), done
    assert "failed" in sentence or "device" in sentence


def test_a_stream_of_another_device_is_refused() -> None:
    if call("cuDeviceGetCount") < 2:
        pytest.skip("one GPU")
    bare = Bare()
    context = new_context(1)
    stream = new_stream()
    call("cuCtxPopCurrent")
    before, current = bare.everything(), current_context()
    assert bare.run(stream) == WRONG_DEVICE
    assert last_error() == "the stream is of CUDA device 1; the plan runs on device 0"
    assert (bare.everything(), current_context()) == (before, current)
    call("cuCtxDestroy", context)
