"""The build backend and CMake look for nvcc in the same places, in the same order."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SEARCH = ROOT / "native" / "cmake" / "CudaToolkit.cmake"
PLACES = ["CUDACXX", "CUDA_PATH", "CUDA_HOME", "PATH"]

pytestmark = pytest.mark.skipif(not shutil.which("cmake"), reason="no CMake")


@pytest.fixture
def backend(monkeypatch: Any) -> Any:
    pytest.importorskip("scikit_build_core")
    path = ROOT / "native" / "python" / "flashdec_build.py"
    spec = importlib.util.spec_from_file_location("flashdec_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_nvcc(folder: Path) -> Path:
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text("#!/bin/sh\n")
    nvcc.chmod(0o755)
    return nvcc


def found_by_cmake(variables: dict[str, str]) -> str:
    done = subprocess.run(
        [shutil.which("cmake"), "-P", SEARCH],
        capture_output=True,
        text=True,
        env=variables,
        check=True,
    )
    return (done.stdout + done.stderr).partition("nvcc=")[2].strip()


@pytest.mark.parametrize("present", range(1 << len(PLACES)))
def test_same_search(backend: Any, monkeypatch: Any, tmp_path: Path, present: int) -> None:
    home = {name: tmp_path / name for name in PLACES}
    nvccs = {name: make_nvcc(home[name]) for i, name in enumerate(PLACES) if present >> i & 1}
    base = [str(Path(sys.executable).parent), "/usr/bin", "/bin"]
    base = [p for p in base if not Path(p, "nvcc").exists()]
    values = {"PATH": os.pathsep.join(base)}
    for name, nvcc in nvccs.items():
        if name == "PATH":
            values["PATH"] = os.pathsep.join([str(nvcc.parent), *base])
        else:
            values[name] = str(nvcc if name == "CUDACXX" else nvcc.parents[1])
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    want = backend.find_nvcc()
    cmake = {**values, "PATH": values["PATH"]}
    assert found_by_cmake(cmake) == want
    first = [name for name in ("CUDACXX", "CUDA_PATH", "CUDA_HOME") if name in nvccs]
    if first:
        assert want == str(nvccs[first[0]])


def test_off_asks_for_nothing(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLASHDEC_CUDA", "OFF")
    assert backend._cuda(None) == []


def test_pypi_asks_for_the_toolkit(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLASHDEC_CUDA", "ON")
    monkeypatch.setenv("FLASHDEC_CUDA_TOOLKIT", "pypi")
    assert any("cuda-toolkit" in need for need in backend._cuda(None))
