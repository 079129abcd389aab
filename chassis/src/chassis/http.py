"""What an endpoint is: a policy, one transaction, and its reply kept under the caller's idempotency key.

``Api`` is FastAPI's router with a route class that does around every endpoint what every endpoint needs: who calls
and what they may, the body's size and media type, the customer a path names, the transaction, the idempotency row.
Ask-and-wait endpoints (``replies.answered_by``) and coalesced ones (``batches.coalesced``) differ only in here.
"""

import inspect
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope

from chassis import bodies, db, idempotency, pagination, tokens
from chassis.batches import Write, coalesced
from chassis.idempotency import Key
from chassis.money import parse_json
from chassis.problems import (
    Forbidden,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    Internal,
    MalformedJson,
    NotFound,
    Problem,
    Unauthenticated,
    UnsupportedMediaType,
)
from chassis.replies import Render, answered_by
from chassis.reply import Asked, Command, Data, Rendered, Reply, render
from chassis.runtime import Runtime
from contracts.ids import SUFFIX

__all__ = ["Api", "Asked", "Caller", "Command", "Conn", "Data", "Reply", "answered_by", "coalesced", "named", "policy"]

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Need = Literal["optional", "required"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call an endpoint, and whether it needs an idempotency key. ``scope`` ``None``: any caller of the store.

    ``max_body``: bytes, where it takes more than the settings say of all. ``names_customer``: its body may, as
    ``customer_id``, and it looks for them itself; one made a moment ago is waited for before.
    """

    scope: str | None
    key: Need = "optional"
    max_body: int | None = None
    names_customer: bool = False


def policy(
    scope: str | None, *, key: Need = "optional", max_body: int | None = None, names_customer: bool = False
) -> Callable[[F], F]:
    """Say who may call an endpoint. One without a policy does not start."""

    def mark(endpoint: F) -> F:
        endpoint.__policy__ = Policy(scope, key, max_body, names_customer)  # type: ignore[attr-defined]  # a function carries it
        return endpoint

    return mark


async def _conn(request: Request) -> db.Conn:
    conn: db.Conn | None = request.state.conn
    if conn is None:
        raise Internal("a coalesced endpoint has no transaction of its own")
    return conn


async def _caller(request: Request) -> tokens.Caller:
    caller: tokens.Caller = request.state.caller
    return caller


Conn = Annotated[db.Conn, Depends(_conn)]
Caller = Annotated[tokens.Caller, Depends(_caller)]


def named(prefix: str) -> AfterValidator:
    """An id in a path; what is none names nothing: a 404, before any query."""
    well_formed = re.compile(f"{prefix}_{SUFFIX}")

    def check(value: str) -> str:
        if not well_formed.fullmatch(value):
            raise NotFound
        return value

    return AfterValidator(check)


class _Request(Request):
    """A request whose JSON keeps the text of its numbers."""

    async def json(self) -> Any:
        return parse_json(await self.body())


class Endpoint(APIRoute):
    """One route and everything the chassis does around it."""

    policy: Policy
    render: Render | None
    write: Write | None

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        stated: Policy | None = getattr(endpoint, "__policy__", None)
        if stated is None:
            raise TypeError(f"{endpoint.__name__} has no policy")
        self.policy = stated
        self.render = getattr(endpoint, "__render__", None)
        self.write = getattr(endpoint, "__write__", None)
        super().__init__(path, endpoint, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")  # RFC 9110 §9.3.2; the server keeps the body back
        self._parameters = None if stated.scope is None else bodies.parameters_of(self.dependant)
        if self.write is not None:
            self._body_name, self._body_model = _body_of(endpoint, self.param_convertors)

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The way of a coalesced request, past FastAPI's. Raises what FastAPI's handlers turn into problems."""
        return await self._handle(_Request(scope, receive), self._command)

    async def _command(self, request: Request) -> Response:
        """Call a coalesced endpoint with what its path names and its body. Raises what FastAPI would."""
        try:
            body = self._body_model.model_validate(await request.json())
        except json.JSONDecodeError as error:
            raise MalformedJson(error.msg) from None
        except ValidationError as error:
            flaws = error.errors(include_url=False, include_input=False, include_context=False)
            raise RequestValidationError([flaw | {"loc": ("body", *flaw["loc"])} for flaw in flaws]) from None
        response: Response = await self.endpoint(**request.path_params, **{self._body_name: body})
        return response

    def get_route_handler(self) -> Handler:
        """FastAPI's handler with ours around it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await self._handle(_Request(request.scope, request.receive), inner)

        return handle

    async def _handle(self, request: Request, inner: Handler) -> Response:
        runtime: Runtime = request.app.state.runtime
        caller = self._admit(runtime, request)
        bodies.check(request, self._parameters)
        body = await bodies.read(request, self.policy.max_body or runtime.settings.max_body_bytes)
        if body and self.body_field is not None and not bodies.is_json(request):
            raise UnsupportedMediaType
        key = self._key(request, caller)
        request.state.caller, request.state.conn = caller, None
        pagination.asked.set((caller.store_id, request.url.path))
        await _resolve_customer(runtime, request, caller)
        if self.policy.names_customer and runtime.known is not None and (named := bodies.customer_in(body)):
            await runtime.known.resolve(caller.store_id, named)
        if self.write is not None:
            return await self._coalesce(runtime, request, inner, key, body)
        return await self._transact(runtime, request, inner, key, body)

    def _admit(self, runtime: Runtime, request: Request) -> tokens.Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = runtime.verifier.verify(token) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Unauthenticated
        if self.policy.scope is not None and self.policy.scope not in caller.scopes:
            raise Forbidden(f"this needs the scope {self.policy.scope}")
        return caller

    def _key(self, request: Request, caller: tokens.Caller) -> Key | None:
        if request.method != "POST":
            return None
        header = request.headers.get("idempotency-key")
        if header is None:
            if self.policy.key == "required":
                raise IdempotencyKeyMissing
            return None
        key = idempotency.parse_header(header)
        return Key(caller.store_id, _principal(request, caller), key, "POST", request.url.path)

    async def _coalesce(
        self, runtime: Runtime, request: Request, inner: Handler, key: Key | None, body: bytes
    ) -> Response:
        command = await inner(request)
        if not isinstance(command, Command) or self.write is None:
            raise TypeError("a coalesced endpoint returns Command")
        reply, replayed = await runtime.coalescer(self.write).submit(
            request.state.caller.store_id, command.value, key, idempotency.fingerprint(body), request.state.request_id
        )
        return reply.response(replayed=replayed)

    async def _transact(
        self, runtime: Runtime, request: Request, inner: Handler, key: Key | None, body: bytes
    ) -> Response:
        async with runtime.turns.turn(key), runtime.api.transaction(request.state.caller.store_id) as conn:
            request.state.conn = conn
            response = await self._first(request, inner, key, body)
        if isinstance(response, Asked):
            return await self._wait(runtime, request, response.request_id, key)
        return response

    async def _first(self, request: Request, inner: Handler, key: Key | None, body: bytes) -> Response:
        """Transaction 1, or all there is: claim the key, run the endpoint, keep its reply."""
        if key is None:
            return await inner(request)
        conn: db.Conn = request.state.conn
        fingerprint = idempotency.fingerprint(body)
        claim = (await idempotency.claim(conn, [key], [fingerprint]))[key]
        if claim.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        if claim.reply is not None:
            return claim.reply.response(replayed=True)
        if claim.request_id is not None:
            return Asked(claim.request_id)
        try:
            async with conn.savepoint():
                response = await inner(request)
        except Problem as problem:
            if not problem.pinned:
                raise
            rendered = render(problem, request.state.request_id)
            await idempotency.keep(conn, [(key, rendered)])
            return rendered.response()
        if isinstance(response, Asked):
            await idempotency.leave_open(conn, key, response.request_id)
        else:
            media_type = response.headers.get("content-type", "")
            await idempotency.keep(conn, [(key, Rendered(response.status_code, bytes(response.body), media_type))])
        return response

    async def _wait(self, runtime: Runtime, request: Request, request_id: str, key: Key | None) -> Response:
        """Wait without a connection, then transaction 2: tell the stored outcome and keep it if it is final."""
        if self.render is None:
            raise TypeError("only an ask-and-wait endpoint returns Asked")
        await runtime.waiters.wait(request_id)
        async with runtime.api.transaction(request.state.caller.store_id) as conn:
            try:
                rendered = render(await self.render(conn, request_id), request.state.request_id)
            except Problem as problem:
                if not problem.pinned:
                    raise
                rendered = render(problem, request.state.request_id)
            if key is None or rendered.status == 202:  # noqa: PLR2004
                return rendered.response()
            if not await idempotency.keep(conn, [(key, rendered)]):
                first = await idempotency.kept(conn, key)
                return (first or rendered).response(replayed=True)
            return rendered.response()


def _principal(request: Request, caller: tokens.Caller) -> str:
    """Whose idempotency keys these are. Visitors share a publishable key, so each has those of their address."""
    if caller.actor != "storefront":
        return caller.principal
    visitor = request.headers.get("x-regulars-client-ip", "").encode()
    return f"{caller.principal}:{idempotency.fingerprint(visitor).hex()[:16]}"


def _body_of(endpoint: Callable[..., Any], path_params: Mapping[str, object]) -> tuple[str, type[BaseModel]]:
    """The name and model of a coalesced endpoint's body. Raises ``TypeError`` if it takes anything else."""
    rest = [p for name, p in inspect.signature(endpoint).parameters.items() if name not in path_params]
    if len(rest) != 1 or not issubclass(rest[0].annotation, BaseModel):
        raise TypeError(f"{endpoint.__name__} takes what its path names, and one body")
    return rest[0].name, rest[0].annotation


async def _resolve_customer(runtime: Runtime, request: Request, caller: tokens.Caller) -> None:
    """Replace the customer a path names by the one it acts on; an unknown one is waited for, then a 404."""
    named = request.path_params.get("customer_id")
    if named is None or runtime.known is None:
        return
    acting = await runtime.known.resolve(caller.store_id, named)
    if acting is None:
        raise NotFound("there is no such customer")
    request.path_params["customer_id"] = acting


class Api(APIRouter):
    """A service's endpoints."""

    def __init__(self) -> None:
        super().__init__(route_class=Endpoint)

    @property
    def coalesced(self) -> list[Endpoint]:
        """The endpoints whose requests are done in batches."""
        return [route for route in self.routes if isinstance(route, Endpoint) and route.write is not None]
