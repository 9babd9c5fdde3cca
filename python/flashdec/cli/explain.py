"""``flashdec explain``: which kernel a problem gets, and why the others do not."""

from __future__ import annotations

import argparse
import json
from typing import Any

from flashdec.bench.shapes import parse_case
from flashdec.descriptor import Descriptor
from flashdec.dtypes import as_dtype
from flashdec.errors import UnsupportedError
from flashdec.explain import explain
from flashdec.plan import Plan
from flashdec.preference import PlanPreference

__all__ = ["ABOUT", "add_arguments", "run"]

ABOUT = "show which kernel, splits and workspace a problem gets, and why not the other kernels"

SCHEMA = "flashdec-explain/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``explain``."""
    add = parser.add_argument
    add("shape", metavar="B,Hq,Hkv,D,K", help="the problem, for instance 1,32,8,128,4k")
    add("--dtype", default="bfloat16", help="bfloat16, float16 or float32; default: bfloat16")
    add("--page-size", type=int, default=0, metavar="N", help="tokens in a page; default: no pages")
    add("--alignment", type=int, default=0, metavar="N", help="bytes; default: that of the rows")
    add("--device", default="any", help="cpu, cuda or any; default: any")
    add("--batch-invariant", action="store_true", help="bits that do not depend on the batch")
    add("--json", action="store_true", help="print a JSON document instead")


def run(options: argparse.Namespace) -> int:
    """Print; return 0, or 1 where no kernel does it."""
    case = parse_case(options.shape, largest_head_dim=None)
    pages = case.batch * -(-case.kv_len // options.page_size) if options.page_size > 0 else 0
    desc = Descriptor.new_gqa(
        batch=case.batch,
        q_heads=case.q_heads,
        kv_heads=case.kv_heads,
        max_kv_len=case.kv_len,
        head_dim=case.head_dim,
        dtype=as_dtype(options.dtype),
        page_size=options.page_size,
        num_pages=pages,
        alignment=options.alignment,
    )
    wishes = PlanPreference(prefer_backend=options.device, batch_invariant=options.batch_invariant)
    facts = _collect(desc, wishes)
    print(json.dumps(facts, indent=2) if options.json else _text(facts))
    return 0 if facts["plan"] else 1


def _collect(desc: Descriptor, wishes: PlanPreference) -> dict[str, Any]:
    rows = explain(desc, wishes)
    facts: dict[str, Any] = {"schema": SCHEMA, "plan": None, "refusal": None}
    try:
        facts["plan"] = _plan_facts(Plan.select(desc, wishes))
    except UnsupportedError as error:
        facts["refusal"] = str(error)
    facts["kernels"] = [
        {"name": sku.name, "supported": support.ok, "reason": support.reason}
        for sku, support in rows
    ]
    return facts


def _plan_facts(plan: Plan) -> dict[str, Any]:
    return {
        "kernel": plan.sku.name,
        "device": plan.device,
        "max_splits": plan.info.max_splits,
        "split_len": plan.info.split_len,
        "tile": plan.info.tile,
        "num_threads": plan.info.num_threads,
        "launches": plan.info.launches,
        "workspace_bytes": plan.workspace_size,
    }


def _text(facts: dict[str, Any]) -> str:
    plan = facts["plan"]
    if plan is None:
        head = [("kernel", f"none: {facts['refusal']}")]
    else:
        cut = f"{plan['split_len']} tokens" if plan["split_len"] else "as the kernel finds them"
        head = [
            ("kernel", f"{plan['kernel']} on {plan['device']}"),
            ("splits", f"up to {plan['max_splits']} of a sequence, {cut}; tiles of {plan['tile']}"),
            ("workspace", f"{plan['workspace_bytes']} bytes"),
            _work(plan),
        ]
    lines = [f"{name:14s}{value}" for name, value in head]
    lines.append("")
    chosen = plan["kernel"] if plan else None
    for each in facts["kernels"]:
        reason = each["reason"] or ("chosen" if each["name"] == chosen else "could, comes later")
        lines.append(f"{each['name']:24s}{reason}")
    return "\n".join(lines)


def _work(plan: dict[str, Any]) -> tuple[str, str]:
    if plan["device"] == "cpu":
        return "threads", f"up to {plan['num_threads']}"
    prepared = ", with a prepared workspace" if plan["workspace_bytes"] else ""
    return "launches", f"{plan['launches']}{prepared}"
