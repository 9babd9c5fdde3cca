"""Plans by the shapes of tensors, and runs that cost the host as little as they can."""

from __future__ import annotations

import struct
import threading
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from flashdec import _abi, _abi_append, _abi_dlpack, _abi_merge
from flashdec._enums import Axes, Backend
from flashdec.args import as_axes
from flashdec.decode import describe_problem
from flashdec.descriptor import Descriptor
from flashdec.errors import DeviceError, InvalidArgumentError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.tensor import reader_of
from flashdec.workspace import ALIGNMENT, Workspace

__all__ = [
    "refuse_gradients",
    "refuse_other_devices",
    "run_append",
    "run_decode",
    "run_merge",
    "tell_of_writes",
    "workspace_for",
]

_MISALIGNED = 15  # flashdec_status
_MOST_RUNNERS = 1024  # of a thread
_OPERANDS = struct.Struct("@16P")  # (reader, object) of flashdec_operand's eight
_OFFSET = _abi_dlpack.CObjects.operands.offset
_APPEND_OPERANDS = struct.Struct("@26P")  # the same of flashdec_append_operand's thirteen
_APPEND_OFFSET = _abi_dlpack.CAppendCall.operands.offset

_READER = reader_of(torch.empty(0), "tensor").address

_MERGE_OPERANDS = struct.Struct("@8P")  # and of flashdec_merge_operand's first four
_MERGE_OFFSET = _abi_dlpack.CMergeCall.operands.offset
_ABSENT = (0, 0)

_of_thread = threading.local()


class _Runner:
    """A plan, and the ``flashdec_objects`` of one thread's runs of it."""

    __slots__ = ("_device", "_objects", "_on_gpu", "_run", "_scratch", "plan")

    def __init__(self, plan: Plan, axes: Axes, base2: bool) -> None:
        self.plan = plan
        self._device = torch.device(plan.device)
        self._on_gpu = plan.backend is Backend.CUDA
        objects = self._objects = _abi_dlpack.make_objects(axes)
        objects.plan = plan._address
        objects.flags = _abi.ARGS_BASE2 if base2 else 0
        self._run = _abi_dlpack.make_run(objects)
        self._scratch: Any = None
        if plan.workspace_size and not self._on_gpu:
            self._scratch = Workspace.allocate(plan)  # this thread's, for every run
            objects.workspace, objects.workspace_bytes = self._scratch.pointer, self._scratch.nbytes

    def run(
        self, q: Any, k: Any, v: Any, o: Any, lse: Any, kv_len: Any, table: Any, workspace: Any
    ) -> int:
        """Return the status."""
        r = _READER
        _OPERANDS.pack_into(
            self._objects, _OFFSET,
            r, id(q), r, id(k), r, id(v), r, id(o),
            *(_ABSENT if lse is None else (r, id(lse))),
            *(_ABSENT if kv_len is None else (r, id(kv_len))),
            *(_ABSENT if table is None else (r, id(table))),
            0, 0,
        )  # fmt: skip
        if not self._on_gpu or not self.plan.workspace_size:
            return self._run()
        prepared = workspace is not None
        if not prepared:
            # Kept until the work is enqueued; then the allocator gives it to others behind it.
            workspace = torch.empty(
                self.plan.workspace_size + ALIGNMENT, dtype=torch.uint8, device=self._device
            )
        self._use(workspace, prepared)
        status = self._run()
        del workspace
        return status

    def _use(self, workspace: Any, prepared: bool) -> None:
        if workspace.device != self._device:
            raise DeviceError(f"workspace is on {workspace.device} and q on {self._device}")
        if not workspace.is_contiguous():
            raise InvalidArgumentError(
                f"workspace has the strides {workspace.stride()}; it must be contiguous"
            )
        objects, start = self._objects, workspace.data_ptr()
        aligned = -(-start // ALIGNMENT) * ALIGNMENT
        objects.workspace = aligned
        objects.workspace_bytes = max(0, workspace.nbytes - (aligned - start))
        flags = objects.flags & ~_abi.ARGS_PREPARED_WORKSPACE
        objects.flags = flags | (_abi.ARGS_PREPARED_WORKSPACE if prepared else 0)


def _runners() -> dict[Any, _Runner]:
    try:
        found: dict[Any, _Runner] = _of_thread.runners
    except AttributeError:
        found = _of_thread.runners = {}
    return found


def _make_runner(
    q: Any, k: Any, v: Any, o: Any, table: Any, options: _Options, aligned: bool
) -> _Runner:
    """Make one for rows at round addresses, or for rows where these tensors have them."""
    desc = describe_problem(q, k, v, o, table, options.layout, options.scale)
    if aligned:
        desc = replace(desc, alignment=0)
    return _Runner(
        _select(desc, q, options.batch_invariant), as_axes(options.layout), options.base2
    )


def _select(desc: Descriptor, q: Any, invariant: bool) -> Plan:
    backend = Backend.CPU if q.device.type == "cpu" else Backend.CUDA
    return Plan.select(desc, PlanPreference(prefer_backend=backend, batch_invariant=invariant))


class _Options(NamedTuple):
    """Of a decode, beside its tensors."""

    scale: float | None
    layout: str
    batch_invariant: bool
    base2: bool


def run_decode(
    q: Any,
    k: Any,
    v: Any,
    o: Any,
    lse: Any,
    kv_len: Any,
    table: Any,
    workspace: Any,
    scale: float | None,
    layout: str,
    invariant: bool,
    base2: bool,
) -> None:
    """Decode into `o` and `lse`, with the plan of these shapes."""
    runners = _runners()
    options = _Options(scale, layout, invariant, base2)
    key: Any = (
        q.shape, k.shape, v.shape, q.dtype, q.device, None if table is None else table.shape,
        options,
    )  # fmt: skip
    operands = (q, k, v, o, lse, kv_len, table, workspace)
    runner = runners.get(key)
    if runner is None:
        if len(runners) >= _MOST_RUNNERS:
            runners.clear()
        runner = runners[key] = _make_runner(q, k, v, o, table, options, aligned=True)
    status = runner.run(*operands)
    if status == _MISALIGNED:
        key = (key, "misaligned")
        runner = runners.get(key)
        if runner is None or (status := runner.run(*operands)) == _MISALIGNED:
            runner = runners[key] = _make_runner(q, k, v, o, table, options, aligned=False)
            status = runner.run(*operands)
    if status:
        _abi.check(status)


def _of_this_thread(name: str, structure: Any) -> tuple[Any, int]:
    """Return this thread's structure for a verb, and its address."""
    try:
        found: tuple[Any, int] = getattr(_of_thread, name)
    except AttributeError:
        call = _abi.sized(structure)
        found = (call, _abi.address(call))
        setattr(_of_thread, name, found)
    return found


def _words(operands: tuple[Any, ...]) -> list[int]:
    words: list[int] = []
    for each in operands:
        words += _ABSENT if each is None else (_READER, id(each))
    return words


def run_append(layout: str, advance: bool, interleaved: bool, *operands: Any) -> None:
    """Append; operands in the order of ``flashdec_append_operand``, None where there is none."""
    call, address = _of_this_thread("append", _abi_dlpack.CAppendCall)
    call.axes = as_axes(layout)
    call.flags = (_abi_append.APPEND_ADVANCE if advance else 0) | (
        _abi_append.APPEND_INTERLEAVED if interleaved else 0
    )
    _APPEND_OPERANDS.pack_into(call, _APPEND_OFFSET, *_words(operands))
    status = _abi_dlpack.append_objects(address)
    if status:
        _abi.check(status)


def run_merge(base2: bool, *operands: Any) -> None:
    """Merge; operands in the order of ``flashdec_merge_operand``."""
    call, address = _of_this_thread("merge", _abi_dlpack.CMergeCall)
    call.flags = _abi_merge.MERGE_BASE2 if base2 else 0
    _MERGE_OPERANDS.pack_into(call, _MERGE_OFFSET, *_words(operands))
    status = _abi_dlpack.merge_objects(address)
    if status:
        _abi.check(status)


def workspace_for(
    q: Any, k: Any, v: Any, table: Any, scale: float | None, layout: str, invariant: bool
) -> Any:
    """Return a prepared workspace for runs on such tensors: a tensor of bytes."""
    desc = replace(describe_problem(q, k, v, q, table, layout, scale), alignment=0)
    plan = _select(desc, q, invariant)
    if plan.backend is Backend.CPU or plan.workspace_size == 0:
        return torch.empty(0, dtype=torch.uint8, device=q.device)
    made = Workspace.allocate(plan, q)
    assert made is not None
    return made.owner


def refuse_gradients(*tensors: Any) -> None:
    """Refuse tensors of which one requires a gradient, where somebody would wait for it."""
    for tensor in tensors:
        if tensor is None:
            raise InvalidArgumentError("one of the tensors is None; all but options are required")
        if tensor.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"a tensor of shape {tuple(tensor.shape)} requires grad; flashdec has no backward "
                "pass: call it under torch.no_grad(), or pass what .detach() returns"
            )


def refuse_other_devices(first: Any, *others: Any) -> None:
    """Refuse tensors of several devices: what traces them would not see it."""
    for other in others:
        if isinstance(other, torch.Tensor) and other.device != first.device:
            raise RuntimeError(
                f"a tensor of shape {tuple(other.shape)} is on {other.device} and another on "
                f"{first.device}; all must be on one device"
            )


def tell_of_writes(*tensors: Any) -> None:
    """Let autograd know that tensors which it may have kept have been written."""
    if not torch.is_inference_mode_enabled():
        for tensor in tensors:
            if tensor is not None:
                torch.autograd.graph.increment_version(tensor)
