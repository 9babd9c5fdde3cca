"""From a path to a model that can speak."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .gguf_file import GgufFile
from .hyperparameters import read_hyperparameters
from .model import Llama
from .progress import Progress
from .refusal import Refusal
from .tokenizer import Tokenizer, load_tokenizer
from .weights import count_elements, load_weights


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer and its chat template (empty if it has none)."""

    model: Llama
    tokenizer: Tokenizer
    chat_template: str


def load(path: Path) -> Loaded:
    """Read a GGUF file, with progress."""
    with Progress(f"reading {path.name}"):
        file = GgufFile(path)
        sizes = read_hyperparameters(file)
        tokenizer = load_tokenizer(file)
    elements = count_elements(file)
    with Progress(f"loading {elements / 1e6:,.0f} M weights", elements) as progress:
        model = Llama(sizes, load_weights(file, sizes, progress))
    if model.vocabulary != len(tokenizer.vocabulary.tokens):
        raise Refusal(
            f"token_embd.weight has {model.vocabulary} rows; the tokenizer has "
            f"{len(tokenizer.vocabulary.tokens)} tokens, and each needs one"
        )
    return Loaded(model, tokenizer, file.text("tokenizer.chat_template", ""))
