"""Which split a study belongs to, from a hash: the same on every machine and in every order.

A patient is never in two splits, since the patient is what is hashed.
"""

import hashlib
from collections.abc import Mapping

from data_prep.source import SourceStudy

__all__ = ["SHARES", "split_by_hash"]

SHARES = {"train": 8, "validate": 1, "test": 1}


def split_by_hash(study: SourceStudy, seed: int, shares: Mapping[str, int] = SHARES) -> str:
    """The split of a study's patient, or of the study where no patient is stated.

    Args:
        seed: another one gives another split.
        shares: how many parts of the whole each split takes, in order.
    """
    whose = f"study {study.id}" if study.patient is None else f"patient {study.patient}"
    digest = hashlib.sha256(f"{seed} {whose}".encode()).digest()
    parts = [split for split, number in shares.items() for _ in range(number)]
    # 64 bits are so many more than there are parts that the remainder's bias is nothing.
    return parts[int.from_bytes(digest[:8], "big") % len(parts)]
