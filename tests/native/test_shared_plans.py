"""Callers in C++ that share plans; ci/sanitize_cpu.sh runs the same program under sanitizers."""

from __future__ import annotations

from pathlib import Path

from toolchain import command, compile_program

HERE = Path(__file__).parent


def test_every_result_is_that_of_a_run_alone(tmp_path: Path) -> None:
    program = compile_program(
        [HERE / "shared_plans.cpp"], tmp_path / "shared_plans", "c++17", ["-pthread"]
    )
    assert command(program) == "0 of 1200 results are wrong\n"
