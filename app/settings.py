"""One service's settings: environment variables CROSSRAY_..., refused at the start when wrong.

Only model/engine/cache.py reads the environment too. docs/reference/rest-api.md describes every
setting.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.job_options import JobOptions
from app.provider_options import ProviderOptions
from app.store_options import StoreOptions, parse_weights
from app.views import MAX_IMAGES
from model.engine.config import Precision
from model.engine.load import EngineName
from model.errors import ConfigError
from model.imaging.sandbox import IsolationLimits
from model.imported.hub import PREFIX as HUB

__all__ = ["PREFIX", "Settings", "load_settings"]

PREFIX = "CROSSRAY_"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADER_NAME = r"^[A-Za-z0-9-]{1,60}$"


class Settings(BaseSettings):
    """Settings of one `crossray serve` process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. There is no TLS: put a proxy with it before any other address."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 lets the system choose one."""
    model: Path | None = None
    """Checkpoint folder, or hf:owner/name[@revision]; the embedded one where unset."""
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    """Where the model computes, in torch's words."""
    engine: EngineName = "auto"
    """What computes: "openvino", "torch", or the first where it runs the checkpoint."""
    precision: Precision = "f32"
    """What it computes with: "bf16" is faster with large models, and some reports differ."""
    cache: Path | None = None
    """Folder of converted checkpoints, of every command; crossray/ in $XDG_CACHE_HOME or ~/.cache
    where unset. Read by model/engine/cache.py."""
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
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that hold the model, beside the service's own; 0: the model is in its own."""
    batch_studies: int = Field(default=8, ge=1, le=256)
    """Reports that are written together, of studies that wait at the same time."""
    batch_milliseconds: int = Field(default=10, ge=0, le=10_000)
    """That the first of them waits for others, where others are being decoded."""
    queue: int = Field(default=32, ge=0, le=1000)
    """Studies that may wait while one is being read; the next is answered 503. Each waits on a
    thread, and its files lie in memory or the temporary folder."""
    receive_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Seconds in which a request must have arrived whole, or its connection is closed."""
    receive_rate: int = Field(default=16_384, ge=0, le=2**30)
    """Bytes a second of a body that must arrive on average over 5 seconds, or its connection is
    closed."""
    store: Path | None = None
    """Folder in which studies, drafts and their edits are kept; nothing is kept where unset."""
    store_database: str | None = None
    """PostgreSQL URL of the store's database; a SQLite file in the folder where unset."""
    store_quota_bytes: int = Field(default=0, ge=0, le=2**60)
    """Bytes that the store's images may take; 0: no limit."""
    store_retention_days: int = Field(default=0, ge=0, le=100_000)
    """Days after which `crossray store prune` removes image files of signed and rejected studies;
    0: never."""
    store_patient: bool = False
    """Keep and show the patient's name and number of DICOM files."""
    urgency: str = ""
    """Weights of findings for the worklist's order: "pneumothorax=10,nodule=4"."""
    jobs: Path | None = None
    """Folder in which jobs wait where there is no store; with a store they wait in it."""
    jobs_kept_hours: int = Field(default=24, ge=1, le=8760)
    """Hours for which the results of a job are kept."""
    jobs_waiting: int = Field(default=1000, ge=1, le=1_000_000)
    """Studies of jobs that may wait; more are answered 503."""
    jobs_waiting_per_account: int = Field(default=250, ge=1, le=1_000_000)
    """Of those, of one account, where there are accounts; more are answered 429."""
    jobs_quota_bytes: int = Field(default=10 * 2**30, ge=0, le=2**60)
    """Bytes that the files of waiting jobs may take; 0: no limit."""
    accounts: Literal["none", "proxy", "oidc"] | None = None
    """How people sign in. Where unset, not at all on the loopback; a store that listens elsewhere
    must say it."""
    proxy_addresses: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses of the proxy whose headers name the account, separated by commas."""
    proxy_user_header: str = Field(default="X-Remote-User", pattern=HEADER_NAME)
    """Header in which the proxy names the account."""
    proxy_roles_header: str = Field(default="X-Remote-Roles", pattern=HEADER_NAME)
    """Header in which it lists the account's roles: reader, radiologist, admin."""
    oidc_issuer: str | None = None
    """Address of the OpenID Connect provider."""
    oidc_client_id: str | None = None
    """Name of this service at the provider."""
    oidc_client_secret: SecretStr | None = None
    """Its password there."""
    oidc_roles_claim: str = "roles"
    """Claim that lists a person's roles; a.b is the claim b inside a."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#]+/?$")
    """Address that people's browsers know the service by, needed to sign in at a provider."""
    session_idle_minutes: int = Field(default=30, ge=1, le=1440)
    """Minutes without a request after which a session ends."""
    session_hours: int = Field(default=12, ge=1, le=168)
    """Hours after which it ends however busy."""
    rate_limit: int = Field(default=1200, ge=0, le=1_000_000)
    """Requests of one client in a minute, by its account or else its address; 0: no limit."""
    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Address of an OpenTelemetry collector, such as http://collector:4318; traces and times of
    steps go nowhere where unset. Needs crossray[telemetry]."""
    stop_seconds: int = Field(default=20, ge=1, le=3600)
    """Seconds that a study being read may take after the service receives the signal to stop."""

    @property
    def isolation(self) -> IsolationLimits:
        """What one image's decoding may take."""
        return IsolationLimits(self.decode_bytes, self.decode_seconds, self.decode_seconds)

    @property
    def provider_options(self) -> ProviderOptions | None:
        """The OpenID provider; None where people do not sign in at one."""
        if self.accounts != "oidc":
            return None
        return ProviderOptions(
            issuer=str(self.oidc_issuer),
            client_id=str(self.oidc_client_id),
            client_secret=self.oidc_client_secret.get_secret_value()
            if self.oidc_client_secret
            else "",
            roles_claim=self.oidc_roles_claim,
            return_url=f"{str(self.public_url).rstrip('/')}/sign-in/return",
        )

    @property
    def store_options(self) -> StoreOptions | None:
        """What is kept, and where; None where nothing is."""
        if self.store is None:
            return None
        return StoreOptions(
            self.store,
            self.store_database,
            self.store_quota_bytes,
            self.store_retention_days,
            self.store_patient,
            parse_weights(self.urgency),
        )

    @property
    def job_options(self) -> JobOptions | None:
        """Which jobs are kept, and where; None where none are taken."""
        folder = self.jobs if self.store is None else self.store / "jobs"
        if folder is None:
            return None
        return JobOptions(
            folder,
            self.jobs_kept_hours * 3_600_000,
            self.jobs_waiting,
            None if self.accounts in (None, "none") else self.jobs_waiting_per_account,
            self.jobs_quota_bytes,
        )

    @field_validator("urgency")
    @classmethod
    def _urgency_names_findings(cls, text: str) -> str:
        try:
            parse_weights(text)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _accounts_are_whole(self) -> Self:
        needed = {
            "proxy": ("proxy_addresses",),
            "oidc": ("oidc_issuer", "oidc_client_id", "public_url", "store"),
        }
        for name in needed.get(self.accounts or "none", ()):
            if not getattr(self, name):
                raise ValueError(
                    f"accounts are {self.accounts!r} and {PREFIX}{name.upper()} is not set"
                )
        if self.store is not None and self.accounts is None and not self.is_loopback:
            raise ValueError(
                f"a store on another address than the loopback needs {PREFIX}ACCOUNTS: oidc, "
                "proxy, or none where everybody who can reach it may do everything"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in (*LOOPBACK, "::1")

    @field_validator("hosts", "proxy_addresses", mode="before")
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
        problems = "; ".join(_told(fault) for fault in error.errors())
        raise ConfigError(
            f"{problems} (docs/reference/rest-api.md lists what each setting takes)"
        ) from error
    if settings.hosts is None and settings.is_loopback:
        public = urlsplit(settings.public_url or "").hostname
        return settings.model_copy(update={"hosts": (*LOOPBACK, *filter(None, [public]))})
    return settings


def _told(fault: ErrorDetails) -> str:
    """One fault with the value; of what concerns several settings, no values: one is secret."""
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    name = ".".join(map(str, fault["loc"])).upper()
    return f"{PREFIX}{name} is {str(fault['input'])!r}: {fault['msg']}"
