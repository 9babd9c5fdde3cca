"""What is measured on a GPU: lines, each a shape with an element type, pages and lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flashdec.bench.shapes import PRESETS, Case, parse_case
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

__all__ = ["LINE_PRESETS", "Line", "LinePreset", "line_of", "line_preset"]

_PAGE = 16
_SHORT = {DType.BFLOAT16: "", DType.FLOAT16: "f16", DType.FLOAT32: "f32"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report.

    Attributes
    ----------
    case : Case
        The shape; its kv_len is the longest sequence's.
    dtype : DType
        Of q, k, v and o.
    page_size : int
        Tokens in a page; 0 without pages.  Pages lie in random order.
    lengths : tuple of int
        Of each sequence; empty where all have kv_len.
    rule : str
        Of `flashdec.bench.cuda.goals.RULES`.
    limit_us : float, optional
        A goal in microseconds on an H100, in place of the rule.
    """

    case: Case
    dtype: DType = DType.BFLOAT16
    page_size: int = 0
    lengths: tuple[int, ...] = ()
    rule: str = "dense"
    limit_us: float | None = None

    @property
    def kv_lens(self) -> tuple[int, ...]:
        """The length of each sequence."""
        return self.lengths or (self.case.kv_len,) * self.case.batch

    @property
    def kv_bytes(self) -> int:
        """Bytes of K and V that one decode step reads."""
        return 2 * sum(self.kv_lens) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of K of one token, all heads."""
        return self.case.kv_heads * self.case.head_dim * self.dtype.itemsize

    @property
    def pages(self) -> tuple[int, ...]:
        """Pages of each sequence; empty without pages."""
        if self.page_size == 0:
            return ()
        return tuple(-(-length // self.page_size) for length in self.kv_lens)

    @property
    def cache_shape(self) -> tuple[int, int, int, int]:
        """The shape of k and of v."""
        case = self.case
        if self.page_size == 0:
            return case.batch, case.kv_len, case.kv_heads, case.head_dim
        return sum(self.pages), self.page_size, case.kv_heads, case.head_dim

    def __str__(self) -> str:
        """Return the shape, and what is not a plain bfloat16 cache of one length."""
        parts = [str(self.case), _SHORT[self.dtype]]
        if self.page_size:
            parts.append(f"page {self.page_size}")
        if self.lengths:
            parts.append(f"{len(set(self.lengths))} lengths")
        return " ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class LinePreset:
    """A named list of lines.

    Attributes
    ----------
    about : str
        What it shows, for people.
    lines : tuple of Line
        In the order of measurement.
    variants : tuple of str
        The ways of flashdec that are measured unless others are asked for.
    """

    about: str
    lines: tuple[Line, ...]
    variants: tuple[str, ...] = ("default",)


_DENSE = (
    "1,32,8,128,512",
    "1,32,8,128,1k",
    "1,32,8,128,4k",
    "1,32,8,128,32k",
    "1,32,8,128,128k",
    "8,32,8,128,2k",
    "8,32,8,128,32k",
    "32,32,8,128,4k",
    "128,32,8,128,1k",
    "256,32,8,128,512",
    "64,8,1,128,4k",
    "1,8,1,128,128k",
    "1,32,32,128,4k",
    "16,32,32,128,4k",
    "16,64,4,128,8k",
    "32,64,8,64,4k",
    "8,16,16,64,4k",
    "8,16,8,256,8k",
)

_LIMITS_US = {"1,32,8,128,512": 5.2}

_OFF_GRID = (
    *(f"{batch},32,8,128,4k" for batch in (3, 5, 12, 17, 20, 33)),
    *(f"{batch},32,8,128,1k" for batch in (66, 132, 133, 265)),
    *(f"{batch},32,8,128,{tokens}" for tokens in (777, 1003, 5000, 100000) for batch in (1, 4)),
    *(f"8,{8 * group},8,128,4k" for group in (3, 5, 7, 12)),
    *(f"8,32,8,{head_dim},4k" for head_dim in (80, 96, 112, 192)),
)

_SKEW = Line(
    parse_case("32,32,8,128,64k"),
    page_size=_PAGE,
    lengths=(65536,) + (1024,) * 31,
    rule="paged",
    limit_us=138.0,
)


def line_of(case: Case, dtype: DType, page_size: int) -> Line:
    """Return the line of a case that someone asked for."""
    if page_size:
        return Line(case, dtype, page_size, rule="paged")
    limit = _LIMITS_US.get(str(case)) if dtype is DType.BFLOAT16 else None
    return Line(case, dtype, limit_us=limit)


def _dense(text: str) -> Line:
    return line_of(parse_case(text), DType.BFLOAT16, 0)


def _paged(text: str, page_size: int = _PAGE, rule: str = "paged") -> Line:
    return Line(parse_case(text), page_size=page_size, rule=rule)


LINE_PRESETS: dict[str, LinePreset] = {
    "decode": LinePreset(
        "the bfloat16 grid without pages, lengths in the descriptor and on the device; and skew",
        (*map(_dense, _DENSE), _SKEW),
        ("default", "kv-len"),
    ),
    "paged": LinePreset(
        "the same in pages of 16 in random order, lengths on the device; and skew",
        (*map(_paged, _DENSE), _SKEW),
    ),
    "skew": LinePreset("one sequence of 65536 tokens and 31 of 1024 in pages", (_SKEW,)),
    "offgrid": LinePreset(
        "batches, lengths, groups, head_dims and page sizes that no kernel is made for",
        (
            *(Line(parse_case(text), rule="offgrid") for text in _OFF_GRID),
            Line(parse_case("1,32,8,128,4k"), DType.FLOAT16, rule="offgrid"),
            Line(parse_case("32,32,8,128,4k"), DType.FLOAT16, rule="offgrid"),
            *(_paged("32,32,8,128,4k", size, "offgrid") for size in (8, 32, 64, 128, 256)),
            _paged("32,32,8,128,4k", 1, "reported"),
        ),
    ),
    "invariant": LinePreset(
        "batch_invariant beside the default, from 4096 tokens up",
        tuple(line for line in map(_dense, _DENSE) if line.case.kv_len >= 4096),
        ("default", "invariant"),
    ),
}


def line_preset(name: str, dtype: DType, page_size: int) -> LinePreset:
    """Return a preset of lines, or the lines of a preset of cases.

    Parameters
    ----------
    name : str
        Of `LINE_PRESETS` or of `flashdec.bench.shapes.PRESETS`.
    dtype, page_size : DType, int
        Of the lines where the preset only has cases.

    Raises
    ------
    InvalidArgumentError
        If there is none of that name; the message lists those there are.
    """
    if name in LINE_PRESETS:
        return LINE_PRESETS[name]
    if name not in PRESETS:
        names = ", ".join((*LINE_PRESETS, *PRESETS))
        raise InvalidArgumentError(f"preset is {name!r}; there are {names}")
    preset = PRESETS[name]
    lines = tuple(line_of(case, dtype, page_size) for case in preset.cases)
    return replace(LINE_PRESETS["decode"], about=preset.about, lines=lines)
