"""The shape of a problem."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from flashdec import _abi
from flashdec.dtypes import DType, as_dtype, bfloat16

__all__ = ["Descriptor"]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The shape of a decode-attention problem: ``flashdec_descriptor``.

    One plan made from it serves every layer of a model and every step up to `max_kv_len`.
    The fields are checked by `Plan.select`.

    Parameters
    ----------
    batch : int
        Sequences, 1 to 2^31-1.
    q_heads : int
        Query heads, a multiple of `kv_heads`; ``batch * q_heads`` is at most 2^31-1.
    kv_heads : int
        Key/value heads.
    max_kv_len : int
        Tokens: the bound of every sequence's length, 1 to 2^31-1.
    head_dim : int
        Elements in a row of q and k; kernels exist for 1 to 256.
    head_dim_v : int
        Elements in a row of v and o; 0 means `head_dim`.
    scale : float
        Of the scores; 0 means ``1 / sqrt(head_dim)``.
    q_dtype, kv_dtype : DType
        Element types of q and o, and of k and v, or what `as_dtype` takes; today they must be the
        same.
    page_size : int
        Tokens in a page; 0 means a cache without pages.
    num_pages : int
        Pages in the cache; 0 without pages.
    alignment : int
        Bytes that every pointer and stride of q, k, v and o is a multiple of, a power of two;
        0 means the largest, up to 16, that divides a row of k and a row of v.
    """

    batch: int
    q_heads: int
    kv_heads: int
    max_kv_len: int
    head_dim: int
    head_dim_v: int = 0
    scale: float = 0.0
    q_dtype: DType = bfloat16
    kv_dtype: DType = bfloat16
    page_size: int = 0
    num_pages: int = 0
    alignment: int = 0

    def __post_init__(self) -> None:
        for name in ("q_dtype", "kv_dtype"):
            if not isinstance(value := getattr(self, name), int):
                object.__setattr__(self, name, as_dtype(value))

    @classmethod
    def new(
        cls,
        *,
        batch: int,
        heads: int,
        max_kv_len: int,
        head_dim: int,
        dtype: Any = bfloat16,
        **more: Any,
    ) -> Descriptor:
        """Describe multi-head attention: as many key/value heads as query heads."""
        return cls.new_gqa(
            batch=batch,
            q_heads=heads,
            kv_heads=heads,
            max_kv_len=max_kv_len,
            head_dim=head_dim,
            dtype=dtype,
            **more,
        )

    @classmethod
    def new_gqa(
        cls,
        *,
        batch: int,
        q_heads: int,
        kv_heads: int,
        max_kv_len: int,
        head_dim: int,
        dtype: Any = bfloat16,
        **more: Any,
    ) -> Descriptor:
        """Describe grouped-query attention; `more` are the fields with defaults."""
        element = as_dtype(dtype)
        return cls(
            batch=batch,
            q_heads=q_heads,
            kv_heads=kv_heads,
            max_kv_len=max_kv_len,
            head_dim=head_dim,
            q_dtype=element,
            kv_dtype=element,
            **more,
        )

    def with_scale(self, scale: float) -> Descriptor:
        """Return the same problem with another scale of the scores."""
        return replace(self, scale=scale)

    @property
    def group_size(self) -> int:
        """Query heads that share a key/value head."""
        return self.q_heads // self.kv_heads

    @property
    def resolved_head_dim_v(self) -> int:
        """Elements in a row of v and o, the default resolved."""
        return self.head_dim_v or self.head_dim

    @property
    def resolved_scale(self) -> float:
        """The scale of the scores, the default resolved."""
        return self.scale or 1.0 / math.sqrt(self.head_dim)

    def to_c(self) -> Any:
        """Return the ``flashdec_descriptor``."""
        structure = _abi.sized(_abi.CDescriptor)
        for field in fields(self):
            _abi.set_field(structure, field.name, getattr(self, field.name))
        return structure
