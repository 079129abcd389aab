"""Documents of our own: the same for everybody until the next release, so a reader need not fetch them again."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Self

from starlette.types import Send

from gateway import catalogue, headers
from gateway.headers import Raw
from gateway.refusals import OnlyRead

_FOR_A_MINUTE = b"public, max-age=60"


@dataclass(frozen=True, slots=True)
class Page:
    """A document and what is said of it."""

    media_type: str
    body: bytes
    etag: str
    policy: str

    @classmethod
    def of(cls, media_type: str, text: str, style: str = "") -> Self:
        """A page may load nothing; of what is inside it, only its own style has an effect."""
        body = text.encode()
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        allowed = f"style-src 'sha256-{digest}'; " if style else ""
        policy = f"default-src 'none'; {allowed}base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return cls(media_type, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', policy)

    async def send(self, method: str, sent: Raw, send: Send, ours: Raw) -> None:
        """Answer a request; nothing of it again for who has it already. Raises ``OnlyRead``."""
        if method not in {"GET", "HEAD"}:
            raise OnlyRead
        known = {tag.strip().removeprefix("W/") for tag in headers.one(sent, b"if-none-match").split(",")}
        is_known = bool(known & {self.etag, "*"})
        said = [
            (b"etag", self.etag.encode()),
            (b"cache-control", _FOR_A_MINUTE),
            (b"content-security-policy", self.policy.encode()),
        ]
        if not is_known:
            said += [(b"content-type", self.media_type.encode()), (b"content-length", str(len(self.body)).encode())]
        status = HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK
        await send({"type": "http.response.start", "status": status, "headers": headers.for_caller(said, ours)})
        await send({"type": "http.response.body", "body": b"" if is_known else self.body})


def own() -> Mapping[str, Page]:
    """Every page by its path."""
    here = files("gateway")
    text, style = (here / "asyncapi.json").read_text(), (here / "catalogue.css").read_text()
    return {
        "/asyncapi": Page.of("text/html; charset=utf-8", catalogue.html(json.loads(text), style), style),
        "/asyncapi.json": Page.of("application/json", text),
    }
