"""The four verbs on raw device memory, with CUDA Python for the driver and no array library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bare import BOUNDARY, SENTINEL, SPLIT, Bare, last_error, run_python

import flashdec
from flashdec import _abi_dlpack
from kit.backends import environment
from kit.case import Case, random_case
from kit.compare import check, same_bits
from kit.driver import new_stream

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]

WORKSPACE_TOO_SMALL, WRONG_DEVICE = 16, 31

CASES = {
    "contiguous": Case("float16", 3, 2, 4, 128, 128, 700, (700, 0, 41)),
    "paged": SPLIT,
    "heads before tokens": replace(SPLIT, layout="bhsd"),
    "padded rows": Case("bfloat16", 2, 3, 5, 80, 48, 300, (300, 7), strides="padded"),
    "k and v interleaved": Case("float16", 2, 2, 8, 64, 64, 300, 299, strides="interleaved"),
    "one head for all": Case("bfloat16", 2, 4, 2, 64, 64, 300, strides="broadcast"),
    "odd sizes": Case("float32", 2, 1, 3, 33, 57, 150, (150, 149), 7, scale=-0.3, lse=False),
    "batch-invariant": replace(SPLIT, batch_invariant=True),
}


def run_and_check(case: Case) -> None:
    bare = Bare(case)
    assert bare.can_implement() == 0, last_error()
    assert bare.run(new_stream()) == 0, last_error()
    result = bare.fetch()
    check(case, bare.arrays, result)
    assert result.status == 0


@pytest.mark.parametrize("name", CASES)
def test_float64_agrees(name: str) -> None:
    run_and_check(CASES[name])


@pytest.mark.parametrize("seed", range(40))
def test_float64_agrees_on_random_cases(seed: int) -> None:
    run_and_check(random_case(1000 + seed))


def test_can_implement_enqueues_nothing() -> None:
    bare = Bare()
    before = bare.everything()
    assert bare.can_implement() == 0, last_error()
    assert bare.everything() == before


@pytest.mark.parametrize("stream", [None, 1, 2], ids=["NULL", "legacy", "per thread"])
def test_default_streams(stream: int | None) -> None:
    bare = Bare()
    assert bare.run(stream) == 0, last_error()
    check(SPLIT, bare.arrays, bare.fetch())


def test_exact_workspace_is_enough() -> None:
    bare = Bare()
    assert bare.nbytes > 0
    assert bare.run() == 0, last_error()
    check(SPLIT, bare.arrays, bare.fetch())
    behind = bare.workspace.download()[bare.nbytes :]
    assert behind.tobytes() == bytes([SENTINEL]) * BOUNDARY


def test_workspace_one_byte_short_is_refused() -> None:
    bare = Bare()
    before = bare.everything()
    assert bare.run(nbytes=bare.nbytes - 1) == WORKSPACE_TOO_SMALL
    assert f"{bare.nbytes - 1} bytes" in last_error()
    assert str(bare.nbytes) in last_error()
    assert bare.everything() == before


def test_old_contents_of_the_workspace_change_nothing() -> None:
    bare = Bare()
    assert bare.run() == 0, last_error()
    want = bare.fetch()
    for fill in (0x00, 0xFF, 0x7F):
        bare.reset()
        bare.workspace.upload(np.full(bare.nbytes, fill, np.uint8))
        assert bare.run() == 0, last_error()
        got = bare.fetch()
        assert same_bits(got.o, want.o)
        assert same_bits(got.lse, want.lse)


OPERANDS = [*_abi_dlpack.OPERANDS, "workspace"]


@pytest.mark.parametrize("name", OPERANDS)
def test_host_memory_is_refused_under_check(name: str) -> None:
    bare = Bare()
    with environment(FLASHDEC_CHECK="1"):
        bare.plan = bare.select()
    host = np.full(1 << 20, SENTINEL, np.uint8)
    pointer = host.ctypes.data + -host.ctypes.data % 256
    if name != "workspace":
        setattr(bare.args, name, pointer)
    before = bare.everything()
    code = bare.run(new_stream(), workspace=pointer if name == "workspace" else -1)
    assert code == WRONG_DEVICE, last_error()
    assert last_error().startswith(f"{name} is host memory at 0x")
    assert last_error().endswith("; the work runs on CUDA device 0")
    assert bare.everything() == before
    assert (host == SENTINEL).all()


def test_device_memory_is_accepted_under_check() -> None:
    bare = Bare()
    with environment(FLASHDEC_CHECK="1"):
        bare.plan = bare.select()
    assert bare.run(new_stream()) == 0, last_error()
    check(SPLIT, bare.arrays, bare.fetch())


def test_faults_reach_the_status_word() -> None:
    bare = Bare()
    bare.memory["kv_len"].upload(np.array([600, -1, 333], np.int32))
    assert bare.run() == 0, last_error()
    result = bare.fetch()
    assert result.status == flashdec.Fault.KV_LEN
    assert np.isnan(result.o[1].astype(np.float32)).all()


def test_without_a_visible_gpu() -> None:
    """The driver lists no GPU: a CUDA plan is refused with a sentence, the CPU works."""
    program = (
        "import numpy as np, flashdec\n"
        "desc = flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=9, head_dim=16)\n"
        "try: flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend='cuda'))\n"
        "except flashdec.DeviceError as error: print(error)\n"
        "print(flashdec.Plan.select(desc).backend.name)\n"
        "a = np.ones((1, 9, 1, 16), np.float16)\n"
        "print(flashdec.decode(a[:, 0], a, a).sum())\n"
    )
    done = run_python(program, CUDA_VISIBLE_DEVICES="")
    sentence, *rest = done.stdout.splitlines()
    assert sentence.startswith("no GPU is usable (")
    assert sentence.endswith("); a CPU plan needs none")
    assert (rest, done.stderr) == (["CPU", "16.0"], "")
