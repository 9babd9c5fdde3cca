"""flashdec.decode refuses bad arrays and options before it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from objects import make_arrays
from scene import check_sentence

import flashdec

F32 = np.float32


def decode_with(**changes: Any) -> Any:
    arrays = make_arrays()
    return flashdec.decode(**{**{name: arrays[name] for name in "qkv"}, **changes})


DECODES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "rank": (lambda: decode_with(q=np.ones((4, 16), F32)), ("q has 2 dimensions", "3")),
    "dtype": (lambda: decode_with(q=np.ones((2, 4, 16))), ("q has", "float32")),
    "empty batch": (lambda: decode_with(q=np.ones((0, 4, 16), F32)), ("batch is 0",)),
    "layout": (lambda: decode_with(layout="sbhd"), ("layout is 'sbhd'",)),
    "scale": (lambda: decode_with(scale=float("nan")), ("scale is", "finite")),
    "kv_len": (lambda: decode_with(kv_len=601), ("601", "600")),
    "huge kv_len": (lambda: decode_with(kv_len=2**64 + 3), ("kv_len", str(2**64 + 3))),
    "negative kv_len": (lambda: decode_with(kv_len=-1), ("-1", "600")),
    "kv_len dtype": (lambda: decode_with(kv_len=np.ones(2, np.int64)), ("kv_len", "int64")),
    "page_table rank": (lambda: decode_with(page_table=np.ones(2, np.int32)), ("page_table", "2")),
    "out shape": (lambda: decode_with(out=np.ones((2, 4, 16), F32)), ("16", "24")),
    "list": (lambda: decode_with(v=[1]), ("v is of type list",)),
}


@pytest.mark.parametrize(("call", "words"), DECODES.values(), ids=DECODES)
def test_decode_refuses(call: Callable[[], Any], words: tuple[str, ...]) -> None:
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        call()
    check_sentence(str(caught.value), *words)
