"""The event catalogue as a page for people, from the AsyncAPI document: no script, nothing fetched."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from contracts import ids
from contracts.fields import Field, below

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    service: str
    topic: str
    types: frozenset[str]
    sends: bool
    group: str


def html(document: Json, style: str) -> str:
    """The whole page."""
    operations = [_operation(its) for its in document["operations"].values()]
    channels = document["channels"]
    topics = "\n".join(_topic(document, name, its, operations) for name, its in channels.items())
    info = document["info"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: events</title>
<style>{style}</style>
</head>
<body>
<nav aria-label="Topics and events">
<p class="home"><a href="#top">{escape(info["title"])}</a></p>
{"".join(_links(name, its) for name, its in channels.items())}
</nav>
<main id="top">
<h1>Events</h1>
{_paragraphs(info["description"])}
<p class="facts">{len(channels)} topics, {len(document["components"]["messages"])} events, version {escape(info["version"])}.
As a document for tools: <a href="/asyncapi.json">AsyncAPI {escape(document["asyncapi"])}</a>.</p>
<h2>Who tells, who hears</h2>
<p>A service reads facts as the consumer group of its name, and what it is asked or answered as <code>….ask</code>.</p>
{_overview(list(channels), operations)}
<h2>The envelope</h2>
<p>Headers of every record.</p>
{_table(below("", document["components"]["schemas"]["headers"], {}))}
{topics}
</main>
</body>
</html>
"""


def _operation(its: Json) -> _Operation:
    group = its.get("bindings", {}).get("kafka", {}).get("groupId", {}).get("enum", [""])[0]
    types = frozenset(_last(message) for message in its["messages"])
    topic, sends = _last(its["channel"]), its["action"] == "send"
    return _Operation(its["x-service"], topic, types, sends, group)


def _links(topic: str, channel: Json) -> str:
    events = "".join(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>' for name in channel["messages"])
    return f'<h2><a href="#topic-{escape(topic)}">{escape(topic)}</a></h2><ul>{events}</ul>\n'


def _overview(topics: list[str], operations: list[_Operation]) -> str:
    """A row for each topic, a column for each service."""
    services = sorted({operation.service for operation in operations})
    head = "".join(f'<th scope="col">{escape(service)}</th>' for service in services)
    rows = []
    for topic in topics:
        cells = []
        for service in services:
            its = [each for each in operations if (each.service, each.topic) == (service, topic)]
            words = ["tells" if each.sends else "hears" for each in its]
            cells.append(f"<td>{' '.join(f'<b class={word}>{word}</b>' for word in words)}</td>")
        link = f'<a href="#topic-{escape(topic)}">{escape(topic)}</a>'
        rows.append(f'<tr><th scope="row">{link}</th>{"".join(cells)}</tr>')
    return f'<div class="wide"><table class="overview"><tr><td></td>{head}</tr>{"".join(rows)}</table></div>'


def _topic(document: Json, name: str, channel: Json, operations: list[_Operation]) -> str:
    here = [operation for operation in operations if operation.topic == name]
    kafka = channel["bindings"]["kafka"]
    badge = ' <span class="badge">ephemeral</span>' if channel["x-ephemeral"] else ""
    events = "\n".join(_event(document, type_, here) for type_ in channel["messages"])
    return f"""<section class="topic" id="topic-{escape(name)}">
<h2>{escape(name)}{badge}</h2>
<p>{_words(channel["description"])} {kafka["partitions"]} partitions.</p>
{events}
</section>"""


def _event(document: Json, name: str, here: list[_Operation]) -> str:
    message, schemas = document["components"]["messages"][name], document["components"]["schemas"]
    told = ", ".join(sorted(each.service for each in here if each.sends and name in each.types))
    groups = (each.group for each in here if not each.sends and name in each.types)
    heard = ", ".join(f"<code>{escape(group)}</code>" for group in groups)
    return f"""<article id="{escape(name)}">
<h3><a href="#{escape(name)}">{escape(name)}</a></h3>
<div class="said">
{_paragraphs(message["description"])}
<p class="facts">Key <code>{escape(message["bindings"]["kafka"]["key"]["description"])}</code>,
told by {escape(told)}, heard by {heard or "nobody yet"}.</p>
{_table(below("", schemas[name], schemas))}
</div>
<div class="samples">
{"".join(_sample(example, is_first=not number) for number, example in enumerate(message["examples"]))}
</div>
</article>"""


def _sample(example: Json, *, is_first: bool) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in example["headers"].items())
    return f"""<details{" open" if is_first else ""}><summary>{escape(example["name"].removesuffix(".json"))}</summary>
<pre>{escape(json.dumps(example["payload"], indent=2, ensure_ascii=False))}</pre>
<details><summary>its envelope</summary><pre>{escape(headers)}</pre></details></details>
"""


def _table(found: Iterable[Field]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field.path)}</code></td><td>{_kind(field)}</td><td>{' '.join(_limits(field))}</td></tr>"
        for field in found
    )
    return f'<div class="wide"><table class="fields">{rows}</table></div>'


def _kind(field: Field) -> str:
    kind: str = field.schema.get("format") or field.schema["type"]
    return escape(kind if field.presence != "optional" else f"{kind}, optional")


def _limits(field: Field) -> Iterator[str]:
    """What else a reader checks, in words where there are shorter ones."""
    schema = field.schema
    if "enum" in schema:
        yield " ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    elif "description" in schema:
        yield _words(schema["description"])
    if "const" in schema:
        yield f"always <code>{escape(schema['const'])}</code>"
    if ids.SUFFIX in schema.get("pattern", ""):
        yield f"<code>{escape(schema['pattern'].removeprefix('^').partition('[')[0])}…</code>"
    elif "pattern" in schema:
        yield f"<code>{escape(schema['pattern'])}</code>"
    if schema.get("exclusiveMinimum") == 0:
        yield "above 0"
    if schema.get("default") not in (None, [], ""):
        yield f"<code>{escape(str(schema['default']))}</code> unless said"


def _paragraphs(text: str) -> str:
    return "\n".join(f"<p>{_words(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _words(text: str) -> str:
    """Escaped text, with what stands in backticks as code."""
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _last(reference: Json) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name
