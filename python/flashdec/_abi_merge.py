"""Mirror of ``flashdec_merge.h``."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_uint32, c_void_p

from flashdec._abi import bind

MERGE_BASE2 = 1


class CMergeArgs(ctypes.Structure):  # flashdec_merge_args
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("backend", c_uint32),
        ("device", c_int32),
        ("part_o_dtype", c_uint32),
        ("part_lse_dtype", c_uint32),
        ("o_dtype", c_uint32),
        ("num_threads", c_uint32),
        ("parts", c_int64),
        ("batch", c_int64),
        ("heads", c_int64),
        ("head_dim", c_int64),
        ("part_o", c_void_p),
        ("part_lse", c_void_p),
        ("o", c_void_p),
        ("lse", c_void_p),
        ("part_o_stride_part", c_int64),
        ("part_o_stride_batch", c_int64),
        ("part_o_stride_head", c_int64),
        ("part_lse_stride_part", c_int64),
        ("part_lse_stride_batch", c_int64),
        ("part_lse_stride_head", c_int64),
        ("o_stride_batch", c_int64),
        ("o_stride_head", c_int64),
        ("lse_stride_batch", c_int64),
        ("lse_stride_head", c_int64),
    ]


merge = bind("flashdec_merge")
