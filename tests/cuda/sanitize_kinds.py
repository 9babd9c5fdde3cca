"""What sanitize_cases.py runs: the CUDA rows, and the kinds of cases that each is run with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from kit.case import Case

SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
SHAPES = ((64, 8), (64, 16), (96, 8), (96, 16), (128, 8), (128, 16), (192, 8), (256, 8))


@dataclass(frozen=True)
class Row:
    """A row of the kernel table and a shape that makes the planner choose it."""

    folder: str
    dtype: str
    head_dim: int
    heads: int = 0

    @property
    def name(self) -> str:
        shape = "" if self.folder == "simple" else f"_d{self.head_dim}_h{self.heads}"
        return f"cuda_{self.folder}_{SHORT[self.dtype]}{shape}"

    @property
    def case(self) -> Case:
        """The shape alone; a kind says the rest."""
        dim, group = self.head_dim, {8: 4, 16: 12}.get(self.heads, 5)
        return Case(self.dtype, 3, 2, group, dim, dim, capacity=64)

    def takes(self, case: Case, paced: bool = False) -> bool:
        """Whether a case is this row's, rather than one of the next folder's or of more heads."""
        if paced and (self.folder, self.dtype, self.head_dim) != ("sm90", "bfloat16", 128):
            return False
        limited = self.heads == 8 and self.head_dim <= 128
        return not (limited and case.group > 8) and not (
            self.folder == "sm90" and case.page_size % 8
        )


ROWS = [
    *(
        Row(folder, dtype, head_dim, heads)
        for folder in ("sm90", "sm80")
        for dtype in ("bfloat16", "float16")
        for head_dim, heads in SHAPES
    ),
    *(Row("simple", dtype, 256) for dtype in SHORT),
]


@dataclass(frozen=True)
class Kind:
    """What a case is apart from its row; ``shape`` replaces fields of the row's case."""

    shape: dict[str, Any] = field(default_factory=dict)
    prepared: bool = False  # one launch, and a second on the same workspace
    light: bool = False  # for the tools that take long
    cut: bool = False  # the plan must be one that may cut units into parts
    narrow: bool = False  # rows shorter than the row's class, those of v more so
    wide: bool = False  # a group of more heads than a block takes
    bad_page: bool = False  # sequence 1 has a page outside the cache
    paced: bool = False  # so long that warps keep in step; for few rows, which are the same in that


UNEQUAL, LONG, ROUNDS = (64, 0, 19), (512, 130, 0), {"kv_heads": 45, "capacity": 256}
PACED = {"batch": 1, "kv_heads": 8, "capacity": 1 << 16}
KINDS = {
    # One length, known to the host.
    "even": Kind(light=True),
    "shorter": Kind({"lengths": 37}, light=True),
    "none": Kind({"lengths": 0}),
    "one": Kind({"lengths": 1, "batch": 1}),
    "heads_first": Kind({"lengths": 50, "layout": "bhsd", "lse": False}),
    "narrow": Kind(narrow=True),
    "wide": Kind(wide=True),
    # Lengths on the device.
    "equal": Kind({"lengths": (64, 64, 64)}, light=True),
    "unequal": Kind({"lengths": UNEQUAL}, light=True),
    "unequal_prepared": Kind({"lengths": UNEQUAL}, light=True, prepared=True),
    "empty": Kind({"lengths": (0, 0, 0)}, prepared=True),
    "narrow_unequal": Kind({"lengths": UNEQUAL, "layout": "bhsd"}, narrow=True, prepared=True),
    "wide_unequal": Kind({"lengths": UNEQUAL}, wide=True, prepared=True),
    "bad_length": Kind({"lengths": (64, 65, 19)}),
    # Pages.
    "page16": Kind({"lengths": UNEQUAL, "page_size": 16}, light=True),
    "page16_even": Kind({"page_size": 16}, light=True),
    "page8": Kind({"lengths": (40, 40, 40), "page_size": 8}, prepared=True),
    "page3": Kind({"lengths": UNEQUAL, "page_size": 3}, light=True),
    "page64": Kind({"lengths": UNEQUAL, "page_size": 64, "layout": "bhsd"}),
    "bad_page": Kind({"lengths": (64, 50, 19), "page_size": 16}, bad_page=True),
    # Splits that the plan fixes: a tile each, and those of batch invariance.
    "splits": Kind({"lengths": UNEQUAL, "split_len": 1}, light=True, cut=True),
    "splits_even": Kind({"split_len": 1, "capacity": 130}, cut=True),
    "splits_page16": Kind(
        {"lengths": UNEQUAL, "split_len": 1, "page_size": 16}, light=True, cut=True, prepared=True
    ),
    "invariant": Kind(
        {"lengths": (1600, 130, 0), "capacity": 1600, "batch_invariant": True}, cut=True
    ),
    # Parts of at least 4 tiles, folded by a second launch or exchanged within the first.
    "parts": Kind({"capacity": 512, "batch": 1}, cut=True),
    "parts_prepared": Kind({"capacity": 512, "batch": 1}, cut=True, prepared=True),
    "parts_equal": Kind({"lengths": (300, 300, 300), "capacity": 512}, cut=True, prepared=True),
    "parts_unequal": Kind({"lengths": LONG, "capacity": 512}, cut=True),
    "parts_exchange": Kind({"lengths": LONG, "capacity": 512}, cut=True, prepared=True),
    "parts_page16": Kind(
        {"lengths": LONG, "capacity": 512, "page_size": 16}, cut=True, prepared=True
    ),
    # Rounds of whole units first: more of them than there are multiprocessors.
    "rounds": Kind(ROUNDS),
    "rounds_prepared": Kind({**ROUNDS, "lengths": (256, 256, 256)}, prepared=True),
    # Warps that keep in step.
    "paced": Kind(PACED, paced=True, prepared=True),
    "paced_one": Kind({**PACED, "lengths": (1 << 16,), "page_size": 16}, paced=True, prepared=True),
    "paced_equal": Kind(
        {**PACED, "batch": 2, "capacity": 1 << 15, "lengths": (1 << 15,) * 2}, paced=True
    ),
    "paced_invariant": Kind({**PACED, "batch_invariant": True}, paced=True, prepared=True),
}


def case_of(row: Row, kind: Kind) -> Case:
    case = replace(row.case, **kind.shape)
    if kind.narrow and row.folder == "simple":
        case = replace(case, head_dim=77, head_dim_v=50)
    elif kind.narrow:
        case = replace(case, head_dim=row.head_dim - 8, head_dim_v=row.head_dim - 24)
    if kind.wide:
        case = replace(case, group=row.heads + 6)
    if case.split_len == 1 and row.head_dim == 64:
        case = replace(case, capacity=max(case.capacity, 80))  # two tiles
    return case
