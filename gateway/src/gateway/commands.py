"""Stores and keys from the command line, until there is a dashboard: each command prints one line of JSON.

``python -m gateway seed | create-store --slug … --currency … | create-key --slug … | revoke-key --slug … --key-id …``
"""

import argparse
import asyncio
import json
import sys

from chassis.db import Conn, Database
from gateway import scopes, store
from gateway.settings import Settings

Printed = dict[str, str]

_DEMO = "demo"


async def _seed(conn: Conn, settings: Settings, _: argparse.Namespace) -> Printed:
    """The demo store with its two keys; only its id once it is there. It has a page of the sandbox for a storefront."""
    url = settings.demo_store_url or f"{settings.public_url.rstrip('/')}/sandbox/{_DEMO}/shop"
    made = await store.create_store(conn, slug=_DEMO, currency="EUR", locale="en", url=url)
    if made is not None:
        return {"store_id": made.store_id, **await _two_keys(conn, settings, made.store_id)}
    return {"store_id": (await _store(conn, _DEMO)).store_id}


async def _create_store(conn: Conn, settings: Settings, args: argparse.Namespace) -> Printed:
    made = await store.create_store(
        conn, slug=args.slug, currency=args.currency, locale=args.locale, url=args.url, host=args.host
    )
    if made is None:
        raise ValueError("this slug or host is taken")
    return {"store_id": made.store_id, **await _two_keys(conn, settings, made.store_id)}


async def _create_key(conn: Conn, settings: Settings, args: argparse.Namespace) -> Printed:
    found = await _store(conn, args.slug)
    allowed = scopes.EVERY if args.kind == "secret" else scopes.STOREFRONT
    unknown = set(args.scope) - set(allowed)
    if unknown:
        raise ValueError(f"a {args.kind} key cannot have {', '.join(sorted(unknown))}")
    pepper = settings.key_pepper.get_secret_value()
    key = await store.create_key(conn, found.store_id, args.kind, args.scope or allowed, pepper=pepper)
    return {"store_id": found.store_id, "key_id": key.key_id, "key": key.text}


async def _revoke_key(conn: Conn, _: Settings, args: argparse.Namespace) -> Printed:
    found = await _store(conn, args.slug)
    if not await store.revoke_key(conn, found.store_id, args.key_id):
        raise ValueError("this store has no such key in force")
    return {"store_id": found.store_id, "key_id": args.key_id}


async def _store(conn: Conn, slug: str) -> store.Store:
    found = await store.store_of(conn, slug)
    if found is None:
        raise ValueError(f"there is no store {slug}")
    return found


async def _two_keys(conn: Conn, settings: Settings, store_id: str) -> Printed:
    pepper = settings.key_pepper.get_secret_value()
    secret = await store.create_key(conn, store_id, "secret", scopes.EVERY, pepper=pepper)
    publishable = await store.create_key(conn, store_id, "publishable", scopes.STOREFRONT, pepper=pepper)
    return {"api_key": secret.text, "publishable_key": publishable.text}


COMMANDS = {
    "seed": _seed,
    "create-store": _create_store,
    "create-key": _create_key,
    "revoke-key": _revoke_key,
}


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("seed")
    opening = verbs.add_parser("create-store")
    opening.add_argument("--slug", required=True)
    opening.add_argument("--currency", required=True, help="of settlement, for ever")
    opening.add_argument("--locale", default="en")
    opening.add_argument("--url", default="http://localhost/", help="the store's own address")
    opening.add_argument("--host", help="a name of its own that leads to the gateway")
    key = verbs.add_parser("create-key")
    key.add_argument("--slug", required=True)
    key.add_argument("--kind", choices=["secret", "publishable"], default="secret")
    key.add_argument("--scope", action="append", default=[], help="again for each; all of the kind's without")
    ending = verbs.add_parser("revoke-key")
    ending.add_argument("--slug", required=True)
    ending.add_argument("--key-id", required=True)
    return parser.parse_args(argv)


async def _carry_out(settings: Settings, args: argparse.Namespace) -> Printed:
    database = await Database.open(settings.worker_database_url, size=1, name="gateway-command")
    try:
        async with database.transaction() as conn:
            return await COMMANDS[args.verb](conn, settings, args)
    finally:
        await database.close()


def run(argv: list[str]) -> None:
    """Carry out a command and print what it made."""
    args = _arguments(argv)
    try:
        printed = asyncio.run(_carry_out(Settings(), args))
    except ValueError as error:
        sys.exit(f"gateway: {error}")
    print(json.dumps(printed))  # noqa: T201  (this is what it is for)
