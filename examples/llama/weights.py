"""The tensors of a GGUF file as float32 matrices, ready for numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gguf.quants import dequantize

from .bf16 import F32
from .gguf_file import GgufFile
from .hyperparameters import Hyperparameters
from .refusal import Refusal

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Linear:
    """``y = x Wᵀ + b``; the bias is None where the model has none."""

    weight: F32
    bias: F32 | None

    def __call__(self, x: F32) -> F32:
        """Apply it to the rows of ``x``."""
        y: F32 = x @ self.weight.T
        if self.bias is not None:
            y += self.bias
        return y


@dataclass(frozen=True)
class Layer:
    """One block. Matrices with the same input are stacked, so that each is read in one go."""

    attention_norm: F32
    qkv: Linear
    attention_output: Linear
    feed_forward_norm: F32
    gate_up: Linear
    down: Linear


@dataclass(frozen=True)
class Weights:
    """All of them. ``output`` is ``embedding`` itself where the two are tied.

    ``rope_divisors`` divide the rotation frequencies (the long-context scaling of Llama 3).
    """

    embedding: F32
    layers: list[Layer]
    output_norm: F32
    output: F32
    rope_divisors: F32


def count_elements(file: GgufFile) -> int:
    """Return the numbers in all tensors together."""
    return sum(int(tensor.n_elements) for tensor in file.tensors.values())


def load_weights(file: GgufFile, sizes: Hyperparameters, progress: Progress) -> Weights:
    """Dequantise every tensor, calling ``progress`` with the elements of each.

    A tensor that is missing, of the wrong shape, or unknown is refused: an unknown one would mean
    that the model computes something this demo does not.
    """
    _refuse_what_does_not_fit(file)
    source = _Source(file, progress)
    embedding = source.take("token_embd.weight", None, sizes.embedding)
    layers = [_load_layer(source, f"blk.{index}.", sizes) for index in range(sizes.layers)]
    output_norm = source.take("output_norm.weight", sizes.embedding)
    output = embedding
    if "output.weight" in file.tensors:
        output = source.take("output.weight", embedding.shape[0], sizes.embedding)
    divisors = np.ones(sizes.rope_dim // 2, np.float32)
    if "rope_freqs.weight" in file.tensors:
        divisors = source.take("rope_freqs.weight", sizes.rope_dim // 2)
    source.refuse_leftovers()
    return Weights(embedding, layers, output_norm, output, divisors)


def _load_layer(source: _Source, prefix: str, sizes: Hyperparameters) -> Layer:
    embedding, wide = sizes.embedding, sizes.feed_forward
    query = sizes.q_heads * sizes.head_dim
    key, value = sizes.kv_heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim_v
    attended = sizes.q_heads * sizes.head_dim_v
    return Layer(
        attention_norm=source.take(prefix + "attn_norm.weight", embedding),
        qkv=source.stack(
            prefix, {"attn_q": query, "attn_k": key, "attn_v": value}, columns=embedding
        ),
        attention_output=source.stack(prefix, {"attn_output": embedding}, columns=attended),
        feed_forward_norm=source.take(prefix + "ffn_norm.weight", embedding),
        gate_up=source.stack(prefix, {"ffn_gate": wide, "ffn_up": wide}, columns=embedding),
        down=source.stack(prefix, {"ffn_down": embedding}, columns=wide),
    )


class _Source:
    """Hands out the tensors of a file and remembers which ones were taken."""

    def __init__(self, file: GgufFile, progress: Progress) -> None:
        self._file = file
        self._left = dict(file.tensors)
        self._progress = progress

    def take(self, name: str, *shape: int | None) -> F32:
        """Return the tensor as float32; a None in ``shape`` is any size."""
        tensor = self._left.pop(name, None)
        if tensor is None:
            raise Refusal(f"{self._file.path.name} has no tensor {name}, which every Llama needs")
        try:
            values = dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise Refusal(
                f"{name} is stored as {tensor.tensor_type.name}; the gguf package cannot "
                "dequantise that"
            ) from error
        if not _matches(values.shape, shape):
            raise Refusal(f"{name} has shape {values.shape}; the metadata says {shape}")
        self._progress(int(tensor.n_elements))
        return np.ascontiguousarray(values, np.float32)

    def stack(self, prefix: str, rows: dict[str, int], columns: int) -> Linear:
        """Return the matrices ``rows`` one above the other, with their biases if they have any."""
        weights = [self.take(f"{prefix}{name}.weight", n, columns) for name, n in rows.items()]
        names = [f"{prefix}{name}.bias" for name in rows]
        bias = None
        if any(name in self._left for name in names):
            sizes = zip(names, rows.values(), strict=True)
            bias = np.concatenate([self.take(name, n) for name, n in sizes])
        return Linear(weights[0] if len(weights) == 1 else np.concatenate(weights), bias)

    def refuse_leftovers(self) -> None:
        """Refuse a file with tensors that nothing has used."""
        if self._left:
            raise Refusal(
                f"{self._file.path.name} has the tensor {min(self._left)}, which this demo has "
                "no use for; the model computes more than a Llama does"
            )


def _matches(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    pairs = zip(found, wanted, strict=False)
    return len(found) == len(wanted) and all(w is None or w == f for f, w in pairs)


def _refuse_what_does_not_fit(file: GgufFile) -> None:
    needed, free = 4 * count_elements(file), _free_memory()
    if free is not None and needed > free:
        raise Refusal(
            f"the weights of {file.path.name} take {needed / 1e9:.1f} GB as float32; this machine "
            f"has {free / 1e9:.1f} GB of memory free"
        )


def _free_memory() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
