"""Why a kernel is chosen, and the others are not."""

from __future__ import annotations

from typing import Any

from flashdec import _abi
from flashdec.descriptor import Descriptor
from flashdec.facts import Support
from flashdec.preference import PlanPreference
from flashdec.sku import KernelSku, kernels
from flashdec.stream import stream_pointer

__all__ = ["explain"]


def explain(
    desc: Descriptor, preference: PlanPreference | None = None, stream: Any = None
) -> list[tuple[KernelSku, Support]]:
    """Say of every kernel of this build whether `Plan.select` could choose it here.

    Parameters
    ----------
    desc : Descriptor
        The problem.
    preference : PlanPreference, optional
        What may be chosen.
    stream : stream object or int, optional
        CUDA: fixes the device; None is the current device's.

    Returns
    -------
    list of (KernelSku, Support)
        In the order of the kernel table, best first: the first that could be chosen is.

    Raises
    ------
    InvalidArgumentError, DeviceError
        As `Plan.select`: where no kernel is to blame.
    """
    c_desc, c_preference = desc.to_c(), (preference or PlanPreference()).to_c()
    addresses = _abi.address(c_desc), _abi.address(c_preference)
    handle = None if stream is None else stream_pointer(stream)
    found = []
    for index, sku in enumerate(kernels()):
        status = _abi.kernel_supports(index, *addresses, handle)
        if status and not _is_about_the_kernel(status):
            _abi.check(status)
        found.append((sku, Support(not status, "" if not status else _abi.last_error().decode())))
    return found


def _is_about_the_kernel(status: int) -> bool:
    return 20 <= status < 30  # FLASHDEC_UNSUPPORTED and its family
