"""The one search for nvcc, which CMake and the build backend both ask."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SEARCH = ROOT / "native" / "cmake" / "cuda_toolkit.sh"
VARIABLES = ["CUDACXX", "CUDA_PATH", "CUDA_HOME"]  # in the order of the search
SUBSETS = [names for n in (1, 2, 3) for names in itertools.combinations(VARIABLES, n)]


def make_nvcc(folder: Path, release: str = "13.0") -> Path:
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.88'\n")
    nvcc.chmod(0o755)
    return nvcc


def environment(**values: object) -> dict[str, str]:
    """This environment with these places of nvcc alone, but for /usr/local/cuda."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    folders = [folder for folder in kept["PATH"].split(":") if not Path(folder, "nvcc").exists()]
    path = ":".join([str(values.pop("PATH", "/nowhere")), *folders])
    return {**kept, **{name: str(value) for name, value in values.items()}, "PATH": path}


def search(wish: str, toolkit: str = "auto", **values: object) -> str:
    done = subprocess.run(
        ["sh", SEARCH, wish, toolkit], capture_output=True, text=True, env=environment(**values)
    )
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.strip() or done.stdout.strip()


@pytest.mark.parametrize("present", SUBSETS, ids="-".join)
def test_order(tmp_path: Path, present: tuple[str, ...]) -> None:
    nvccs = {name: make_nvcc(tmp_path / name) for name in (*present, "PATH")}
    values = {name: nvccs[name].parents[1] for name in present}
    if "CUDACXX" in present:
        values["CUDACXX"] = nvccs["CUDACXX"]
    assert search("AUTO", PATH=nvccs["PATH"].parent, **values) == str(nvccs[present[0]])


def test_the_path_comes_last(tmp_path: Path) -> None:
    nvcc = make_nvcc(tmp_path)
    usual = "/usr/local/cuda/bin/nvcc"
    assert search("AUTO", PATH=nvcc.parent) in {str(nvcc), usual}
    assert search("AUTO", CUDACXX="nvcc", PATH=nvcc.parent) == str(nvcc)


def test_one_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    old, new = make_nvcc(tmp_path / "old", "12.9"), make_nvcc(tmp_path / "new", "14.1")
    found = search("AUTO", CUDA_PATH=old.parents[1], CUDA_HOME=new.parents[1])
    assert found == str(new)


def test_one_that_is_named_must_do(tmp_path: Path) -> None:
    old, missing = make_nvcc(tmp_path, "12.9"), tmp_path / "nvcc"
    said = search("AUTO", CUDACXX=old)
    assert said == f"CUDACXX is {old}; the kernels need an nvcc 13.0 or later"
    assert search("ON", CUDACXX=missing) == f"CUDACXX is {missing}, which is no program"


def test_off_and_pypi_do_not_search(tmp_path: Path) -> None:
    nvcc = make_nvcc(tmp_path)
    assert search("OFF", CUDACXX=nvcc) == "none"
    assert search("OFF", "pypi") == "none"
    assert search("AUTO", "pypi", CUDACXX=nvcc) == "pypi"


@pytest.mark.skipif(Path("/usr/local/cuda/bin/nvcc").exists(), reason="there is an nvcc")
def test_without_an_nvcc() -> None:
    assert search("ON") == "pypi"
    assert search("AUTO") in {"none", "pypi"}  # pypi where there is a driver


@pytest.mark.parametrize("wish", ["", "on", "1"])
def test_unknown_wish(wish: str) -> None:
    assert search(wish) == f"FLASHDEC_CUDA is {wish}; it can be AUTO, ON or OFF"


@pytest.mark.parametrize("toolkit", ["", "conda"])
def test_unknown_toolkit(toolkit: str) -> None:
    assert search("ON", toolkit).startswith(f"FLASHDEC_CUDA_TOOLKIT is {toolkit}; it can be auto")


@pytest.mark.skipif(
    not shutil.which("cmake") or not shutil.which("ninja"), reason="no CMake, ninja"
)
def test_cmake_repeats_the_refusal(tmp_path: Path) -> None:
    command = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path, "-DFLASHDEC_CUDA=maybe"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "FLASHDEC_CUDA is maybe; it can be AUTO, ON or OFF" in " ".join(done.stderr.split())


@pytest.fixture
def backend(monkeypatch: Any) -> Any:
    pytest.importorskip("scikit_build_core")
    monkeypatch.chdir(ROOT)
    for name in ("FLASHDEC_CUDA", "FLASHDEC_CUDA_TOOLKIT", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    path = ROOT / "native" / "python" / "flashdec_build.py"
    spec = importlib.util.spec_from_file_location("flashdec_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asks_for_cuda(needs: list[str]) -> list[str]:
    return [need for need in needs if need == "cmake>=3.31" or "cuda" in need]


def test_the_backend_asks_for_nothing_without_cuda(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLASHDEC_CUDA", "OFF")
    assert asks_for_cuda(backend.get_requires_for_build_wheel()) == []


def test_the_backend_asks_for_the_toolkit(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLASHDEC_CUDA_TOOLKIT", "pypi")
    wanted = ["cmake>=3.31", "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"]
    assert asks_for_cuda(backend.get_requires_for_build_wheel()) == wanted
    assert asks_for_cuda(backend.get_requires_for_build_editable()) == wanted


def test_the_backend_takes_the_nvcc_that_is_there(
    backend: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDACXX", str(make_nvcc(tmp_path)))
    assert asks_for_cuda(backend.get_requires_for_build_wheel()) == ["cmake>=3.31"]


def test_a_setting_goes_before_the_environment(backend: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FLASHDEC_CUDA", "ON")
    settings = {"cmake.define.FLASHDEC_CUDA": "OFF"}
    assert asks_for_cuda(backend.get_requires_for_build_wheel(settings)) == []
