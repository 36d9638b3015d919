"""Requests in versions of 2019: taken where the server was told to, stored as today's, with warnings."""

from typing import Any

import pytest
from aiohttp import web

from upwell.api.resources import SERVICE
from upwell.local.apiserver import discovery
from upwell.local.apiserver.catalog import CATALOG, CATALOG_WITH_OLD_VERSIONS
from upwell.local.apiserver.errors import StatusError
from upwell.local.apiserver.old_versions import patched_today, today, warned
from upwell.local.apiserver.patch import patcher
from upwell.local.apiserver.routes import parse_target

OLD = "serving.knative.dev/v1alpha1"
PATH = f"/apis/{OLD}/namespaces/default/services/app"
TARGET = parse_target(CATALOG_WITH_OLD_VERSIONS, PATH)


def test_an_old_path_leads_to_todays_resource_only_where_it_is_served() -> None:
    assert TARGET.resource is SERVICE
    assert TARGET.old_version == OLD
    with pytest.raises(StatusError, match="could not find the requested resource"):
        parse_target(CATALOG, PATH)


def test_clients_are_told_of_the_old_versions_after_todays() -> None:
    groups = discovery.api_groups(CATALOG_WITH_OLD_VERSIONS)["groups"]
    serving = next(group for group in groups if group["name"] == "serving.knative.dev")

    assert serving["preferredVersion"]["version"] == "v1"
    assert {"v1alpha1", "v1beta1"} <= {version["version"] for version in serving["versions"]}


def test_what_is_created_is_todays_and_what_changed_is_said() -> None:
    body = {"apiVersion": OLD, "kind": "Service", "metadata": {"name": "app"}, "spec": {"runLatest": {}}}

    stored, notes = today(TARGET, body)

    assert stored["apiVersion"] == "serving.knative.dev/v1"
    assert "spec.runLatest is spec.template and spec.traffic today" in notes


def test_a_patch_of_an_old_shape_wins_over_what_is_stored() -> None:
    stored: dict[str, Any] = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "app"}}
    stored["spec"] = {"template": {"spec": {"containers": [{"image": "a:1"}]}}}
    template = {"spec": {"container": {"image": "a:2"}}}
    patch = {"spec": {"runLatest": {"configuration": {"revisionTemplate": template}}}}
    notes: list[str] = []

    changed = patched_today(TARGET, patcher(SERVICE, "application/merge-patch+json", patch), notes)(stored)

    assert changed["spec"]["template"]["spec"]["containers"] == [{"image": "a:2"}]
    assert notes


@pytest.mark.parametrize("spec", [{"manual": {}}, {"runLatest": "x"}, {"release": {"revisions": 5}}])
def test_what_cannot_be_converted_is_a_bad_request(spec: Any) -> None:
    with pytest.raises(StatusError) as error:
        today(TARGET, {"apiVersion": OLD, "kind": "Service", "metadata": {}, "spec": spec})

    assert error.value.code == 400


def test_warnings_travel_in_headers_as_kubectl_reads_them() -> None:
    response = warned(web.Response(), ['a "b"'])

    assert response.headers.getall("Warning") == ['299 - "a \\"b\\""']
