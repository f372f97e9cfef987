"""The tokenizer of a published checkpoint, behind the Tokenizer interface."""

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from model.imported.config import ImportedConfig

__all__ = ["ImportedTokenizer"]

IMPRESSION = "Impression:"

# What transformers' clean_up_tokenization does.
_CLEANED = (
    *((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ",")),
    *(
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ),
)


class ImportedTokenizer:
    """Decodes as transformers does; a separator of sections becomes "Impression:"."""

    def __init__(self, backend: Backend, config: ImportedConfig) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.config = config

    def encode(self, sequence: str) -> Encoding:
        """See Tokenizer."""
        return self.backend.encode(sequence, add_special_tokens=False)

    def decode(self, ids: list[int]) -> str:
        """See Tokenizer."""
        config, separator = self.config, self.config.section_token_id
        outside = {config.pad_token_id, config.bos_token_id, config.eos_token_id} - {separator}
        if config.connector is not None:
            outside.remove(config.bos_token_id)  # a word of the prompt
        kept = [token for token in ids if token not in outside]
        if separator not in kept:
            return self._decode(kept)
        at = kept.index(separator)
        findings, impression = self._decode(kept[:at]), self._decode(kept[at + 1 :])
        return f"{findings} {IMPRESSION} {impression}".strip()

    def _decode(self, ids: list[int]) -> str:
        text = self.backend.decode(ids)
        if self.config.clean_up_spaces:
            for spaced, joined in _CLEANED:
                text = text.replace(spaced, joined)
        return text
