"""The identity of a kernel and what it guarantees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdec import _abi
from flashdec._enums import Backend, Category, Epilogue, Layout, Op
from flashdec.dtypes import DType

__all__ = ["KernelSku", "PrecisionGuarantee", "kernels"]


@dataclass(frozen=True, slots=True)
class PrecisionGuarantee:
    """What a kernel guarantees: ``flashdec_precision_guarantee``.

    Attributes
    ----------
    math_precision : DType
        In which probabilities are multiplied with values.
    accumulator : DType
        Of every sum.
    bit_stable_on_same_hardware : bool
        The same bits in every process on the same hardware.
    deterministic : bool
        The same bits in every run.
    batch_invariant : bool
        A sequence's bits depend on its own q, k, v and length only.
    """

    math_precision: DType
    accumulator: DType
    bit_stable_on_same_hardware: bool
    deterministic: bool
    batch_invariant: bool


@dataclass(frozen=True, slots=True)
class KernelSku:
    """The identity of a kernel: ``flashdec_kernel_sku``.

    Attributes
    ----------
    category, op : Category, Op
        What it is for.
    element, aux_element : DType
        Element types of q and o, and of k and v.
    layout : Layout
        Which cache layouts it reads.
    epilogue : Epilogue
        What it may write beside o.
    arch : int
        CUDA: the least compute capability, 10 * major + minor; CPU: 0.
    backend : Backend
        Where it runs.
    precision_guarantee : PrecisionGuarantee
        Of a plan: under its preference; of a kernel: at best.
    name : str
        Unique, for instance ``"cpu_avx512_bf16"``.
    """

    category: Category
    op: Op
    element: DType
    aux_element: DType
    layout: Layout
    epilogue: Epilogue
    arch: int
    backend: Backend
    precision_guarantee: PrecisionGuarantee
    name: str

    @classmethod
    def from_c(cls, sku: Any) -> KernelSku:
        """Read a ``flashdec_kernel_sku``."""
        guarantee = sku.guarantee
        return cls(
            category=Category(sku.category),
            op=Op(sku.op),
            element=DType(sku.element),
            aux_element=DType(sku.aux_element),
            layout=Layout(sku.layout),
            epilogue=Epilogue(sku.epilogue),
            arch=sku.arch,
            backend=Backend(sku.backend),
            precision_guarantee=PrecisionGuarantee(
                math_precision=DType(guarantee.math_precision),
                accumulator=DType(guarantee.accumulator),
                bit_stable_on_same_hardware=bool(guarantee.bit_stable_on_same_hardware),
                deterministic=bool(guarantee.deterministic),
                batch_invariant=bool(guarantee.batch_invariant),
            ),
            name=sku.name.decode(),
        )


def kernels() -> list[KernelSku]:
    """Return the kernel table of this build, best first, references last."""
    table = []
    for index in range(_abi.kernel_count()):
        sku = _abi.sized(_abi.CKernelSku)
        _abi.check(_abi.kernel_info(index, _abi.address(sku)))
        table.append(KernelSku.from_c(sku))
    return table
