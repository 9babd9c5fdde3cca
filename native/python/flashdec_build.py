"""The build backend: scikit-build-core's, with a CUDA toolkit from PyPI where it takes one.

Options come from pip's ``--config-settings``, as ``cmake.define.NAME``, or else the environment.
Every build hands all of them to CMake, so that a build folder never goes on with those of its last
build.  Whether a toolkit has to be fetched is decided by the script that CMake asks again later,
``native/cmake/cuda_toolkit.sh``.
"""

from __future__ import annotations

import os
import subprocess
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

_Settings = dict[str, Any] | None

_OPTIONS = {
    "FLASHDEC_CUDA": "AUTO",
    "FLASHDEC_CUDA_TOOLKIT": "auto",
    "FLASHDEC_CUDA_ARCHITECTURES": "",
}
_TOOLKIT_SEARCH = Path(__file__).parents[1] / "cmake" / "cuda_toolkit.sh"

_CMAKE_FOR_CUDA = "cmake>=3.31"  # knows the architectures 100f and 120f
_TOOLKIT = "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"


def build_wheel(
    wheel_directory: str,
    config_settings: _Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build a wheel with the options that its requirements were decided by."""
    _use_every_processor()
    settings = _with_options(config_settings)
    return _backend.build_wheel(wheel_directory, settings, metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: _Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable wheel with the options that its requirements were decided by."""
    _use_every_processor()
    settings = _with_options(config_settings)
    return _backend.build_editable(wheel_directory, settings, metadata_directory)


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """Return what building a wheel needs beside scikit-build-core."""
    settings = _with_options(config_settings)
    return _backend.get_requires_for_build_wheel(settings) + _cuda_requires(settings)


def get_requires_for_build_editable(config_settings: _Settings = None) -> list[str]:
    """Return what an editable install needs beside scikit-build-core."""
    settings = _with_options(config_settings)
    return _backend.get_requires_for_build_editable(settings) + _cuda_requires(settings)


def _use_every_processor() -> None:
    """Let make, which serves where there is no ninja, compile several files at a time too."""
    processors = len(os.sched_getaffinity(0))
    os.environ.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(processors))


def _with_options(config_settings: _Settings) -> dict[str, Any]:
    """Return the settings with every option in them."""
    options = {name: os.environ.get(name) or default for name, default in _OPTIONS.items()}
    options["FLASHDEC_CUDA_WHEELS"] = _installed_toolkit()
    defines = {f"cmake.define.{name}": value for name, value in options.items()}
    return {**defines, **(config_settings or {})}


def _installed_toolkit() -> str:
    """Return the folder of PyPI's toolkit, or "" where it is not installed (yet).

    pip puts what the hooks asked for apart from the build requirements, where CMake cannot find it.
    """
    folders = (Path(entry, "nvidia", "cu13") for entry in sys.path)
    return next((str(folder) for folder in folders if (folder / "bin" / "nvcc").exists()), "")


def _cuda_requires(settings: dict[str, Any]) -> list[str]:
    """Return what the CUDA kernels need that the machine does not have."""
    wish = settings["cmake.define.FLASHDEC_CUDA"]
    toolkit = settings["cmake.define.FLASHDEC_CUDA_TOOLKIT"]
    search = ["sh", _TOOLKIT_SEARCH, wish, toolkit]
    done = subprocess.run(search, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(1)  # the script has said why
    found = done.stdout.strip()
    if found == "none":
        return []
    return [_CMAKE_FOR_CUDA, _TOOLKIT] if found == "pypi" else [_CMAKE_FOR_CUDA]
