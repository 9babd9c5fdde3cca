"""The exceptions that refusals of the library become."""

from __future__ import annotations

__all__ = [
    "DeviceError",
    "FlashdecError",
    "InternalError",
    "InvalidArgumentError",
    "LibraryNotFoundError",
    "UnsupportedError",
    "error_for",
]


class FlashdecError(Exception):
    """Base of every exception of this package.

    Attributes
    ----------
    code : int
        The ``flashdec_status`` of the C library, 0 where Python refused.
    status : str
        Its name, for instance ``"FLASHDEC_MISALIGNED"``.
    """

    def __init__(self, message: str, code: int = 0, status: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class InvalidArgumentError(FlashdecError, ValueError):
    """A value, pointer, shape, stride, dtype or flag breaks the contract (codes 10-19)."""


class UnsupportedError(FlashdecError, NotImplementedError):
    """Legal, but this build, device or preference has no kernel for it (codes 20-29)."""


class DeviceError(FlashdecError, RuntimeError):
    """The machine cannot do it: no GPU, another device, a CUDA error, no memory (codes 30-39)."""


class InternalError(FlashdecError, RuntimeError):
    """A defect of the library (codes 40-49); please report it."""


class LibraryNotFoundError(FlashdecError, ImportError):
    """``libflashdecoding.so`` was not found, or is of another version."""


_FAMILIES: dict[int, type[FlashdecError]] = {
    1: InvalidArgumentError,
    2: UnsupportedError,
    3: DeviceError,
    4: InternalError,
}


def error_for(code: int, status: str, message: str) -> FlashdecError:
    """Make the exception of a status code; its family is the code's tens."""
    return _FAMILIES.get(code // 10, InternalError)(message, code, status)
