"""What the gateway is told by its environment, beside what every service is told."""

from ipaddress import IPv4Network, IPv6Network

from pydantic import SecretStr

from chassis import settings


class Settings(settings.Settings):
    """``upstreams`` is a JSON object of service names and URLs; ``public_url`` is where the world finds us."""

    token_private_jwk: SecretStr
    key_pepper: SecretStr
    visitor_pepper: SecretStr
    upstreams: dict[str, str]
    public_url: str
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    upstream_connections: int = 128
    upstream_seconds: float = 15.0
    body_seconds: float = 15.0
    demo_store_url: str | None = None
    trace_trusts_callers: bool = False  # anybody calls here
