"""Mirror of ``flashdec_torch.h``."""

from __future__ import annotations

from flashdec._abi import bind
from flashdec._abi_dlpack import METH_FASTCALL, method_of

register = bind("flashdec_torch_register")

DECODE = method_of("flashdec_torch_decode_method", METH_FASTCALL)
APPEND = method_of("flashdec_torch_append_method", METH_FASTCALL)
