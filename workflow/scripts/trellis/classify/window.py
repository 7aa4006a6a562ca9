"""The text that is read of a document: its first whole words, as many as fit the encoder's window.

Labeller and classifier read through the same window: ids(cut(text)) == ids(text).
"""

from collections.abc import Iterator

from tokenizers import Encoding, Tokenizer

# Most words are far shorter: a document's head is enough, and more of it is read when it is not.
CHARACTERS_PER_TOKEN = 8
# An encoding is many times the size of its text: so many are in memory at a time.
TEXTS = 256


class Window:
    """`size` counts tokens, the encoder's special tokens included."""

    def __init__(self, tokenizer_json: str, size: int) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.room = size - self.tokenizer.num_special_tokens_to_add(False)

    def ids(self, texts: list[str]) -> list[list[int]]:
        """The token ids that the encoder reads, special tokens included."""
        return [self.tokenizer.post_process(encoding).ids for encoding in self._encode(texts)]

    def cut(self, texts: list[str]) -> list[str]:
        """The texts up to the end of their windows."""
        encodings = self._encode(texts)
        return [text[: e.offsets[-1][1]] if len(e) else "" for text, e in zip(texts, encodings, strict=True)]

    def _encode(self, texts: list[str]) -> Iterator[Encoding]:
        """The texts' first tokens, without special tokens, cut after a whole word."""
        for start in range(0, len(texts), TEXTS):
            yield from self._encode_together(texts[start : start + TEXTS])

    def _encode_together(self, texts: list[str]) -> list[Encoding]:
        limit = self.room * CHARACTERS_PER_TOKEN
        encodings = self.tokenizer.encode_batch([text[:limit] for text in texts], add_special_tokens=False)
        for index, text in enumerate(texts):
            shown = limit
            while len(encodings[index]) <= self.room and shown < len(text):
                shown *= 2
                encodings[index] = self.tokenizer.encode(text[:shown], add_special_tokens=False)
            encodings[index].truncate(self._whole_words(encodings[index]))
        return encodings

    def _whole_words(self, encoding: Encoding) -> int:
        words, end = encoding.word_ids, self.room
        if len(encoding) <= end:
            return len(encoding)
        while end and words[end] == words[end - 1]:
            end -= 1
        return end or self.room
