"""Makes the helpers of tests/ importable, and compiles native/core with doors into it."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from toolchain import NATIVE, command

HERE = Path(__file__).parent


def compile_core(target: Path, *more: str) -> ctypes.CDLL:
    """A library of native/core, as of a build with CUDA, with shim.cpp and more sources."""
    x86 = int(platform.machine() in ("x86_64", "AMD64"))
    arm64 = int(platform.machine() == "aarch64")
    command(
        "g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-Wall", "-Wextra",
        "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized",
        f"-DFLASHDEC_X86={x86}", f"-DFLASHDEC_ARM64={arm64}",
        "-DFLASHDEC_WITH_CUDA=1", "-DFLASHDEC_WITH_SM90A=1",
        "-I", HERE / "emulation", "-I", NATIVE, "-I", NATIVE / "include",
        *(HERE / each for each in ("shim.cpp", "emulation/grid.cpp", *more)),
        *sorted((NATIVE / "core").glob("*.cpp")),
        "-Wl,--build-id=sha1", "-o", target,
    )  # fmt: skip
    library = ctypes.CDLL(str(target))
    library.flashdec_last_error.restype = ctypes.c_char_p
    library.flashdec_kernel_name.restype = ctypes.c_char_p
    return library


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """With the kernels that kernels.cpp runs on the host."""
    return compile_core(tmp_path_factory.mktemp("unit") / "emulated.so", "kernels.cpp")


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Without any kernel."""
    library = compile_core(tmp_path_factory.mktemp("unit") / "core.so", "deals.cpp")
    for name, count in (("split_length", 4), ("live_splits", 4), ("most_nodes", 4)):
        function = getattr(library, f"unit_{name}")
        function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64] * count
    library.unit_deal_rounds.restype = None
    library.unit_deal_rounds.argtypes = [
        *[ctypes.c_int64] * 3, ctypes.c_bool, ctypes.POINTER(ctypes.c_int32)
    ]  # fmt: skip
    library.unit_node_level.argtypes = [ctypes.POINTER(ctypes.c_int32), ctypes.c_int32]
    for name, count in (("rescale_factor", 2), ("reference_score", 1), ("lse", 2)):
        function = getattr(library, f"unit_{name}")
        function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float] * count
    return library
