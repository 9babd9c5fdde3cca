"""Results on a GPU as text for people and as JSON for programs.  Nothing here prints."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from flashdec.bench.cuda.goals import INVARIANT_GOAL, ON_DEVICE_US, RULES
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.results import DEFAULT, LineResult, Row
from flashdec.bench.cuda.scene import ROTATION_BYTES
from flashdec.bench.machine import commit, machine, versions

__all__ = ["SCHEMA", "footer", "header", "line_text", "to_json"]

SCHEMA = "flashdec-bench-cuda/1"
_PACKAGES = ("torch", "cuda-core", "flashinfer-python", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12")
_COLUMNS = (
    f"  {'':20s}{'µs':>9s}{'GB/s':>8s}{'% read':>8s}{'goal':>8s}{'':5s}{'ahead':>7s}{'error':>7s}"
)
_MET = {True: "ok", False: "miss", None: ""}


def header(gpu: Gpu, rounds: int) -> str:
    """Return what stands above the lines."""
    software = ", ".join(f"{name} {version}" for name, version in versions(*_PACKAGES).items())
    return "\n".join(
        [
            f"{gpu.name}, {gpu.multiprocessors} multiprocessors, driver {gpu.driver or 'unknown'}",
            software,
            f"launches in a replayed CUDA graph, one per copy of the cache, "
            f"{ROTATION_BYTES / 2**30:.0f} GiB of copies or 256; median of {rounds} replays, each "
            "behind another one before which L2 was cleared",
            "",
            _COLUMNS,
            "─" * len(_COLUMNS),
        ]
    )


def line_text(result: LineResult) -> str:
    """Return the text of a line: its shape, then a row for each contender."""
    size = result.line.kv_bytes / 2**20
    rows = [_row_text(result, row) for row in result.rows]
    if result.failure:
        rows.append(f"  failed: {result.failure}")
    return "\n".join([f"{result.line}  ({size:.0f} MiB x {result.copies})", *rows])


def _row_text(result: LineResult, row: Row) -> str:
    if row.failure:
        return f"  {row.name:20s}  failed: {row.failure}"
    share = result.fraction_of_read(row)
    ahead = result.ahead(row) if row.kind == "ours" else None
    cells = (
        f"  {row.name:20s}{row.us:9.2f}{result.gb_per_s(row):8.0f}",
        "" if share is None else f"{100 * share:.1f}",
        "" if row.goal_us is None else f"{row.goal_us:.2f}",
        _MET[row.within_goal],
        "" if ahead is None else f"{ahead:.2f}",
        "" if row.error is None else f"{row.error:.2f}",
        _note(result, row),
    )
    text = "{:s}{:>8s}{:>8s} {:4s}{:>7s}{:>7s}  {:s}".format(*cells)
    return text.rstrip()


def _note(result: LineResult, row: Row) -> str:
    ratio = result.over_default(row)
    parts = ["" if ratio is None else f"{ratio:.3f} x {DEFAULT}", row.note]
    return "; ".join(filter(None, parts))


def footer(results: list[LineResult]) -> str:
    """Return what stands below the lines: the score, what columns mean, and who was left out."""
    lines = _score(results)
    lines += [
        "% read: bandwidth as a share of the plain read's",
        "ahead: how many times as long the fastest peer of the line takes",
        "error: largest |o - float64| as a fraction of the bound in flashdec.h, 1 is the limit",
    ]
    rules = dict.fromkeys(result.line.rule for result in results)
    for name in rules:
        rule = RULES[name]
        lines.append(f"goal, {name}: {'none' if rule is None else rule.about}")
    lines.append(f"goal, lengths on the device without pages: {ON_DEVICE_US} µs more")
    lines.append(f"goal, batch-invariant: {INVARIANT_GOAL}")
    abouts = {row.name: row.about for result in results for row in result.rows}
    lines += [f"{name}: {about}" for name, about in abouts.items()]
    return "\n".join(lines + _left_out(results))


def _score(results: list[LineResult]) -> list[str]:
    """Count, for every row of flashdec, the goals met and the lines on which it is ahead."""
    found: dict[str, list[tuple[LineResult, Row]]] = {}
    for result in results:
        for row in result.rows:
            if row.kind == "ours":
                found.setdefault(row.name, []).append((result, row))
    lines = []
    for name, pairs in found.items():
        goals = [row.within_goal for _, row in pairs if row.within_goal is not None]
        ahead = [result.ahead(row) for result, row in pairs]
        faster = [share > 1 for share in ahead if share is not None]
        failures = sum(bool(row.failure) for _, row in pairs)
        wrong = sum(row.error is not None and row.error > 1 for _, row in pairs)
        lines.append(
            f"{name}: {sum(goals)} of {len(goals)} goals met, ahead of the fastest peer on "
            f"{sum(faster)} of {len(faster)} lines, {failures} failed, {wrong} beyond the bound"
        )
        lines += _misses(pairs)
    return lines


def _misses(pairs: list[tuple[LineResult, Row]]) -> list[str]:
    """Name the lines on which a row is over its goal or behind a peer, and by how much."""
    lines = []
    for result, row in pairs:
        if row.goal_us is not None and row.within_goal is False:
            lines.append(f"  over the goal by {row.us - row.goal_us:6.2f} µs: {result.line}")
    for result, row in pairs:
        peer = result.fastest_peer
        if peer is not None and row.samples_us and row.us >= peer.us:
            lines.append(f"  behind {peer.name} by {row.us - peer.us:6.2f} µs: {result.line}")
    return lines


def _left_out(results: list[LineResult]) -> list[str]:
    """Say once who was left out for which reason, and on how many lines."""
    counts: dict[tuple[str, str], int] = {}
    for result in results:
        for pair in result.left_out.items():
            counts[pair] = counts.get(pair, 0) + 1
    return [
        f"left out: {name} on {count} of {len(results)} lines ({reason})"
        for (name, reason), count in counts.items()
    ]


def to_json(gpu: Gpu, empty_us: float, results: list[LineResult], settings: dict[str, Any]) -> str:
    """Return everything as a JSON document, schema ``flashdec-bench-cuda/1``.

    ``lines`` holds one object per line with a list of rows; times are in microseconds.
    """
    document = {
        "schema": SCHEMA,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "gpu": gpu.to_dict(),
        "host": machine().to_dict(),
        "versions": versions(*_PACKAGES),
        "settings": {
            "rotation_bytes": ROTATION_BYTES,
            "cleared_bytes": gpu.cleared_bytes,
            **settings,
        },
        "empty_us": round(empty_us, 3),
        "lines": [_line_json(result) for result in results],
    }
    return json.dumps(document, indent=1) + "\n"


def _line_json(result: LineResult) -> dict[str, Any]:
    line, case, peer = result.line, result.line.case, result.fastest_peer
    return {
        "line": str(line),
        "batch": case.batch,
        "q_heads": case.q_heads,
        "kv_heads": case.kv_heads,
        "head_dim": case.head_dim,
        "kv_len": case.kv_len,
        "lengths": list(line.lengths) or None,
        "dtype": line.dtype.name.lower(),
        "page_size": line.page_size,
        "kv_bytes": line.kv_bytes,
        "copies": result.copies,
        "rule": line.rule,
        "failure": result.failure or None,
        "fastest_peer": None if peer is None else peer.name,
        "us": {row.name: round(row.us, 3) for row in result.rows if row.samples_us},
        "rows": [_row_json(result, row) for row in result.rows],
        "left_out": result.left_out,
    }


def _row_json(result: LineResult, row: Row) -> dict[str, Any]:
    share, ahead = result.fraction_of_read(row), result.ahead(row)
    finite = row.error is not None and row.error < float("inf")
    return {
        "contender": row.name,
        "kind": row.kind,
        "us": round(row.us, 3) if row.samples_us else None,
        "gb_per_s": round(result.gb_per_s(row), 2) if row.samples_us else None,
        "fraction_of_read": None if share is None else round(share, 5),
        "goal_us": None if row.goal_us is None else round(row.goal_us, 3),
        "within_goal": row.within_goal,
        "fastest_peer_over_this": None if ahead is None else round(ahead, 4),
        "over_default": result.over_default(row),
        "error_over_bound": row.error if finite else None,
        "error_is_infinite": row.error is not None and not finite,
        "note": row.note,
        "failure": row.failure or None,
        "samples_us": [round(sample, 3) for sample in row.samples_us],
    }
