"""Text to tokens and back, from what a GGUF file says about its vocabulary.

``vocabulary`` reads it, ``splitting`` and ``byte_pairs`` are the GPT-2 kind, ``sentence_pieces``
the SentencePiece kind, ``text`` puts special tokens around either and streams text back.
"""

from .text import Tokenizer, load_tokenizer

__all__ = ["Tokenizer", "load_tokenizer"]
