/*
 * flashdec_torch.h - decode, append and merge as operators of PyTorch.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 *
 * For programs in which PyTorch (2.10 and later) is loaded, from C++, Rust or
 * Python.  The library does not link to it: the functions of PyTorch's stable C
 * ABI are looked up in the process, and these four that the ABI has no word for:
 * c10::TensorImpl::requires_grad, c10::InferenceMode::is_enabled,
 * at::native::is_inference, torch::autograd::impl::bump_version.
 *
 * The operators, for the dispatch keys CPU and CUDA:
 *
 *   flashdec::decode(Tensor q, Tensor k, Tensor v, Tensor? kv_len=None,
 *       Tensor? page_table=None, Tensor? workspace=None, float? scale=None,
 *       bool bhsd=False, bool batch_invariant=False) -> Tensor
 *   flashdec::decode_lse(... the same, bool base2=False) -> (Tensor, Tensor)
 *   flashdec::append(Tensor k, Tensor v, Tensor(a!) k_cache, Tensor(b!) v_cache,
 *       Tensor(c!) kv_len, Tensor? page_table=None, Tensor? new_len=None,
 *       Tensor(d!)? status=None, bool bhsd=False, bool advance=False) -> ()
 *   flashdec::append_rotary(Tensor q, Tensor k, Tensor v, Tensor cos, Tensor sin,
 *       ... from k_cache as append, Tensor? positions=None,
 *       bool interleaved=False) -> Tensor
 *   flashdec::merge(Tensor o, Tensor lse, bool base2=False) -> (Tensor, Tensor)
 *
 * Shapes and types are those of flashdec_dlpack.h; bhsd tells the order of the
 * axes of the cache (flashdec_axes).  Results are new tensors, rows side by
 * side: o [batch, q_heads, head_dim_v] and lse float32 [batch, q_heads];
 * rotated queries like q.  workspace is uint8, of one axis or more, contiguous,
 * prepared by flashdec_workspace_prepare or filled with 0xff, for one run at a
 * time; the CPU does not use it.  Work is enqueued on the device's current
 * stream.  A refusal is a c10::Error (in Python: RuntimeError) with the sentence
 * of flashdec_last_error; a tensor that requires grad is refused where gradients
 * are on.
 */
#ifndef FLASHDEC_TORCH_H
#define FLASHDEC_TORCH_H

#include "flashdec.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Defines the operators.  To be called once in a process, after PyTorch has been
 * loaded.  FLASHDEC_UNSUPPORTED where it has not, or lacks a function.
 */
FLASHDEC_API int32_t flashdec_torch_register(void);

/* What Python calls a PyCFunction of METH_FASTCALL | METH_KEYWORDS. */
typedef void* (*flashdec_python_method)(void* self, void* const* arguments, int64_t count,
                                        void* keywords);

/*
 * An operator as a method of Python, which takes half the time that PyTorch's
 * dispatcher does; null where no operator has that name.  Its self is what else
 * to call, with the same arguments, where nothing has been done: because a
 * subclass, mode, tracer, profiler or gradient has to see the call, or because
 * something is wrong.  That is the operator itself, as PyTorch calls it
 * (torch.ops.flashdec.decode.default).  Besides the functions above these are
 * looked up: at::native::is_neg, at::hasCallbacks, the lengths of the stacks of
 * modes, and of libtorch_python THPVariable_Wrap, THPVariableClass and
 * getTracingState.
 */
FLASHDEC_API flashdec_python_method flashdec_torch_method(const char* name);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_TORCH_H */
