"""The build backend: scikit-build-core's, with a CUDA toolkit from PyPI where it takes one.

It takes one where CUDA is wanted and the machine has no nvcc: FLASHDEC_CUDA=ON, or
by AUTO (the default) on a machine with an NVIDIA driver.  The nvcc that is found here is handed to
CMake in CUDACXX, the first place where native/cmake/CudaToolkit.cmake looks, so that the two cannot
disagree.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from scikit_build_core import build as _backend
from scikit_build_core.build import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

# CMake that knows the architectures 100f and 120f.
_CUDA_CMAKE = "cmake>=3.31"
_TOOLKIT = "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel with the compiler that the requirements were decided by."""
    _hand_over(config_settings)
    return _backend.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable wheel with the compiler that the requirements were decided by."""
    _hand_over(config_settings)
    return _backend.build_editable(wheel_directory, config_settings, metadata_directory)


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what building a wheel needs beside scikit-build-core."""
    return _backend.get_requires_for_build_wheel(config_settings) + _cuda(config_settings)


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """Return what an editable install needs beside scikit-build-core."""
    return _backend.get_requires_for_build_editable(config_settings) + _cuda(config_settings)


def _option(config_settings: dict[str, Any] | None, name: str) -> str:
    settings = config_settings or {}
    given = settings.get(f"cmake.define.{name}") or os.environ.get(name, "")
    return str(given)


def find_nvcc() -> str:
    """Return the machine's nvcc: CUDACXX, CUDA_PATH, CUDA_HOME, /usr/local/cuda, PATH; else ""."""
    roots = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    candidates = [os.environ.get("CUDACXX"), *(f"{root}/bin/nvcc" for root in roots if root)]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    return shutil.which("nvcc") or ""


def _has_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def _searches(config_settings: dict[str, Any] | None) -> bool:
    """Whether the machine's nvcc is wanted, not PyPI's or one in a folder that is given."""
    return _option(config_settings, "FLASHDEC_CUDA_TOOLKIT") == ""


def _hand_over(config_settings: dict[str, Any] | None) -> None:
    nvcc = find_nvcc() if _searches(config_settings) else ""
    if nvcc:
        os.environ["CUDACXX"] = nvcc
    for site in sys.path:  # pip keeps what _cuda asked for apart from the build requirements
        if Path(site, "nvidia", "cu13", "bin", "nvcc").exists():
            os.environ["FLASHDEC_SITE_PACKAGES"] = site


def _cuda(config_settings: dict[str, Any] | None) -> list[str]:
    wish = _option(config_settings, "FLASHDEC_CUDA") or "AUTO"
    toolkit = _option(config_settings, "FLASHDEC_CUDA_TOOLKIT")
    if wish == "OFF":
        return []
    if toolkit not in ("", "pypi") or (_searches(config_settings) and find_nvcc()):
        return [_CUDA_CMAKE]
    if wish == "ON" or toolkit == "pypi" or _has_driver():
        return [_CUDA_CMAKE, _TOOLKIT]
    return []
