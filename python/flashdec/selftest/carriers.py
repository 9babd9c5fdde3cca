"""Who carries arrays to the memory that a plan reads: nobody on the CPU, a library on a GPU."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashdec._storage import Array, address_of

__all__ = ["Carrier", "cuda_carrier", "host_carrier"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Copies bytes there and back.

    Attributes
    ----------
    name : str
        "numpy", "torch", "cupy" or "cuda-python".
    upload : callable
        ``upload(array)`` of packed host bytes gives (address, handle); the handle keeps it alive.
    download : callable
        ``download(handle, array)`` waits for the GPU and fills the host array.
    """

    name: str
    upload: Callable[[Array], tuple[int, Any]]
    download: Callable[[Any, Array], None]


def _nothing(handle: Any, array: Array) -> None:
    """Do nothing: the array itself was used."""


def host_carrier() -> Carrier:
    """Use host arrays as they are."""
    return Carrier("numpy", lambda array: (address_of(array), array), _nothing)


def _torch_carrier() -> Carrier:
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise ImportError("this PyTorch sees no GPU")

    def upload(array: Array) -> tuple[int, Any]:
        tensor = torch.from_numpy(array).to("cuda:0")
        torch.cuda.synchronize()
        return int(tensor.data_ptr()), tensor

    def download(handle: Any, array: Array) -> None:
        torch.cuda.synchronize()
        array[...] = handle.cpu().numpy()

    return Carrier("torch", upload, download)


def _cupy_carrier() -> Carrier:
    cupy = importlib.import_module("cupy")

    def upload(array: Array) -> tuple[int, Any]:
        found = cupy.asarray(array)
        cupy.cuda.Device().synchronize()
        return int(found.data.ptr), found

    def download(handle: Any, array: Array) -> None:
        cupy.cuda.Device().synchronize()
        array[...] = cupy.asnumpy(handle)

    return Carrier("cupy", upload, download)


class _DeviceMemory:
    """Device memory of CUDA Python, freed with its handle."""

    def __init__(self, driver: Any, nbytes: int) -> None:
        self._driver = driver
        status, pointer = driver.cuMemAlloc(nbytes)
        if status != driver.CUresult.CUDA_SUCCESS:
            raise MemoryError(f"cuMemAlloc of {nbytes} bytes failed: {status.name}")
        self.pointer = int(pointer)

    def __del__(self) -> None:
        self._driver.cuMemFree(self.pointer)


def _cuda_python_carrier() -> Carrier:
    driver = importlib.import_module("cuda.bindings.driver")

    def call(name: str, *arguments: Any) -> Any:
        status, *results = getattr(driver, name)(*arguments)
        if status != driver.CUresult.CUDA_SUCCESS:
            raise ImportError(f"{name} failed: {status.name}")
        return results[0] if results else None

    call("cuInit", 0)
    call("cuCtxSetCurrent", call("cuDevicePrimaryCtxRetain", call("cuDeviceGet", 0)))

    def upload(array: Array) -> tuple[int, Any]:
        memory = _DeviceMemory(driver, max(array.nbytes, 1))
        call("cuMemcpyHtoD", memory.pointer, address_of(array), array.nbytes)
        call("cuCtxSynchronize")
        return memory.pointer, memory

    def download(handle: Any, array: Array) -> None:
        call("cuCtxSynchronize")
        packed = np.empty_like(array)
        call("cuMemcpyDtoH", address_of(packed), handle.pointer, array.nbytes)
        array[...] = packed

    return Carrier("cuda-python", upload, download)


_CUDA: dict[str, Callable[[], Carrier]] = {
    "torch": _torch_carrier,
    "cupy": _cupy_carrier,
    "cuda": _cuda_python_carrier,
}


def cuda_carrier() -> Carrier | None:
    """Return the first library that can carry arrays to the GPU; None if there is none."""
    for module, make in _CUDA.items():
        if importlib.util.find_spec(module) is None:
            continue
        try:
            return make()
        except Exception:  # a library that is installed but cannot use the GPU: try the next
            continue
    return None
