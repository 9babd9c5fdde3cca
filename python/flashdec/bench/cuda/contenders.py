"""Who is measured on a GPU: ways of flashdec, and tables of other libraries.

A contender gets a `Scene` and returns a function that enqueues the computation over copy ``i`` of
the cache on the current stream and returns the output.  A new way of flashdec is a new row of
`VARIANTS`, a new peer a new row of `PEERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flashdec.args import Args
from flashdec.bench.cuda import fa3, flashinfer, sdpa
from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.prepared import Prepared
from flashdec.bench.cuda.scene import Scene
from flashdec.descriptor import Descriptor
from flashdec.errors import InvalidArgumentError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.workspace import Workspace

__all__ = ["PEERS", "VARIANTS", "Contender", "Variant", "new_workspace", "select_plan", "selected"]


_ANY_KERNEL = PlanPreference(prefer_backend="cuda")


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute decode attention on a GPU.

    Attributes
    ----------
    name : str
        At most 20 characters.
    about : str
        What it calls, for people.
    missing : callable
        ``missing()`` says why it is not here at all; "" if it is.
    refuse : callable
        ``refuse(line)`` says in a few words why it cannot or need not compute it; "" if it can.
    prepare : callable
        ``prepare(scene)`` plans, and gives what is captured.
    ours : bool
        Whether it is flashdec.
    on_device : bool
        Whether it reads lengths on the device where it need not.
    beside_default : bool
        Whether its goal is beside flashdec's default, not beside the read.
    """

    name: str
    about: str
    missing: Callable[[], str]
    refuse: Callable[[Line], str]
    prepare: Callable[[Scene], Prepared]
    ours: bool = False
    on_device: bool = False
    beside_default: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """A way of flashdec.

    Attributes
    ----------
    name, about : str
        Of the contender.
    preference : PlanPreference
        What the plan may choose.
    on_device : bool
        Whether lengths are on the device for a cache without pages too.
    prepared : bool
        Whether the workspace is prepared, so that one launch may do.
    """

    name: str
    about: str
    preference: PlanPreference = _ANY_KERNEL
    on_device: bool = False
    prepared: bool = True


VARIANTS: dict[str, Variant] = {
    "default": Variant("flashdec", "plan.run"),
    "kv-len": Variant("flashdec kv_len", "lengths on the device", on_device=True),
    "two-launches": Variant(
        "flashdec 2 launches", "with a workspace that is not prepared", prepared=False
    ),
    "sm80": Variant(
        "flashdec sm_80",
        "without kernels that need sm_90a",
        PlanPreference(prefer_backend="cuda", allow_sm90a=False),
    ),
    "invariant": Variant(
        "flashdec invariant",
        "batch_invariant",
        PlanPreference(prefer_backend="cuda", batch_invariant=True),
    ),
}


def select_plan(line: Line, variant: Variant) -> Plan:
    """Return a variant's plan of a line."""
    case = line.case
    desc = Descriptor.new_gqa(
        batch=case.batch,
        q_heads=case.q_heads,
        kv_heads=case.kv_heads,
        max_kv_len=max(line.kv_lens),
        head_dim=case.head_dim,
        dtype=line.dtype,
        page_size=line.page_size,
        num_pages=sum(line.pages),
    )
    return Plan.select(desc, variant.preference)


def new_workspace(plan: Plan, variant: Variant, like: Any) -> Workspace | None:
    """Return a workspace of the current stream, prepared or not."""
    return Workspace.allocate(plan, like, prepared=variant.prepared)


def _prepare(variant: Variant, scene: Scene) -> Prepared:
    plan = select_plan(scene.line, variant)
    workspace = new_workspace(plan, variant, scene.q)
    o = scene.new_output()
    kv_len = scene.kv_len if variant.on_device or scene.page_table is not None else None
    arguments = [
        Args(q=scene.q, k=k, v=v, o=o, kv_len=kv_len, page_table=scene.page_table)
        for k, v in zip(scene.k, scene.v, strict=True)
    ]
    stream = int(scene.gpu.stream.cuda_stream)

    def run(copy: int) -> Any:
        plan.run(arguments[copy], workspace, stream=stream)
        return o

    return Prepared(run, f"{plan.sku.name}, splits {plan.info.max_splits}")


def _refuse(variant: Variant, line: Line) -> str:
    if variant.on_device and line.page_size:
        return "the same as flashdec: with pages, lengths are on the device"
    return ""


def _of_variant(variant: Variant) -> Contender:
    return Contender(
        name=variant.name,
        about=variant.about,
        missing=lambda: "",
        refuse=partial(_refuse, variant),
        prepare=partial(_prepare, variant),
        ours=True,
        on_device=variant.on_device,
        beside_default=variant.preference.batch_invariant,
    )


PEERS: dict[str, Contender] = {
    "cudnn": Contender(
        "cuDNN",
        "torch's scaled_dot_product_attention, cuDNN backend",
        sdpa.missing,
        sdpa.refuse,
        partial(sdpa.prepare, "CUDNN_ATTENTION"),
    ),
    "flash": Contender(
        "torch flash",
        "torch's scaled_dot_product_attention, flash backend",
        sdpa.missing,
        sdpa.refuse,
        partial(sdpa.prepare, "FLASH_ATTENTION"),
    ),
    "fa3": Contender(
        "FlashAttention-3",
        "vLLM's build; scheduler metadata made beforehand",
        fa3.missing,
        fa3.refuse,
        fa3.prepare,
    ),
    "flashinfer": Contender(
        "FlashInfer",
        "BatchDecodeWithPagedKVCacheWrapper, tensor cores; pages of 16 in order where there are "
        "none",
        flashinfer.missing,
        flashinfer.refuse,
        flashinfer.prepare,
    ),
    "xqa": Contender(
        "XQA",
        "of FlashInfer; pages of 16 in order where there are none",
        flashinfer.missing,
        flashinfer.refuse_xqa,
        flashinfer.prepare_xqa,
    ),
}


def _chosen(what: str, names: Iterable[str], table: Iterable[str]) -> list[str]:
    known, chosen = list(table), list(names)
    for name in chosen:
        if name not in known:
            raise InvalidArgumentError(f"{what} is {name!r}; there are {', '.join(known)}")
    return chosen


def selected(variants: Iterable[str], peers: Iterable[str]) -> list[Contender]:
    """Return contenders, those of flashdec first.

    Parameters
    ----------
    variants : iterable of str
        Of `VARIANTS`.
    peers : iterable of str
        Of `PEERS`.

    Raises
    ------
    InvalidArgumentError
        If there is none of a name; the message lists those there are.
    """
    ours = [_of_variant(VARIANTS[name]) for name in _chosen("variant", variants, VARIANTS)]
    return ours + [PEERS[name] for name in _chosen("peer", peers, PEERS)]
