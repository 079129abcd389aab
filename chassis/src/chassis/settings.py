"""What a process is told by its environment (``REGULARS_…``), read when it starts and never at import.

What the environment does not say is looked for in the folder ``REGULARS_SECRETS``, a file per setting
(``regulars_token_jwks``, …), as Docker and Kubernetes mount secrets.
"""

import os
from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict


class Settings(BaseSettings):
    """The settings every service has. Database URLs are ``postgresql://`` DSNs.

    ``otlp_endpoint`` (``http://host:4318``) is where spans go, of ``trace_ratio`` (0 to 1) of the traces that begin here;
    ``trace_trusts_callers``: also of those that a caller says to record.
    """

    model_config = SettingsConfigDict(env_prefix="REGULARS_", frozen=True)

    api_database_url: str
    worker_database_url: str
    kafka: str
    host: str = "127.0.0.1"
    port: int
    token_jwks: str
    test_clock: Path | None = None
    log_level: str = "INFO"
    api_pool_size: int = 8
    worker_pool_size: int = 4
    max_body_bytes: int = 1_000_000
    otlp_endpoint: str | None = None
    trace_ratio: float = 1.0
    trace_trusts_callers: bool = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its folder would be fixed at import
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the files."""
        files = SecretsSettingsSource(settings_cls, os.environ.get("REGULARS_SECRETS"))
        return init_settings, env_settings, dotenv_settings, files
