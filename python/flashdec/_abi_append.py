"""Mirror of ``flashdec_append.h``."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_uint32, c_void_p

from flashdec._abi import bind

APPEND_INTERLEAVED = 1
APPEND_ADVANCE = 2


class CAppendArgs(ctypes.Structure):  # flashdec_append_args
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("backend", c_uint32),
        ("device", c_int32),
        ("dtype", c_uint32),
        ("rotary_dtype", c_uint32),
        ("num_threads", c_uint32),
        ("reserved", c_uint32),
        ("batch", c_int64),
        ("tokens", c_int64),
        ("q_heads", c_int64),
        ("kv_heads", c_int64),
        ("head_dim", c_int64),
        ("head_dim_v", c_int64),
        ("max_kv_len", c_int64),
        ("page_size", c_int64),
        ("num_pages", c_int64),
        ("rotary_dim", c_int64),
        ("max_position", c_int64),
        ("uniform_kv_len", c_int64),
        ("q", c_void_p),
        ("q_out", c_void_p),
        ("k", c_void_p),
        ("v", c_void_p),
        ("k_cache", c_void_p),
        ("v_cache", c_void_p),
        ("kv_len", c_void_p),
        ("new_len", c_void_p),
        ("positions", c_void_p),
        ("page_table", c_void_p),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("status", c_void_p),
        ("q_stride_batch", c_int64),
        ("q_stride_token", c_int64),
        ("q_stride_head", c_int64),
        ("q_out_stride_batch", c_int64),
        ("q_out_stride_token", c_int64),
        ("q_out_stride_head", c_int64),
        ("k_stride_batch", c_int64),
        ("k_stride_token", c_int64),
        ("k_stride_head", c_int64),
        ("v_stride_batch", c_int64),
        ("v_stride_token", c_int64),
        ("v_stride_head", c_int64),
        ("k_cache_stride_batch", c_int64),
        ("k_cache_stride_token", c_int64),
        ("k_cache_stride_head", c_int64),
        ("v_cache_stride_batch", c_int64),
        ("v_cache_stride_token", c_int64),
        ("v_cache_stride_head", c_int64),
        ("page_table_stride", c_int64),
        ("cos_stride", c_int64),
        ("sin_stride", c_int64),
    ]


append = bind("flashdec_append")
