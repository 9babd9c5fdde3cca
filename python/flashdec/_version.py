"""The version, as the library that is loaded says it."""

from __future__ import annotations

from flashdec import _abi

__version__: str = _abi.version().decode()
