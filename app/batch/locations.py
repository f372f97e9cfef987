"""Where a batch reads and writes: a folder, or a prefix in object storage (s3://, gs://, az://)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from model.errors import ConfigError, CrossRayError

__all__ = ["Location", "parse_location", "remote"]

Location = Path | UPath
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
}


def parse_location(text: str) -> Location:
    """A folder of this machine by its path or file:// URL, anything else by its URL.

    Raises:
        ConfigError: no storage has such URLs, or the package for it is not installed.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme in {"file", "local"}:
        return Path("/" + rest.lstrip("/"))
    try:
        location = UPath(text)
        _ = location.fs  # imports the storage's package
    except ImportError as error:
        package = PACKAGES.get(scheme, "its fsspec package")
        raise ConfigError(f"{text!r} needs a package: pip install {package}") from error
    except ValueError as error:
        raise ConfigError(
            f"{text!r}: no storage has {scheme}:// URLs; name a folder, or s3://BUCKET/PREFIX, "
            "gs://, az:// or file://"
        ) from error
    return location


@contextmanager
def remote(what: str) -> Iterator[None]:
    """Errors of object storage as ours: each client has errors of its own, most no OSError.

    Raises:
        CrossRayError: with the client's words.
    """
    try:
        yield
    except CrossRayError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or "no reason given"
        raise CrossRayError(
            f"{what}: {said}; mend that and run the same command again, it does what is missing"
        ) from error
