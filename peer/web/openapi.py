"""The description of this API (OpenAPI 3.1), made from the same table that the router and the guard read. Pure.

Decides nothing that a client could see elsewhere: schemas come from the models and shapes that the code itself uses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from peer.web.problems import CONTENT_TYPE, Problem
from peer.web.route import Answer, Query, Route
from protocol.jobs.spec import JobSpec

PARAMETERS: Final = {
    "job": "A job's id, a unique prefix of at least 8 digits, or its name",
    "peer": "A peer's id, a unique prefix of at least 4 digits, or its name",
    "frame": "A frame number",
    "name": "An output's name, as in the list of outputs",
    "token": "An API key's id, or the name of the one valid key that is called so",
    "fingerprint": "A mesh key's fingerprint, as the list shows it",
    "pid": "A job as POST /job named it",
    "id": "A service's or a check's id; a slash in it may stand as it is",
    "service": "A service's name",
    "node": "A peer as `<name>-<8 hex of id>`, or its whole id",
    "state": "passing, warning, critical or any",
    "address": "HOST or HOST:PORT of a peer's user port",
}
_BRACES: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_REF: Final = "#/components/schemas/{model}"
SCENE: Final = "The .blend, or a zip that holds it and what it uses: it is unpacked, and each file keeps its place"
MAIN: Final = "Which .blend of a zip is the scene, by its name there; may be left out where it has one only"
FORM: Final = "multipart/form-data"


def describe(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """The whole document."""
    schemas, definitions = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(template(route.path), {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rendermesh",
            "version": version,
            "description": "Every peer answers every request. Errors are problem documents (RFC 9457) with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": definitions},
    }


def template(path: str) -> str:
    """A router's path as OpenAPI writes it: patterns left out."""
    return _BRACES.sub(r"{\1}", path)


def _operation(route: Route, schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "tags": [_tag(route.path)],
        "x-permission": route.permission,
        "parameters": [_path_parameter(name) for name in _BRACES.findall(route.path)]
        + [_query(query) for query in route.queries],
        "responses": {str(answer.status): _answer(answer, schemas) for answer in route.answers},
    }
    operation["responses"]["default"] = {
        "description": "An error",
        "content": {CONTENT_TYPE: {"schema": schemas[id(Problem)]}},
    }
    if route.body is not None:
        content = {kind: {"schema": _form_schema() if kind == FORM else schemas[id(route.body)]} for kind in route.body_types}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    return operation


def _answer(answer: Answer, schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.text}
    if isinstance(answer.shape, str):
        binary = not answer.shape.startswith("text/")
        described["content"] = {answer.shape: {"schema": {} if binary else {"type": "string"}}}
    elif answer.shape is not None:
        described["content"] = {"application/json": {"schema": schemas[id(answer.shape)]}}
    return described


def _path_parameter(name: str) -> dict[str, Any]:
    kind = "integer" if name == "frame" else "string"
    return {"name": name, "in": "path", "required": True, "description": PARAMETERS[name], "schema": {"type": kind}}


def _query(query: Query) -> dict[str, Any]:
    return {"name": query.name, "in": "query", "description": query.text, "schema": {"type": query.kind}}


def _tag(path: str) -> str:
    parts = path.split("/")
    return (
        parts[3]
        if path.startswith("/api/")
        else "consul"
        if path.startswith("/v1/")
        else "health"
        if parts[1].startswith("health")
        else "simple"
        if parts[1] in ("render", "status", "job")
        else "about"
    )


def _schemas(routes: Sequence[Route]) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """A reference for each shape and model, by its identity, and the definitions that they point to."""
    shapes = [
        answer.shape
        for route in routes
        for answer in route.answers
        if answer.shape is not None and not isinstance(answer.shape, str)
    ]
    bodies = [route.body for route in routes if route.body is not None]
    unique = list({id(shape): shape for shape in [Problem, *shapes, *bodies]}.values())
    made, shared = TypeAdapter.json_schemas(
        [(str(index), "validation", TypeAdapter(shape)) for index, shape in enumerate(unique)], ref_template=_REF
    )
    references = {id(shape): made[str(index), "validation"] for index, shape in enumerate(unique)}
    return references, shared.get("$defs", {})


@cache
def _form_schema() -> dict[str, Any]:
    """The fields of a job, its scene and the files beside it. Fields of a form are text; the same rules hold for their values."""
    schema = _plain(JobSpec)
    properties = dict(schema["properties"])
    properties["label"] = {"type": "array", "items": {"type": "string"}, "description": "key=value; repeat the part"}
    properties["settings"] = {"type": "string", "description": "A JSON object, per renderer"}
    properties["scene"] = {"type": "string", "contentMediaType": "application/octet-stream", "description": SCENE}
    properties["main"] = {"type": "string", "description": MAIN}
    properties["asset"] = {
        "type": "array",
        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
        "description": "Files beside the scene; each part's filename is relative to the scene's folder: textures/wood.png",
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _plain(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_REF)
    assert "$defs" not in schema, "a form has flat fields"
    return schema
