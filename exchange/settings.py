"""What this installation is told from outside: the only reader of the environment.

Every variable is named `QINGQIAO_…` after its field. Nothing else in the product looks at the
environment; values are read once, at the door, and passed down.

A home (`QINGQIAO_HOME`) is an installation: its embedded database, keys and raw files. Another home
is another, empty installation. With `QINGQIAO_DATABASE_URL` the data lies in that PostgreSQL instead.

Not here: the operating mode, which is chosen once, at `qingqiao init`, and lies in the home.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, IPvAnyNetwork, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from registry.database import address
from registry.embedded import Prefer

KEYSTORE_SUFFIX = "_keys"  # the key store is the database of this name beside the main one


class Settings(BaseSettings):
    """One installation's settings. Addresses of databases may hold passwords and stand in no repr."""

    model_config = SettingsConfigDict(
        env_prefix="QINGQIAO_", frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    home: Path = Path("var")
    """Where this installation's embedded database, keys and raw files lie."""

    database_url: Annotated[str | None, Field(repr=False)] = None
    """`postgresql://…` of the main database; without it the embedded server is used."""

    keystore_url: Annotated[str | None, Field(repr=False)] = None
    """`postgresql://…` of the key store; by default the main database's name with `_keys` added."""

    postgres: Prefer = "system"
    """Which PostgreSQL binaries the embedded server looks for first."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")] = "http://127.0.0.1:8420"
    """This exchange's public address, as it stands in tokens, metadata and signed answers; no slash at its end."""

    listen_host: str = "127.0.0.1"
    """The address that `qingqiao serve` listens on."""

    listen_port: Annotated[int, Field(ge=1, le=65535)] = 8420
    """The port that `qingqiao serve` listens on."""

    tls_proxy: IPvAnyNetwork | None = None
    """Address or network of the proxy that ends TLS and hands client certificates over; without it none is taken."""

    mtls_address: Annotated[str | None, Field(pattern=r"^https://[^/?#\s]+(/[^?#\s]*)?$")] = None
    """Public address under which that proxy asks for a client certificate, if it is another than the issuer's."""

    intake_processes: Annotated[int, Field(ge=0, le=256)] = 0
    """How many processes of its own an intake of many rows may start to clean rows and seal records; 0: none."""

    dask_scheduler: Annotated[str | None, Field(pattern=r"^tls://")] = None
    """`tls://host:port` of a Dask cluster that cleans rows and seals records instead, with the three files below."""

    dask_ca: Path | None = None
    """PEM file of the authority whose certificates the cluster has."""

    dask_certificate: Path | None = None
    """PEM file of the certificate with which an intake shows itself to the cluster."""

    dask_key: Path | None = None
    """PEM file of that certificate's key."""

    batch_results_hours: Annotated[int, Field(ge=1, le=720)] = 72
    """For how many hours a lender's batch of questions lies here, and then its results can be fetched."""

    limits: Path | None = None
    """File of limits in place of the product's own (`exchange/limits/limits.yml`), whole; read at the start."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("issuer")
    @classmethod
    def _no_slash_at_the_end(cls, issuer: str) -> str:
        return issuer.rstrip("/")

    @model_validator(mode="after")
    def _both_databases_or_none(self) -> Self:
        if self.keystore_url is not None and self.database_url is None:
            raise ValueError("QINGQIAO_KEYSTORE_URL is given without QINGQIAO_DATABASE_URL")
        return self

    @model_validator(mode="after")
    def _a_cluster_has_certificates(self) -> Self:
        files = (self.dask_ca, self.dask_certificate, self.dask_key)
        if self.dask_scheduler is not None and None in files:
            raise ValueError("QINGQIAO_DASK_SCHEDULER needs QINGQIAO_DASK_CA, _CERTIFICATE and _KEY")
        return self

    @model_validator(mode="after")
    def _certificates_come_from_a_proxy(self) -> Self:
        if self.mtls_address is not None and self.tls_proxy is None:
            raise ValueError("QINGQIAO_MTLS_ADDRESS is given without QINGQIAO_TLS_PROXY")
        return self

    @property
    def keystore(self) -> str | None:
        """The key store's address: as given, else beside the main database; None with the embedded server.

        Raises:
            DatabaseUnavailable: the main database's address cannot be read, or names no database.
        """
        if self.keystore_url is not None or self.database_url is None:
            return self.keystore_url
        return beside(self.database_url)


def beside(database_url: str) -> str:
    """The address of the key store that belongs to a main database: the same server, another name."""
    main = address(database_url)
    name = main.database or main.username or ""
    return main.set(drivername="postgresql", database=f"{name}{KEYSTORE_SUFFIX}").render_as_string(hide_password=False)
