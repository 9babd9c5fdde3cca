"""Decode attention over a key/value cache: the Python face of ``libflashdecoding.so``.

`decode` does it in one call.  `Descriptor`, `Plan`, `Args` and `Workspace` are for engines, which
decide once and run many times.
"""

from __future__ import annotations

from flashdec._enums import Backend, Category, Epilogue, Fault, Layout, Op
from flashdec._library import find_library
from flashdec._paths import get_cmake_dir, get_include
from flashdec._version import __version__
from flashdec.append import append
from flashdec.args import Args, PointerArgs
from flashdec.decode import decode
from flashdec.descriptor import Descriptor
from flashdec.dtypes import DType, bfloat16, float16, float32
from flashdec.errors import (
    DeviceError,
    FlashdecError,
    InternalError,
    InvalidArgumentError,
    LibraryNotFoundError,
    UnsupportedError,
)
from flashdec.explain import explain
from flashdec.facts import PlanInfo, Support
from flashdec.merge import merge
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.sku import KernelSku, PrecisionGuarantee, kernels
from flashdec.tensor import Tensor
from flashdec.workspace import Workspace

__all__ = [
    "Args",
    "Backend",
    "Category",
    "DType",
    "Descriptor",
    "DeviceError",
    "Epilogue",
    "Fault",
    "FlashdecError",
    "InternalError",
    "InvalidArgumentError",
    "KernelSku",
    "Layout",
    "LibraryNotFoundError",
    "Op",
    "Plan",
    "PlanInfo",
    "PlanPreference",
    "PointerArgs",
    "PrecisionGuarantee",
    "Support",
    "Tensor",
    "UnsupportedError",
    "Workspace",
    "__version__",
    "append",
    "bfloat16",
    "decode",
    "explain",
    "find_library",
    "float16",
    "float32",
    "get_cmake_dir",
    "get_include",
    "kernels",
    "merge",
]


def __getattr__(name: str) -> object:
    if name in ("torch", "hf"):
        raise AttributeError(f"flashdec.{name} is a package of its own: import flashdec.{name}")
    raise AttributeError(f"module 'flashdec' has no attribute {name!r}")
