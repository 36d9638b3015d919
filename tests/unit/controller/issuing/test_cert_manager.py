"""What cert-manager is asked for."""

import pytest

from controller.certificates import CLUSTER_LOCAL, EXTERNAL, LABEL_TYPE, SYSTEM_INTERNAL
from controller.issuing.cert_manager import make_cm_certificate
from controller.status import Refused
from upwell.api.certificate import CONDITIONS
from upwell.api.conditions import Conditions, find
from upwell.api.config_certmanager import parse_certmanager
from upwell.api.objects import Object, new_object
from upwell.api.resources import CERTIFICATE
from upwell.api.settings import SettingError

LETSENCRYPT = "kind: ClusterIssuer\nname: letsencrypt"


def certificate(host: str = "app.shop.example.com", kind: str = EXTERNAL, domain: str = "example.com") -> Object:
    metadata = {"uid": "uid-1", "labels": {LABEL_TYPE: kind, "serving.knative.dev/route": "app"}}
    spec = {"dnsNames": [host], "domain": domain, "secretName": "route-uid"}
    return new_object(CERTIFICATE, "shop", "route-uid", metadata=metadata, spec=spec)


def conditions(status: Object | None = None) -> Conditions:
    return CONDITIONS.manage({} if status is None else status, 0.0)


def test_its_certificate_has_the_same_name_secret_and_hosts_and_belongs_to_ours() -> None:
    made = make_cm_certificate(certificate(), parse_certmanager({"issuerRef": LETSENCRYPT}), conditions())

    assert (made["apiVersion"], made["kind"]) == ("cert-manager.io/v1", "Certificate")
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert made["spec"] == {
        "commonName": "app.shop.example.com",
        "secretName": "route-uid",
        "dnsNames": ["app.shop.example.com"],
        "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"},
        "secretTemplate": {"labels": {"networking.internal.knative.dev/certificate-uid": "uid-1"}},
    }


@pytest.mark.parametrize(
    ("kind", "issuer"), [(EXTERNAL, "letsencrypt"), (CLUSTER_LOCAL, "local"), (SYSTEM_INTERNAL, "internal")]
)
def test_the_issuer_follows_from_the_kind_of_certificate(kind: str, issuer: str) -> None:
    config = parse_certmanager(
        {
            "issuerRef": LETSENCRYPT,
            "clusterLocalIssuerRef": "{kind: Issuer, name: local}",
            "systemInternalIssuerRef": "{kind: Issuer, name: internal}",
        }
    )
    assert make_cm_certificate(certificate(kind=kind), config, conditions())["spec"]["issuerRef"]["name"] == issuer


def test_without_settings_the_issuer_is_knatives() -> None:
    made = make_cm_certificate(certificate(), parse_certmanager({}), conditions())
    assert made["spec"]["issuerRef"] == {"kind": "ClusterIssuer", "name": "knative-selfsigned-issuer"}


def test_a_host_too_long_for_a_subject_gets_a_short_one_beside_it() -> None:
    host = "a-name-that-takes-up-much-room.in-a-namespace-that-does-too.example.com"
    made = make_cm_certificate(certificate(host), parse_certmanager({}), conditions())
    assert made["spec"]["commonName"] == "k.example.com"
    assert made["spec"]["dnsNames"] == ["k.example.com", host]


def test_a_domain_too_long_for_that_is_refused_with_its_name() -> None:
    domain = f"{'d' * 60}.example.com"
    status: Object = {}
    with pytest.raises(Refused, match=f"k.{domain}"):
        make_cm_certificate(certificate(f"app.{domain}", domain=domain), parse_certmanager({}), conditions(status))
    assert find(status, "Ready")["reason"] == "CommonName Too Long"


@pytest.mark.parametrize("text", ["- a list", "{kind: Issuer}", "{"])
def test_an_issuer_that_cannot_be_read_is_refused_by_its_key(text: str) -> None:
    with pytest.raises(SettingError, match="clusterLocalIssuerRef"):
        parse_certmanager({"clusterLocalIssuerRef": text})
