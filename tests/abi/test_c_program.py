"""C and C++ programs against the header and the shared library, as a user would build them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolchain import ROOT, STRICT, command, compile_program, include_dir

HERE = Path(__file__).parent

# `flashdec_args a = {sizeof a};` leaves the other fields out, as C means it to be done.
SHORT_INITIALISERS = "-Wno-missing-field-initializers"


@pytest.mark.parametrize("standard", ["c99", "c17"])
def test_four_verbs_in_c(standard: str, tmp_path: Path) -> None:
    program = compile_program(
        [HERE / "four_verbs.c"], tmp_path / "four_verbs", standard, [SHORT_INITIALISERS]
    )
    assert command(program) == "18 rows\n"


def test_the_program_of_the_docs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs/c_api.md").read_text(), re.S)
    source = tmp_path / "step.c"
    source.write_text(program)
    built = compile_program([source], tmp_path / "step", "c17", [SHORT_INITIALISERS])
    assert command(built) == "5 tokens, o = 3\n"


def test_threads_of_the_docs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```cpp\n(.*?)```", (ROOT / "docs/cpu.md").read_text(), re.S)
    source = tmp_path / "threads.cpp"
    source.write_text(program)
    built = compile_program([source], tmp_path / "threads", "c++17", ["-pthread"])
    assert command(built) == "back to the library's own threads\n"


def test_arrays_by_dlpack_in_cpp(tmp_path: Path) -> None:
    program = compile_program([HERE / "from_dlpack.cpp"], tmp_path / "from_dlpack", "c++17")
    command(program)


def test_the_plan_of_the_manual_compiles(tmp_path: Path) -> None:
    """The lines of section 2 of flashdec.h, as they stand there."""
    text = (include_dir() / "flashdec.h").read_text()
    section = text.split("2. How it is used")[1].split("3. Rules that hold")[0]
    lines = [line[6:] for line in section.splitlines() if line.startswith(" *     ")]
    source = tmp_path / "manual.c"
    source.write_text(
        "#include <flashdec.h>\n#include <stddef.h>\n"
        "extern void fail(const char *text);\n"
        "void manual(struct CUstream_st *stream, void *q, void *workspace);\n"
        "void manual(struct CUstream_st *stream, void *q, void *workspace) {\n"
        + "\n".join(lines).replace("...", "")
        + "\n}\n"
    )
    command("gcc", "-std=c99", *STRICT, SHORT_INITIALISERS, "-fsyntax-only",
            "-I", include_dir(), source)  # fmt: skip
