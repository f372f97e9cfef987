"""Where people sign in."""

from dataclasses import dataclass, field

__all__ = ["ProviderOptions"]


@dataclass(frozen=True)
class ProviderOptions:
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    roles_claim: str
    """The claim that lists a person's roles or groups; `a.b` is the claim b inside a."""
    return_url: str
    """Where the provider sends people back to."""
