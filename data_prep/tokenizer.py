"""Report texts -> a byte-level BPE tokenizer that gives every text back exactly."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

__all__ = ["BOS", "EOS", "PAD", "train_tokenizer"]

PAD, BOS, EOS = 0, 1, 2
SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>"]


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1024) -> Tokenizer:
    """Learn at most `vocab_size` entries, the 3 special tokens and all 256 bytes among them.

    A small corpus gives fewer; ask `get_vocab_size()`. `encode(text)` adds no special tokens, and
    its `offsets` are (start, end) characters of each token without its leading space.
    `decode(ids)` skips special tokens and is the exact inverse of `encode`.
    """
    tokenizer = Tokenizer(models.BPE())
    # No prefix space: it would come back from decode and break the exact inverse.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
