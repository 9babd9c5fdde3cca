"""Benchmarks on a GPU: launches in a replayed CUDA graph, beside a plain read and other libraries.

`flashdec.bench.cuda.lines` is the table of what is measured, `flashdec.bench.cuda.contenders` the
table of who, `flashdec.bench.cuda.goals` the table of limits.  Arrays come from PyTorch.
"""
