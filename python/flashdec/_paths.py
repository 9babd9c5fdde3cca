"""Where the wheel keeps what C, C++ and CMake projects need."""

from __future__ import annotations

import importlib.resources

__all__ = ["get_cmake_dir", "get_include"]


def _packaged(path: str) -> str:
    return str(importlib.resources.files("flashdec") / path)


def get_include() -> str:
    """Return the folder of ``flashdec.h`` and the headers beside it."""
    return _packaged("include")


def get_cmake_dir() -> str:
    """Return the folder of ``flashdecConfig.cmake``, for ``CMAKE_PREFIX_PATH``."""
    return _packaged("lib/cmake/flashdec")
