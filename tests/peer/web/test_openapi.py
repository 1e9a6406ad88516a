from __future__ import annotations

import re

import openapi_spec_validator

from peer.web.openapi import describe, template
from peer.web.routes import TABLE
from tests.peer.web.conftest import WebPeer
from tests.peer.web.test_guard import walked


async def test_the_document_is_valid_and_names_every_route(peer: WebPeer):
    document = await (await peer.client.get("/openapi.json")).json()
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    served = {(method, path) for method, path in walked(peer) if method != "HEAD"}
    assert described == served


def test_references_lead_somewhere():
    document = describe(TABLE, version="1")
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
    assert {"Job", "Frames", "Peer", "Problem"} <= names


def test_a_form_has_the_fields_of_a_job_and_its_files():
    submit = describe(TABLE, version="1")["paths"]["/api/v1/jobs"]["post"]
    form = submit["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"scene", "asset", "main", "frames", "samples", "label", "settings"} <= set(form)
    assert submit["x-permission"] == "submitter"


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for row in describe(TABLE, version="1")["paths"].values() for operation in row.values()]
    assert len(names) == len(set(names))


def test_patterns_are_no_part_of_a_path():
    assert template("/a/{b:.+}/{c}") == "/a/{b}/{c}"
