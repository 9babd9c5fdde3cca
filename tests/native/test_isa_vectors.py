"""Every instruction set against double, in C++: ci/aarch64.sh runs the same program under qemu."""

from __future__ import annotations

from pathlib import Path

import flashdec
from toolchain import NATIVE, command, compile_program

HERE = Path(__file__).parent


def test_every_instruction_set_on_random_shapes(tmp_path: Path) -> None:
    program = compile_program(
        [HERE / "isa_vectors.cpp"], tmp_path / "isa_vectors", "c++17", ["-I", NATIVE]
    )
    lines = command(program, 100).splitlines()
    names = [sku.name.split("_")[1] for sku in flashdec.kernels() if sku.name.startswith("cpu_")]
    assert {line.split(":")[0] for line in lines} == set(names)
