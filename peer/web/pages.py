"""Pages for people: what this peer is, and the API in readable form. No script, and no request leaves the peer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from aiohttp import web

from peer.web.openapi import describe
from peer.web.replies import as_json
from peer.web.route import ROUTES
from peer.web.site import site_of

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d1d1f;background:#fff}"
    "code,pre{font-family:ui-monospace,monospace;background:#f2f2f4;border-radius:4px;padding:.1em .3em}"
    "pre{padding:.8em;overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;border-bottom:1px solid #ddd;padding:.3em .6em .3em 0}"
    "h2{margin-top:2.5rem}h3{margin:2rem 0 .3rem}.m{font-weight:700}small{color:#666}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161618}code,pre{background:#26262a}td,th{border-color:#444}small{color:#aaa}}"
)


def page(title: str, body: str) -> web.Response:
    """A whole HTML page; `body` is HTML already."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})


async def index(request: web.Request) -> web.StreamResponse:
    """A few lines that lead on."""
    site = site_of(request)
    body = (
        f"<h1>Rendermesh</h1><p>This is peer <code>{escape(site.mesh.me[:16])}</code>, "
        f"version {escape(site.options.version)}.</p>"
        '<ul><li><a href="/docs">The HTTP API</a>, also as <a href="/openapi.json">OpenAPI 3.1</a></li>'
        '<li><a href="/api/v1/jobs">Jobs</a>, <a href="/api/v1/peers">peers</a> and '
        '<a href="/health">health</a> as JSON</li></ul>'
        "<p>On the command line:</p><pre>peerctl status\npeerctl submit shot.blend -f 1-48 --follow</pre>"
    )
    return page("Rendermesh", body)


async def openapi(request: web.Request) -> web.StreamResponse:
    """The table of routes as OpenAPI."""
    return as_json(_document(request))


async def docs(request: web.Request) -> web.StreamResponse:
    """The same for people."""
    return page("Rendermesh HTTP API", _readable(_document(request)))


def _document(request: web.Request) -> dict[str, Any]:
    routes = request.config_dict[ROUTES]
    return describe(routes, version=site_of(request).options.version)


def _readable(document: dict[str, Any]) -> str:
    info = document["info"]
    parts = [f"<h1>{escape(info['title'])} HTTP API</h1><p>{escape(info['description'])} Version {escape(info['version'])}.</p>"]
    tags: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    for tag, rows in tags.items():
        parts.append(f"<h2>{escape(tag)}</h2>" + "".join(rows))
    return "".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    takes = [(row["name"], row["description"]) for row in operation["parameters"]]
    takes += _fields(operation)
    gives = [(status, answer["description"]) for status, answer in operation["responses"].items()]
    return (
        f'<h3><span class="m">{method.upper()}</span> <code>{escape(path)}</code></h3>'
        f"<p>{escape(operation['summary'])} <small>Needs: {escape(operation['x-permission'])}.</small></p>"
        + _table(takes)
        + _table(gives)
    )


def _fields(operation: dict[str, Any]) -> list[tuple[str, str]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] = next((entry["schema"] for entry in content.values() if "properties" in entry["schema"]), {})
    return [
        (name, str(field.get("description", field.get("default", "")))) for name, field in schema.get("properties", {}).items()
    ]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<tr><th><code>{escape(name)}</code></th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>"
