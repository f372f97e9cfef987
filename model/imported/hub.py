"""`hf:owner/name[@revision]` -> a folder of the hub's cache, pinned to one commit."""

import re
from pathlib import Path

from model.errors import CheckpointError

__all__ = ["PREFIX", "fetch"]

PREFIX = "hf:"
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# Values, weights as safetensors, vocabularies and the card: no code, no pickle.
_FILES = ("*.json", "*.safetensors", "*.txt", "README.md")
_SECONDS = 5


def fetch(name: str) -> tuple[Path, str]:
    """Download a model's files, or find them in the cache.

    Args:
        name: "owner/name" or "owner/name@revision", without "hf:".

    Returns:
        The folder, and "owner/name@commit".

    Raises:
        CheckpointError: no such name or revision; or offline and not in the cache.
    """
    # Slow to import, and most checkpoints are folders.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    match = _NAME.fullmatch(name)
    if match is None:
        raise CheckpointError(
            f"{PREFIX}{name} is not of the form hf:owner/name or hf:owner/name@revision"
        )
    try:
        folder = Path(
            snapshot_download(
                match["repo"],
                revision=match["revision"],
                allow_patterns=list(_FILES),
                etag_timeout=_SECONDS,
            )
        )
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{PREFIX}{name} is not in the cache, and the hub cannot be reached from here: "
            "download it where there is a network and give its folder"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(f"{PREFIX}{name}: {' '.join(str(error).split())[:150]}") from error
    return folder, f"{match['repo']}@{folder.name}"
