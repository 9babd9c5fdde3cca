"""Plans by the shapes of tensors, and runs that cost the host as little as they can."""

from __future__ import annotations

import struct
import threading
from typing import Any

import torch

from flashdec import _abi, _abi_append, _abi_dlpack, _abi_merge
from flashdec._enums import Axes, Backend
from flashdec.args import as_axes
from flashdec.decode import describe_problem
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.tensor import reader_of
from flashdec.workspace import ALIGNMENT, Workspace

__all__ = ["refuse_gradients", "run_append", "run_decode", "run_merge", "workspace_for"]

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

    __slots__ = ("_objects", "_run", "plan")

    def __init__(self, plan: Plan, axes: Axes, base2: bool) -> None:
        self.plan = plan
        objects = self._objects = _abi_dlpack.make_objects(axes)
        objects.plan = plan._address
        objects.flags = _abi.ARGS_BASE2 if base2 else 0
        self._run = _abi_dlpack.make_run(objects)

    def run(
        self, q: Any, k: Any, v: Any, o: Any, lse: Any, kv_len: Any, table: Any, workspace: Any
    ) -> int:
        """Return the status."""
        r = _READER
        _OPERANDS.pack_into(
            self._objects, _OFFSET,
            r, id(q), r, id(k), r, id(v), r, id(o),
            *((0, 0) if lse is None else (r, id(lse))),
            *((0, 0) if kv_len is None else (r, id(kv_len))),
            *((0, 0) if table is None else (r, id(table))),
            0, 0,
        )  # fmt: skip
        if self.plan.workspace_size:
            self._take(workspace)
        return self._run()

    def _take(self, workspace: Any) -> None:
        """Use the caller's prepared workspace, or memory of this run alone."""
        objects = self._objects
        prepared = workspace is not None
        if not prepared:
            # Freed when the call returns, and given to others behind our work on this stream.
            workspace = torch.empty(
                self.plan.workspace_size + ALIGNMENT, dtype=torch.uint8, device=self.plan.device
            )
        start = workspace.data_ptr()
        objects.workspace = -(-start // ALIGNMENT) * ALIGNMENT
        objects.workspace_bytes = workspace.nbytes - (objects.workspace - start)
        flags = objects.flags & ~_abi.ARGS_PREPARED_WORKSPACE
        objects.flags = flags | (_abi.ARGS_PREPARED_WORKSPACE if prepared else 0)


def _runners() -> dict[Any, _Runner]:
    try:
        found: dict[Any, _Runner] = _of_thread.runners
    except AttributeError:
        found = _of_thread.runners = {}
    return found


def _select(
    q: Any, k: Any, v: Any, o: Any, table: Any, layout: str, scale: float | None, invariant: bool
) -> Plan:
    desc = describe_problem(q, k, v, o, table, layout, scale)
    backend = Backend.CPU if q.device.type == "cpu" else Backend.CUDA
    wishes = PlanPreference(prefer_backend=backend, batch_invariant=invariant)
    return Plan.select(desc, wishes)


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
    key: Any = (
        q.shape, k.shape, v.shape, q.dtype, q.device, None if table is None else table.shape,
        layout, scale, invariant, base2,
    )  # fmt: skip
    operands = (q, k, v, o, lse, kv_len, table, workspace)
    runner = runners.get(key)
    if runner is not None:
        status = runner.run(*operands)
        if status == 0:
            return
        if status != _MISALIGNED:
            _abi.check(status)
        # The plan is of tensors whose rows began at rounder addresses.
        key = (key, "misaligned")
        runner = runners.get(key)
    if runner is None or (status := runner.run(*operands)) == _MISALIGNED:
        if len(runners) >= _MOST_RUNNERS:
            runners.clear()
        plan = _select(q, k, v, o, table, layout, scale, invariant)
        runner = runners[key] = _Runner(plan, as_axes(layout), base2)
        status = runner.run(*operands)
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
    plan = _select(q, k, v, q, table, layout, scale, invariant)
    made = Workspace.allocate(plan, q)
    if made is None:
        return torch.empty(0, dtype=torch.uint8, device=q.device)
    if made.device == "cpu":
        return torch.from_numpy(made.owner)
    return made.owner


def refuse_gradients(*tensors: Any) -> None:
    """Refuse tensors of which one requires a gradient, where somebody would wait for it."""
    for tensor in tensors:
        if tensor.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"a tensor of shape {tuple(tensor.shape)} requires grad; flashdec has no backward "
                "pass: call it under torch.no_grad(), or pass what .detach() returns"
            )
