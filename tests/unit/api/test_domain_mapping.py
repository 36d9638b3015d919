"""DomainMapping, Certificate and the other kinds around domains: what is filled in, and what is refused."""

from typing import Any

import pytest

from upwell.api.admission import Denied, admit
from upwell.api.objects import Object, new_object
from upwell.api.resources import CERTIFICATE, DOMAIN_CLAIM, DOMAIN_MAPPING, IMAGE, Resource

REFERENCE = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "app"}


def mapping(name: str = "app.example.com", **ref: Any) -> Object:
    return new_object(DOMAIN_MAPPING, "team", name, spec={"ref": {**REFERENCE, **ref}})


def refusal(obj: Object, resource: Resource = DOMAIN_MAPPING, cluster_domain: str = "cluster.local") -> str:
    with pytest.raises(Denied) as caught:
        admit(resource, obj, None, lambda _: {}, cluster_domain=cluster_domain)
    return str(caught.value)


def test_what_a_domain_is_mapped_to_is_beside_it() -> None:
    stored = admit(DOMAIN_MAPPING, mapping(), None, lambda _: {}, user="ann")

    assert stored["spec"]["ref"] == {**REFERENCE, "namespace": "team"}
    assert stored["metadata"]["annotations"]["serving.knative.dev/creator"] == "ann"
    assert refusal(mapping(namespace="other")).startswith("mismatched namespaces: spec.ref.namespace")


def test_only_who_changes_the_mapping_is_its_last_modifier() -> None:
    stored = admit(DOMAIN_MAPPING, mapping(), None, lambda _: {}, user="ann")

    changed = admit(DOMAIN_MAPPING, {**stored, "spec": mapping(name="b")["spec"]}, stored, lambda _: {}, user="bob")

    assert changed["metadata"]["annotations"]["serving.knative.dev/creator"] == "ann"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("app", "should be a domain with at least two segments"),
        (f"{'a' * 64}.example.com", "must be no more than 63 characters"),
        (f"{'a.' * 130}com", "must be no more than 253 characters"),
        ("a_b.example.com", "a lowercase RFC 1123 subdomain"),
        ("a.svc.cluster.local", 'must not be a subdomain of cluster local domain "cluster.local"'),
    ],
)
def test_a_mapping_is_named_as_a_domain_that_is_not_the_clusters(name: str, problem: str) -> None:
    assert f'invalid name "{name}": ' in refusal(mapping(name))
    assert problem in refusal(mapping(name))


def test_the_clusters_domain_is_the_one_that_it_was_told() -> None:
    admit(DOMAIN_MAPPING, mapping("a.corp.internal"), None, lambda _: {})

    assert "corp.internal" in refusal(mapping("a.corp.internal"), cluster_domain="corp.internal")


def test_a_mapping_has_no_generated_name_and_refers_by_version() -> None:
    generated = mapping()
    generated["metadata"]["generateName"] = "a"

    assert refusal(generated) == "must not set the field(s): metadata.generateName"
    assert refusal(mapping(group="serving.knative.dev")) == "must not set the field(s): spec.ref.group"
    assert refusal(mapping(kind="", apiVersion="")) == "missing field(s): spec.ref.apiVersion, spec.ref.kind"


def test_a_certificate_is_for_names_and_goes_into_a_secret() -> None:
    good = {"dnsNames": ["a.example.com"], "secretName": "a"}

    assert admit(CERTIFICATE, new_object(CERTIFICATE, "x", "a", spec=good), None, lambda _: {})["spec"] == good
    assert refusal(new_object(CERTIFICATE, "x", "a", spec={}), CERTIFICATE) == (
        "missing field(s): spec.dnsNames, spec.secretName"
    )
    assert refusal(new_object(CERTIFICATE, "x", "a", spec={**good, "dnsNames": [""]}), CERTIFICATE) == (
        "invalid value: : spec.dnsNames[0]"
    )


def test_claims_and_images_are_read_by_their_fields() -> None:
    claim = new_object(DOMAIN_CLAIM, "", "a.example.com", spec={"namespace": "team", "frob": 1})
    image = new_object(IMAGE, "x", "a", spec={"image": "a:1", "imagePullSecrets": [{"name": "s"}]})

    assert admit(DOMAIN_CLAIM, claim, None, lambda _: {})["spec"] == {"namespace": "team"}
    assert admit(IMAGE, image, None, lambda _: {})["spec"] == image["spec"]
    assert "spec.image" in refusal(new_object(IMAGE, "x", "a", spec={"image": 1}), IMAGE)
