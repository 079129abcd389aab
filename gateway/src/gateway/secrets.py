"""What an installation makes once and keeps: the key that signs tokens, and the peppers.

``python -m gateway.secrets PRIVATE PUBLIC`` writes them into the folder PRIVATE, and what every service may know into
PUBLIC, a file each, named as a process with ``REGULARS_SECRETS`` looks for them. What is there is kept.
"""

import json
import secrets
import sys
from pathlib import Path

from joserfc.jwk import OKPKey

_PEPPERS = ("regulars_key_pepper", "regulars_visitor_pepper")


def new_signing_key() -> str:
    """An Ed25519 key of its own name: a private JWK."""
    key = OKPKey.generate_key("Ed25519", {"kid": secrets.token_hex(8), "use": "sig", "alg": "Ed25519"})
    return json.dumps(key.as_dict(private=True), separators=(",", ":"))


def jwks(private_jwk: str) -> str:
    """What services verify tokens with: the public half, as a JWKS."""
    public = OKPKey.import_key(json.loads(private_jwk)).as_dict(private=False)
    return json.dumps({"keys": [public]}, separators=(",", ":"))


def make(private: Path, public: Path) -> None:
    """Write what is missing; a key that was there gives the same JWKS again."""
    for name in _PEPPERS:
        _keep(private / name, secrets.token_urlsafe(32))
    key = _keep(private / "regulars_token_private_jwk", new_signing_key())
    for folder in (private, public):
        (folder / "regulars_token_jwks").write_text(jwks(key))


def _keep(file: Path, made: str) -> str:
    """The content of a file that only its owner may read, written whole or not at all."""
    if not file.exists():
        draft = file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(made)
        draft.rename(file)
    return file.read_text()


if __name__ == "__main__":
    make(*map(Path, sys.argv[1:]))
