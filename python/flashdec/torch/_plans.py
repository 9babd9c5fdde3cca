"""Plans for tensors on a device, whichever is the current one."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from flashdec._enums import Backend
from flashdec.descriptor import Descriptor
from flashdec.plan import Plan
from flashdec.preference import PlanPreference

__all__ = ["as_current", "select"]


def as_current(device: Any) -> Any:
    """Return a context in which a GPU is the current one; the CPU needs none."""
    return contextlib.nullcontext() if device.type == "cpu" else torch.cuda.device(device)


def select(desc: Descriptor, device: Any, batch_invariant: bool) -> Plan:
    """Return the plan that the operators would take."""
    backend = Backend.CPU if device.type == "cpu" else Backend.CUDA
    with as_current(device):
        return Plan.select(
            desc, PlanPreference(prefer_backend=backend, batch_invariant=batch_invariant)
        )
