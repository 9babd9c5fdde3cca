"""Results as text for people and as JSON for programs.  Nothing here prints."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any

from flashdec.bench.harness import Group, Result, Settings
from flashdec.bench.machine import Machine, commit, versions

__all__ = ["SCHEMA", "footer", "group_lines", "header", "to_json"]

SCHEMA = "flashdec-bench/1"
_BAR = 14  # characters for 100 % of the read bandwidth
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHAPE = "   B  Hq Hkv   D       K thr"
_COLUMNS = (
    f"{_SHAPE}  {'contender':17s}{'µs':>10s}{'GB/s':>8s}{'% of read':>11s}"
    f"  {'':{_BAR}s}{'error':>7s}"
)
_BUSY = 0.6  # load average per processor from which figures suffer


def header(machine: Machine, settings: Settings, isa: str) -> str:
    """Return what stands above the table."""
    cache = settings.layout + (
        f", pages of {settings.page_size} in random order" if settings.page_size else ""
    )
    load = os.getloadavg()[0]
    busy = ": busy, figures suffer" if load > _BUSY * machine.processors else ""
    known = versions(*(["torch"] if settings.compare else []))
    software = ", ".join(f"{name} {version}" for name, version in known.items())
    return "\n".join(
        [
            f"{machine.cpu}, {machine.processors} processors, "
            f"L3 {machine.l3_bytes / 2**20:.0f} MiB; instruction set {isa}",
            f"{software}; load average {load:.1f}{busy}",
            f"{settings.dtype.name.lower()}, {cache}",
            f"K and V come from memory: {settings.rotation_bytes / 2**20:.0f} MiB are read between "
            f"two uses; median of {settings.rounds} interleaved pairs",
            "",
            _COLUMNS,
            "─" * len(_COLUMNS),
        ]
    )


def group_lines(group: Group) -> str:
    """Return the lines of one case with one number of threads: the probe, then contenders."""
    case = group.case
    first = group.results[0].timing
    shape = (
        f"{case.batch:4d}{case.q_heads:4d}{case.kv_heads:4d}{case.head_dim:4d}"
        f"{case.kv_len:8d}{group.threads:4d}"
    )
    read_us = first.read_bytes / first.read_bandwidth * 1e6
    lines = [f"{shape}  {'(read)':17s}{read_us:10.1f}{first.read_bandwidth / 1e9:8.1f}"]
    lines += [f"{'':{len(_SHAPE)}}  {_result_text(result)}" for result in group.results]
    return "\n".join(lines)


def _result_text(result: Result) -> str:
    timing = result.timing
    share = timing.fraction_of_read
    return (
        f"{result.contender.name:17s}{timing.us:10.1f}{timing.bandwidth / 1e9:8.1f}"
        f"{100 * share:11.1f}  {_bar(share):{_BAR}s}{result.error:7.2f}"
    )


def _bar(share: float) -> str:
    eighths = round(min(share, 1.0) * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    return _EIGHTHS[8] * whole + (_EIGHTHS[rest] if rest else "")


def _kinds(groups: list[Group]) -> str:
    """Return how the probes read."""
    return ", ".join(dict.fromkeys(group.probe for group in groups))


def footer(groups: list[Group]) -> str:
    """Return what stands below the table: what the columns mean, and who was left out."""
    lines = [
        "% of read: K and V per second as a share of the probe's read of the same memory, "
        f"{_kinds(groups)}",
        "error: largest |o - float64| as a fraction of the bound in flashdec.h, 1 is the limit",
    ]
    abouts = {r.contender.name: r.contender.about for group in groups for r in group.results}
    lines += [f"{name}: {about}" for name, about in abouts.items() if len(abouts) > 1]
    left_out: dict[str, list[str]] = {}
    for group in groups:
        for name, reason in group.left_out.items():
            names = left_out.setdefault(reason, [])
            if name not in names:
                names.append(name)
    lines += [f"left out: {', '.join(names)} ({reason})" for reason, names in left_out.items()]
    return "\n".join(lines)


def to_json(
    machine: Machine, settings: Settings, isa: str, device: str, groups: list[Group]
) -> str:
    """Return everything as a JSON document, schema ``flashdec-bench/1``.

    ``results`` holds one object per case, number of threads and contender; times are in
    microseconds, bandwidths in 10^9 bytes per second, ``fraction_of_read`` and
    ``error_over_bound`` are plain fractions.
    """
    document = {
        "schema": SCHEMA,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine.to_dict(),
        "versions": versions("torch", "ml_dtypes"),
        "load_average": os.getloadavg()[0],
        "settings": {
            "device": device,
            "isa": isa,
            "dtype": settings.dtype.name.lower(),
            "layout": settings.layout,
            "page_size": settings.page_size,
            "rounds": settings.rounds,
            "rotation_bytes": settings.rotation_bytes,
        },
        "left_out": {name: why for group in groups for name, why in group.left_out.items()},
        "results": [_result_json(group, result) for group in groups for result in group.results],
    }
    return json.dumps(document, indent=2) + "\n"


def _result_json(group: Group, result: Result) -> dict[str, Any]:
    case, timing = group.case, result.timing
    return {
        "case": str(case),
        "batch": case.batch,
        "q_heads": case.q_heads,
        "kv_heads": case.kv_heads,
        "head_dim": case.head_dim,
        "kv_len": case.kv_len,
        "threads": group.threads,
        "contender": result.contender.name,
        "about": result.contender.about,
        "us": timing.us,
        "kv_bytes": timing.read_bytes,
        "gb_per_s": round(timing.bandwidth / 1e9, 3),
        "read_gb_per_s": round(timing.read_bandwidth / 1e9, 3),
        "fraction_of_read": round(timing.fraction_of_read, 5),
        "error_over_bound": result.error if result.error < float("inf") else None,
        "probe": {"kind": group.probe, "threads": group.probe_threads},
        "samples_us": [round(sample.seconds * 1e6, 3) for sample in timing.samples],
        "samples_read_gb_per_s": [
            round(sample.read_bandwidth / 1e9, 3) for sample in timing.samples
        ],
    }
