"""Put a question into the form that an instruction-tuned model has learned."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Format:
    """How one family marks a turn.

    A turn is ``opening``, the role, ``header_end`` if the family has one, ``gap``, the text,
    ``closing`` and ``after``. Opening, header end and closing are tokens of their own.
    """

    opening: str
    header_end: str | None
    gap: str
    closing: str
    after: str


_FORMATS = (
    Format("<|im_start|>", None, "\n", "<|im_end|>", "\n"),  # ChatML
    Format("<|start_header_id|>", "<|end_header_id|>", "\n\n", "<|eot_id|>", ""),  # Llama 3
)


def find_format(tokenizer: Tokenizer, template: str) -> Format | None:
    """Return the format whose tokens the model has and its chat template uses, or None."""
    for form in _FORMATS:
        marks = filter(None, (form.opening, form.header_end, form.closing))
        if form.opening in template and all(m in tokenizer.vocabulary.ids for m in marks):
            return form
    return None


def default_system(form: Format, template: str) -> str | None:
    """Return the system message that the template itself puts first where none is given, if any."""
    opening, closing = re.escape(form.opening), re.escape(form.closing)
    found = re.search(rf"{opening}system(?:\\n|\n)([^{{}}']+?){closing}", template)
    return found.group(1) if found else None


def encode_question(
    tokenizer: Tokenizer, form: Format, question: str, system: str | None
) -> list[int]:
    """Return the tokens of a conversation in which the model is to answer ``question``."""
    tokens = list(tokenizer.start)
    for role, text in (("system", system), ("user", question)):
        if text:
            tokens += _open_turn(tokenizer, form, role, text)
            tokens.append(tokenizer.vocabulary.ids[form.closing])
            tokens += tokenizer.encode(form.after)
    return tokens + _open_turn(tokenizer, form, "assistant", "")


def _open_turn(tokenizer: Tokenizer, form: Format, role: str, text: str) -> list[int]:
    ids = tokenizer.vocabulary.ids
    if form.header_end is None:
        return [ids[form.opening], *tokenizer.encode(role + form.gap + text)]
    head = [ids[form.opening], *tokenizer.encode(role), ids[form.header_end]]
    return head + tokenizer.encode(form.gap + text)
