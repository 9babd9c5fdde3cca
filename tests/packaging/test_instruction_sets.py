"""Code compiled for one instruction set shares no function with code for every processor.

A weak symbol (an inline function, a template) may be merged by the linker with the same one of
another file: then processors without AVX-512 could be handed a copy that uses it.
ci/aarch64.sh looks at those of aarch64 on another machine.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from toolchain import NATIVE, command

AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
FLAGS: dict[str, list[str]] = {}
if platform.machine() in ("x86_64", "AMD64"):
    DEFINITION = "-DFLASHDEC_X86=1"
    FLAGS = {"avx2": AVX2, "avx512": AVX512, "avx512bf16": [*AVX512, "-mavx512bf16"]}
elif platform.machine() == "aarch64":
    DEFINITION = "-DFLASHDEC_ARM64=1"
    FLAGS = {"neon": [], "neonbf16": ["-march=armv8.2-a+bf16"]}


@pytest.mark.parametrize("optimisation", ["-O0", "-O2"])  # -O0 inlines nothing
@pytest.mark.parametrize("isa", FLAGS)
def test_only_the_entry_points_leave_the_object(
    isa: str, optimisation: str, tmp_path: Path
) -> None:
    target = tmp_path / f"{isa}.o"
    command(
        "g++", "-std=c++17", optimisation, "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
        DEFINITION, "-Wno-psabi", "-I", NATIVE, "-I", NATIVE / "include", *FLAGS[isa],
        "-c", NATIVE / "cpu" / f"{isa}.cpp", "-o", target,
    )  # fmt: skip
    rows = [line.split(maxsplit=2) for line in command(
        "nm", "-C", "--defined-only", target
    ).splitlines()]  # fmt: skip
    shared = {name.split("(")[0] for _, kind, name in rows if kind.isupper() or kind in "uvw"}
    probe = {f"flashdec::cpu::probe_{isa}"} & shared
    assert shared - probe == {
        f"flashdec::cpu::run_{isa}_{dtype}" for dtype in ("bf16", "f16", "f32")
    }
