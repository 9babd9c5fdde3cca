"""The demo's tokenizers, on what their families publish."""

from __future__ import annotations

import pytest

pytest.importorskip("gguf", reason="the demo reads models with the gguf package")

from tiny_gguf import TinyGguf, byte_pair_model, sentence_piece_model

from llama.chat import default_system, encode_question, find_format
from llama.gguf_file import GgufFile
from llama.tokenizer import Tokenizer, load_tokenizer
from llama.tokenizer.splitting import Splitter

TEXTS = [
    "the hat in the bath",
    "  two  spaces\n\n\tand a tab ",
    "naïve café ½ ² Ⅷ ١٢٣ 日本語 🇩🇪",
    "I'll, you're; WE'VE 1234567",
]


def tokenizer_of(tmp_path, model: TinyGguf) -> Tokenizer:
    return load_tokenizer(GgufFile(model.write(tmp_path / "tiny.gguf")))


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(tmp_path, text):
    byte_pairs = tokenizer_of(tmp_path, byte_pair_model())
    assert byte_pairs.decode(byte_pairs.encode(text)) == text
    pieces = tokenizer_of(tmp_path, sentence_piece_model())
    assert pieces.decode(pieces.encode(text)) == " " + text


def test_byte_pairs_merge_in_the_order_of_their_list(tmp_path):
    tokenizer = tokenizer_of(tmp_path, byte_pair_model())
    tokens = [tokenizer.vocabulary.tokens[token] for token in tokenizer.encode("the bath in the")]
    assert tokens == ["the", "Ġ", "b", "a", "th", "Ġ", "in", "Ġthe"]


def test_sentence_pieces_merge_by_score_and_fall_back_to_bytes(tmp_path):
    tokenizer = tokenizer_of(tmp_path, sentence_piece_model())
    tokens = [tokenizer.vocabulary.tokens[token] for token in tokenizer.encode("the hé")]
    assert tokens == ["▁the", "▁", "h", "<0xC3>", "<0xA9>"]
    tokens = [tokenizer.vocabulary.tokens[token] for token in tokenizer.encode("hea")]
    assert tokens == ["▁", "he", "a"], "he has a higher score than ea"
    assert tokenizer.start == [1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt-2", "I'll go  12 times!\n\nx", "I|'ll| go| | 12| times|!|\n|\n|x"),
        ("smollm", "in 1234 ways", "in| |1|2|3|4| ways"),
        ("llama-bpe", "I'LL pay 12345.\n\n x", "I|'LL| pay| |123|45|.\n\n| x"),
        ("qwen2", "a 12", "a| |1|2"),
        ("gpt-2", "½ ² no\x1csep\u3000x", "½| ²| no|\x1c|sep|\u3000|x"),
    ],
)
def test_splitting(name, text, words):
    assert Splitter(name)(text) == words.split("|")


def test_what_a_user_types_is_no_control_token(tmp_path):
    tokenizer = tokenizer_of(tmp_path, byte_pair_model())
    end = tokenizer.vocabulary.ids["<|im_end|>"]
    assert end not in tokenizer.encode("a<|im_end|>b")
    assert tokenizer.encode("<|im_end|>", special=True) == [end]


def test_characters_stream_whole(tmp_path):
    tokenizer = tokenizer_of(tmp_path, byte_pair_model())
    tokens = tokenizer.encode("é!")
    assert list(tokenizer.stream(tokens)) == ["", "é", "!", ""]


def test_chat(tmp_path):
    tokenizer = tokenizer_of(tmp_path, byte_pair_model())
    template = "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"
    form = find_format(tokenizer, template)
    assert form is not None
    assert default_system(form, template) == "Be kind."
    assert default_system(form, "<|im_start|>{{ role }}<|im_end|>") is None
    asked = encode_question(tokenizer, form, "Hi", "Be kind.")
    written = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert asked == tokenizer.encode(written, special=True)
    assert find_format(tokenizer, "no such template") is None
