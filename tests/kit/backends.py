"""Where a case runs: the CPU with NumPy's memory, or a GPU with torch's, by the same suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import flashdec
from kit.arrays import Arrays
from kit.case import Case


@dataclass
class Result:
    """What a run left, in NumPy."""

    o: Any
    lse: Any
    slab: Any
    status: int
    plan: flashdec.Plan


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables that the library reads when a plan is selected."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def natural_alignment(arrays: Arrays) -> int:
    bits = 16
    for array in (arrays.q, arrays.k, arrays.v, arrays.o):
        bits |= array.ctypes.data
        for extent, stride in zip(array.shape[:-1], array.strides[:-1], strict=True):
            bits |= stride if extent > 1 else 0
    return max(bits & -bits, arrays.q.itemsize)


class Backend:
    """Selects a plan and runs it; a kernel is named by the environment or preference it takes."""

    name = ""

    def kernels(self) -> list[str]:
        raise NotImplementedError

    def carry(self, array: Any) -> Any:
        raise NotImplementedError

    def fetch(self, array: Any) -> Any:
        raise NotImplementedError

    def finish(self) -> None:
        """Wait for what was enqueued."""

    def variables(self, kernel: str) -> dict[str, str]:
        return {}

    def refusal(self, kernel: str) -> str:
        """Why the machine at hand cannot run a kernel; empty if it can."""
        return ""

    def preference(self, case: Case, kernel: str, more: dict[str, Any]) -> flashdec.PlanPreference:
        return case.preference(prefer_backend=self.name, **more)

    def alignment(self, arrays: Arrays, kernel: str) -> int:
        return natural_alignment(arrays)

    def plan(self, case: Case, arrays: Arrays, kernel: str = "", **more: Any) -> flashdec.Plan:
        desc = case.descriptor(arrays.num_pages, self.alignment(arrays, kernel))
        with environment(**self.variables(kernel)):
            return flashdec.Plan.select(desc, self.preference(case, kernel, more))

    def workspace(
        self, plan: flashdec.Plan, fill: int | None, prepared: bool = False
    ) -> flashdec.Workspace | None:
        """A workspace of exactly the plan's size, filled with a byte, or with random ones."""
        if plan.workspace_size == 0:
            return None
        host = np.empty(plan.workspace_size + 256, np.uint8)
        host[...] = np.random.default_rng(3).integers(256, size=host.size) if fill is None else fill
        whole = flashdec.Workspace.from_array(self.carry(host))
        made = flashdec.Workspace(whole.pointer, plan.workspace_size, whole.device, whole.owner)
        return made.prepare(plan) if prepared else made

    def check_restored(self, workspace: flashdec.Workspace) -> None:
        """A run leaves a prepared workspace as it found it."""

    def run(
        self,
        case: Case,
        arrays: Arrays,
        kernel: str = "",
        *,
        fill: int | None = None,
        plan: flashdec.Plan | None = None,
        status: int = 0,
        **more: Any,
    ) -> Result:
        chosen = plan if plan is not None else self.plan(case, arrays, kernel, **more)
        carried: dict[int, Any] = {}
        put = lambda a: None if a is None else a if isinstance(a, int) else self.view(a, carried)  # noqa: E731
        word = self.carry(np.full(1, status, np.int32))
        args = flashdec.Args(
            q=put(arrays.q),
            k=put(arrays.k),
            v=put(arrays.v),
            o=put(arrays.o),
            lse=put(arrays.lse),
            kv_len=put(arrays.kv_len),
            page_table=put(arrays.page_table),
            status=word,
            layout=case.layout,
            base2=case.base2,
        )
        workspace = self.workspace(chosen, fill, kernel == "exchange")
        chosen.run(args, workspace)
        self.finish()
        if workspace is not None and workspace.prepared:
            self.check_restored(workspace)
        return Result(
            o=self.fetch(args.o).copy(),
            lse=None if arrays.lse is None else self.fetch(args.lse).copy(),
            slab=self.fetch(put(arrays.slab)).copy(),
            status=int(self.fetch(word)[0]),
            plan=chosen,
        )

    def view(self, array: Any, carried: dict[int, Any]) -> Any:
        raise NotImplementedError


class Cpu(Backend):
    name = "cpu"

    def kernels(self) -> list[str]:
        names = {kernel.name.split("_")[1] for kernel in flashdec.kernels() if "cpu" in kernel.name}
        every = ("reference", "generic", "avx2", "avx512", "avx512bf16", "neon", "neonbf16")
        return [isa for isa in every if isa in names]

    def variables(self, kernel: str) -> dict[str, str]:
        return {"FLASHDEC_ISA": kernel} if kernel else {}

    def refusal(self, kernel: str) -> str:
        desc = flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=1)
        with environment(**self.variables(kernel)):
            try:
                flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend=self.name))
            except flashdec.UnsupportedError as error:
                return str(error)
        return ""

    def carry(self, array: Any) -> Any:
        return array

    def fetch(self, array: Any) -> Any:
        return array

    def view(self, array: Any, carried: dict[int, Any]) -> Any:
        return array


class Cuda(Backend):
    """Arrays go up as the memory that they are views of, so that every stride is kept."""

    name = "cuda"

    # What a machine would choose; the code for every GPU from sm_80; parts exchanged within one
    # launch; and the kernel for whatever is not fast.
    def kernels(self) -> list[str]:
        return ["fast", "async", "exchange", "simple"]

    def preference(self, case: Case, kernel: str, more: dict[str, Any]) -> flashdec.PlanPreference:
        if kernel == "async":
            more = {"allow_sm90a": False, **more}
        return case.preference(prefer_backend=self.name, **more)

    def alignment(self, arrays: Arrays, kernel: str) -> int:
        return arrays.q.dtype.itemsize if kernel == "simple" else natural_alignment(arrays)

    def check_restored(self, workspace: flashdec.Workspace) -> None:
        import torch

        content = workspace.owner.view(torch.uint8)
        begin = workspace.pointer - content.data_ptr()
        assert bool((content[begin : begin + workspace.nbytes] == 255).all())

    def carry(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(array).cuda()

    def finish(self) -> None:
        import torch

        torch.cuda.synchronize()

    def fetch(self, array: Any) -> Any:
        import ml_dtypes
        import torch

        if array.dtype == torch.bfloat16:
            return array.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return array.cpu().numpy()

    def view(self, array: Any, carried: dict[int, Any]) -> Any:
        import torch

        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        if id(root) not in carried:
            flat = root.reshape(-1).view(np.uint8)
            carried[id(root)] = torch.from_numpy(flat).cuda()
        dtype = getattr(torch, array.dtype.name)
        size = array.dtype.itemsize
        offset = (array.ctypes.data - root.ctypes.data) // size
        strides = [stride // size for stride in array.strides]
        return torch.as_strided(carried[id(root)].view(dtype), array.shape, strides, offset)


def cuda_is_usable() -> bool:
    try:
        import torch
    except ImportError:
        return False
    built = any(kernel.backend == flashdec.Backend.CUDA for kernel in flashdec.kernels())
    return built and torch.cuda.is_available()
