"""One service's settings: environment variables CROSSRAY_..., refused at the start when wrong.

Nothing else in CrossRay reads the environment. docs/reference/rest-api.md describes every setting.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.views import MAX_IMAGES
from model.errors import ConfigError
from model.imaging.sandbox import IsolationLimits
from model.imported.hub import PREFIX as HUB

__all__ = ["PREFIX", "Settings", "load_settings"]

PREFIX = "CROSSRAY_"


class Settings(BaseSettings):
    """What one `crossray serve` process may be told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. There is no log-in: put a proxy with one before any other address."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 lets the system choose one."""
    model: Path | None = None
    """Checkpoint folder, or hf:owner/name[@revision]; the embedded one where unset."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    """Where the model computes, in torch's words."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads the model computes with; as many as there are free cores where unset."""
    hosts: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Names the service is called by, without port, separated by commas: a request with another
    Host header is refused. Where unset, those of the loopback where it listens there, else any."""
    max_files: int = Field(default=MAX_IMAGES, ge=1, le=64)
    """Images in one study."""
    max_request_bytes: int = Field(default=256 * 2**20, ge=2**16, le=2**34)
    """Bytes in the body of one request, all files together."""
    decode_seconds: int = Field(default=20, ge=1, le=600)
    """Seconds one image's decoding may take, by the clock and of processor time."""
    decode_bytes: int = Field(default=2**30, ge=2**26, le=2**40)
    """Memory one image's decoding may take; one is decoded at a time."""
    max_uploads: int = Field(default=32, ge=1, le=10_000)
    """Requests whose bodies may be on their way in at the same time."""
    max_uploads_per_client: int = Field(default=8, ge=1, le=10_000)
    """Of those, by one address. Behind a proxy all come from the proxy's."""
    max_connections: int = Field(default=256, ge=1, le=100_000)
    """Open connections; the next is answered 503."""
    queue: int = Field(default=8, ge=0, le=32)
    """Studies that may wait while one is being read; the next is answered 503.

    Each one waits on a thread, and 40 threads also serve the page's files: hence at most 32.
    """
    receive_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Seconds in which a request must have arrived whole, or its connection is closed."""
    receive_rate: int = Field(default=16_384, ge=0, le=2**30)
    """Bytes a second of a body that must arrive on average over 5 seconds, or its connection is
    closed."""
    stop_seconds: int = Field(default=20, ge=1, le=3600)
    """Seconds that a study being read may take once the service is told to stop."""

    @property
    def isolation(self) -> IsolationLimits:
        """What one image's decoding may take."""
        return IsolationLimits(self.decode_bytes, self.decode_seconds, self.decode_seconds)

    @field_validator("hosts", mode="before")
    @classmethod
    def _hosts_are_a_list(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(name.strip().lower() for name in hosts.split(",") if name.strip())
        return hosts

    @field_validator("model")
    @classmethod
    def _model_is_a_folder(cls, folder: Path | None) -> Path | None:
        named = str(folder).startswith(HUB)
        if folder is not None and not named and not folder.is_dir():
            raise ValueError("there is no such folder")
        return folder


LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def load_settings(**given: Any) -> Settings:
    """Settings from the environment; what is given here wins, None meaning not given.

    On the loopback only its own names are hosts, unless others are given.

    Raises:
        ConfigError: a value that cannot work, or a CROSSRAY_ variable that means nothing.
    """
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        n for n in os.environ if n.upper().startswith(PREFIX) and n.upper() not in names
    )
    if unknown:
        raise ConfigError(
            f"no setting is called {unknown[0]}: docs/reference/rest-api.md lists them all"
        )
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'.'.join(map(str, p['loc'])).upper()} is {str(p['input'])!r}: {p['msg']}"
            for p in error.errors()
        )
        raise ConfigError(
            f"{problems} (docs/reference/rest-api.md lists what each setting takes)"
        ) from error
    if settings.hosts is None and settings.host in (*LOOPBACK, "::1"):
        return settings.model_copy(update={"hosts": LOOPBACK})
    return settings
