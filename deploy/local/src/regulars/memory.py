"""What the stack remembers between commands: ports, secrets, the demo store's keys. One JSON file, mode 0600."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway import secrets as installing
from regulars.trouble import Trouble

State = dict[str, Any]


def load(path: Path) -> State:
    """The saved state, or nothing yet.

    Raises:
        Trouble: the file is damaged.
    """
    try:
        state = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Trouble(f"{path} is damaged ({error}): `regulars down`, then remove its folder to begin anew.") from error
    return dict(state)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the file as a whole, readable by its owner alone."""
    replace(path, json.dumps(state, indent=2) + "\n")


def replace(path: Path, text: str) -> None:
    """Write the file so that a reader sees the old text or the new one, never half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def with_secrets(state: State) -> State:
    """The state with every secret that it still lacked."""
    made = {name: secrets.token_urlsafe(32) for name in ("password", "key_pepper", "visitor_pepper")}
    return {**made, "cluster_id": secrets.token_urlsafe(16), **state}


def signing_key(path: Path) -> tuple[str, str]:
    """The gateway's Ed25519 key as a private JWK and a public JWKS, both JSON text; made on first use, kept 0600."""
    if not path.exists():
        replace(path, installing.new_signing_key())
    text = path.read_text()
    return text, installing.jwks(text)
