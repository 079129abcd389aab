"""The six Python programs of the stack and the environment each one gets."""

import json
from collections.abc import Mapping
from pathlib import Path

from regulars.ports import HOST, PROGRAMS, SERVICES, Ports

Environment = dict[str, str]


def module(service: str) -> str:
    """The Python module of a service: `fraud-block` is imported as fraud_block."""
    return service.replace("-", "_")


def database(service: str) -> str:
    """The name of a service's database."""
    return f"regulars_{module(service)}"


def url(service: str, ports: Ports) -> str:
    """Where a service listens."""
    return f"http://{HOST}:{ports[service]}"


def database_url(service: str, role: str, ports: Ports, password: str, name: str | None = None) -> str:
    """The DSN of a service's database for its role `api` or `worker`."""
    user = f"{module(service)}_{role}"
    return f"postgresql://{user}:{password}@{HOST}:{ports['postgres']}/{name or database(service)}"


def admin_url(ports: Ports, password: str, name: str = "postgres") -> str:
    """The DSN of the superuser."""
    return f"postgresql://postgres:{password}@{HOST}:{ports['postgres']}/{name}"


def environments(
    ports: Ports, secrets: Mapping[str, str], key: tuple[str, str], clock: Path | None
) -> dict[str, Environment]:
    """The settings of every program; `key` is the private JWK and the public JWKS, `clock` the test clock's file."""
    shared = {"REGULARS_KAFKA": f"{HOST}:{ports['kafka']}", "REGULARS_HOST": HOST, "REGULARS_TOKEN_JWKS": key[1]}
    if clock:
        shared["REGULARS_TEST_CLOCK"] = str(clock)
    everyone = {
        name: {
            **shared,
            "REGULARS_PORT": str(ports[name]),
            "REGULARS_API_DATABASE_URL": database_url(name, "api", ports, secrets["password"]),
            "REGULARS_WORKER_DATABASE_URL": database_url(name, "worker", ports, secrets["password"]),
        }
        for name in PROGRAMS
    }
    everyone["gateway"] |= {
        "REGULARS_TOKEN_PRIVATE_JWK": key[0],
        "REGULARS_KEY_PEPPER": secrets["key_pepper"],
        "REGULARS_VISITOR_PEPPER": secrets["visitor_pepper"],
        "REGULARS_UPSTREAMS": json.dumps({name: url(name, ports) for name in SERVICES}, separators=(",", ":")),
    }
    for name in ("gateway", "carts"):
        everyone[name]["REGULARS_PUBLIC_URL"] = url("gateway", ports)
    return everyone
