"""One run, from the options to the verdict."""

from __future__ import annotations

import sys
from time import perf_counter

from .chat import default_system, encode_question, find_format
from .check import check
from .decoder import Decoder
from .kv_cache import PagedCache
from .loading import Loaded, load
from .options import Options
from .prefill import prefill
from .progress import Progress
from .refusal import Refusal
from .report import Figures, describe_check, describe_speed
from .sampling import Sampler
from .tokenizer import Tokenizer


def run(options: Options) -> bool:
    """Generate, print, check. The text goes to standard output, all else to standard error.

    Returns whether the check passed.
    """
    loaded = load(options.model)
    prompt, shown = _encode_prompt(options, loaded)
    cache = PagedCache(loaded.model.sizes, _capacity(options, loaded, prompt), seed=options.seed)
    with Progress(f"prefilling {len(prompt) - 1} tokens", len(prompt) - 1) as progress:
        prefill(loaded.model, cache, prompt[:-1], progress)
    decoder = Decoder(loaded.model, cache, options.threads)
    print(file=sys.stderr)
    print(shown, end="", flush=True)
    figures = _generate(decoder, loaded.tokenizer, prompt[-1], options)
    print(file=sys.stderr)
    with Progress("repeating every step with float64 attention", figures.steps) as progress:
        verdict = check(loaded.model, cache, decoder.trace, progress)
    print(describe_speed(figures), describe_check(verdict), sep="\n", file=sys.stderr)
    return verdict.ok


def _encode_prompt(options: Options, loaded: Loaded) -> tuple[list[int], str]:
    """Return the prompt's tokens, and what to show of it: all, where the model continues it."""
    tokenizer, template = loaded.tokenizer, loaded.chat_template
    form = None if options.raw else find_format(tokenizer, template)
    if form is None:
        return tokenizer.start + tokenizer.encode(options.prompt, special=True), options.prompt
    system = default_system(form, template) if options.system is None else options.system
    return encode_question(tokenizer, form, options.prompt, system), ""


def _capacity(options: Options, loaded: Loaded, prompt: list[int]) -> int:
    capacity, limit = len(prompt) + options.tokens, loaded.model.sizes.context_length
    if capacity > limit:
        raise Refusal(
            f"{len(prompt)} tokens of prompt and {options.tokens} to generate make {capacity}; "
            f"the model was trained for {limit}"
        )
    return capacity


def _generate(decoder: Decoder, tokenizer: Tokenizer, last: int, options: Options) -> Figures:
    sampler = Sampler(options.temperature, options.seed)
    start = perf_counter()
    tokens = decoder.generate(last, options.tokens, tokenizer.vocabulary.stops, sampler)
    for text in tokenizer.stream(tokens):
        print(text, end="", flush=True)
    print(flush=True)
    seconds, attention = perf_counter() - start, decoder.attention
    return Figures(
        kernel=attention.kernel,
        steps=len(decoder.trace),
        seconds=seconds,
        attention_seconds=attention.seconds,
        attention_bytes=attention.bytes_read,
    )
