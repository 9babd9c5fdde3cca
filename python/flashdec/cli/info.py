"""``flashdec info``: what is installed, and what it would choose on this machine."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

import flashdec
from flashdec import _abi
from flashdec._enums import Backend
from flashdec.bench.machine import machine
from flashdec.descriptor import Descriptor
from flashdec.dtypes import DType
from flashdec.errors import FlashdecError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.sku import KernelSku

__all__ = ["ABOUT", "add_arguments", "chosen_isa", "collect", "run"]

ABOUT = "show versions, instruction set, threads, devices and the kernel table"

SCHEMA = "flashdec-info/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``info``."""
    parser.add_argument("--json", action="store_true", help="print a JSON document instead")


def run(options: argparse.Namespace) -> int:
    """Print; return 0."""
    facts = collect()
    print(json.dumps(facts, indent=2) if options.json else _text(facts))
    return 0


def _plan(backend: str, dtype: DType = DType.BFLOAT16) -> Plan:
    desc = Descriptor.new_gqa(
        batch=1, q_heads=4, kv_heads=1, max_kv_len=4096, head_dim=128, dtype=dtype
    )
    return Plan.select(desc, PlanPreference(prefer_backend=backend))


def chosen_isa(dtype: DType = DType.BFLOAT16) -> str:
    """Return the instruction set that CPU kernels use here, for instance ``"avx512"``.

    Raises
    ------
    FlashdecError
        If ``FLASHDEC_ISA`` names one that this processor or build does not have.
    """
    return _isa_of(_plan("cpu", dtype).sku)


def _isa_of(sku: KernelSku) -> str:
    """Return the middle of ``cpu_avx512_bf16``."""
    return sku.name.partition("_")[2].rpartition("_")[0]


def collect() -> dict[str, Any]:
    """Return the facts, ready for JSON; schema ``flashdec-info/1``."""
    path = flashdec.find_library()
    table = flashdec.kernels()
    return {
        "schema": SCHEMA,
        "version": flashdec.__version__,
        "abi_version": _abi.abi_version(),
        "library": {"path": str(path), "bytes": path.stat().st_size},
        "machine": machine().to_dict(),
        "cpu": _cpu_facts(),
        "cuda": _cuda_facts(table),
        "kernels": [_kernel_facts(sku) for sku in table],
    }


def _cpu_facts() -> dict[str, Any]:
    forced, counted = os.environ.get("FLASHDEC_ISA"), os.environ.get("FLASHDEC_NUM_THREADS")
    facts: dict[str, Any] = {"isa": None, "threads": None, "refusal": None}
    try:
        plan = _plan("cpu")
        facts |= {"isa": _isa_of(plan.sku), "threads": plan.info.num_threads}
    except FlashdecError as error:
        facts["refusal"] = str(error)
    facts["isa_why"] = (
        f"FLASHDEC_ISA={forced}" if forced else "the best that this processor and build have"
    )
    facts["threads_why"] = (
        f"FLASHDEC_NUM_THREADS={counted}" if counted else "the processors this process may run on"
    )
    return facts


def _cuda_facts(table: list[KernelSku]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "built": any(sku.backend is Backend.CUDA for sku in table),
        "device": None,
        "kernel": None,
        "refusal": None,
    }
    try:
        plan = _plan("cuda")
        facts |= {"device": plan.device, "kernel": plan.sku.name}
    except FlashdecError as error:
        facts["refusal"] = str(error)
    return facts


def _kernel_facts(sku: KernelSku) -> dict[str, Any]:
    guarantee = sku.precision_guarantee
    return {
        "name": sku.name,
        "backend": sku.backend.name.lower(),
        "category": sku.category.name.lower(),
        "op": sku.op.name.lower(),
        "element": sku.element.name.lower(),
        "aux_element": sku.aux_element.name.lower(),
        "layout": sku.layout.name.lower(),
        "epilogue": sku.epilogue.name.lower(),
        "arch": sku.arch,
        "math_precision": guarantee.math_precision.name.lower(),
        "accumulator": guarantee.accumulator.name.lower(),
        "bit_stable_on_same_hardware": guarantee.bit_stable_on_same_hardware,
        "deterministic": guarantee.deterministic,
        "batch_invariant": guarantee.batch_invariant,
    }


def _text(facts: dict[str, Any]) -> str:
    cpu, cuda, host = facts["cpu"], facts["cuda"], facts["machine"]
    library = facts["library"]
    built = "in this build" if cuda["built"] else "not in this build"
    seen = f"{cuda['device']}, kernel {cuda['kernel']}" if cuda["device"] else cuda["refusal"]
    lines = [
        ("flashdec", f"{facts['version']}, ABI version {facts['abi_version']}"),
        ("library", f"{library['path']} ({library['bytes'] / 1e6:.1f} MB)"),
        (
            "processor",
            f"{host['cpu']}, {host['processors']} for this process, "
            f"L3 {host['l3_bytes'] / 2**20:.0f} MiB",
        ),
    ]
    if cpu["refusal"]:
        lines.append(("CPU", cpu["refusal"]))
    else:
        lines += [
            ("instructions", f"{cpu['isa']} ({cpu['isa_why']})"),
            ("threads", f"{cpu['threads']} ({cpu['threads_why']})"),
        ]
    lines += [("CUDA kernels", built), ("CUDA device", seen)]
    head = "\n".join(f"{name:14s}{value}" for name, value in lines)
    return f"{head}\n\n{_kernel_table(facts['kernels'])}"


def _kernel_table(kernels: list[dict[str, Any]]) -> str:
    form = "{:22s} {:7s} {:9s} {:7s} {:8s} {:6s} {:9s} {:10s} {:s}"
    title = form.format(
        "kernel, best first",
        "backend",
        "q and o",
        "caches",
        "writes",
        "arch",
        "p·v in",
        "same bits",
        "invariant",
    )
    rows = [title, "─" * 97]
    for each in kernels:
        rows.append(
            form.format(
                each["name"],
                each["backend"],
                each["element"],
                each["layout"],
                {"none": "o", "lse": "o, lse"}[each["epilogue"]],
                f"sm_{each['arch']}" if each["arch"] else "-",
                each["math_precision"],
                "always" if each["deterministic"] else "no",
                "yes" if each["batch_invariant"] else "no",
            ).rstrip()
        )
    rows += [
        "",
        "same bits: the same inputs give the same bits in every run",
        "invariant: with batch_invariant a sequence's bits do not depend on the batch around it",
    ]
    return "\n".join(rows)
