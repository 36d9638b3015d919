"""Who is sent to come with TLS, and where to."""

from typing import Any

import pytest

from gateway.entrance import Entrance, redirection
from gateway.ingress import compile_ingress
from tests.unit.gateway.builders import ingress, path, rule, split
from upwell.api.objects import Key, Object, ObjectError
from upwell.http import RequestHead

PLAIN = Entrance(https_port=443)
CHALLENGE = "/.well-known/acme-challenge/token"


def with_tls(*paths: Object, option: str = "Redirected", visibility: str = "ExternalIP", **tls: Any) -> Object:
    obj = ingress("a", rule("a.example", paths=list(paths) or [path(split("app"))], visibility=visibility))
    entry = {"hosts": ["a.example"], "secretNamespace": "default", "secretName": "cert", **tls}
    obj["spec"].update(httpOption=option, tls=[entry])
    return obj


def sent(obj: Object, target: bytes = b"/x?q=1", method: bytes = b"GET", entrance: Entrance = PLAIN) -> Any:
    request = RequestHead()
    request.set_fields([])
    request.method, request.target, request.host = method, target, b"A.example:8080"
    entry = compile_ingress(obj).hosts[b"a.example"]
    return redirection(entrance, entry, entry.match(target, request), request)


def test_a_client_without_tls_is_sent_to_the_same_place_with_it() -> None:
    assert sent(with_tls()) == (301, b"https://a.example/x?q=1")


@pytest.mark.parametrize(("method", "status"), [(b"GET", 301), (b"HEAD", 301), (b"POST", 308), (b"DELETE", 308)])
def test_a_method_that_browsers_would_forget_is_kept(method: bytes, status: int) -> None:
    assert sent(with_tls(), method=method)[0] == status


def test_a_port_that_is_not_the_usual_one_is_named() -> None:
    assert sent(with_tls(), entrance=Entrance(https_port=18443))[1] == b"https://a.example:18443/x?q=1"


@pytest.mark.parametrize("option", ["", "Enabled"])
def test_nobody_is_sent_where_plain_http_is_allowed(option: str) -> None:
    assert sent(with_tls(option=option)) is None


def test_nobody_is_sent_from_a_local_host_or_to_one_without_a_certificate() -> None:
    assert sent(with_tls(visibility="ClusterLocal")) is None
    assert sent(with_tls(hosts=["b.example"])) is None


def test_nobody_is_sent_where_no_https_is_served() -> None:
    assert sent(with_tls(), entrance=Entrance()) is None
    assert sent(with_tls(), entrance=Entrance(b"https")) is None


def test_the_proof_for_a_certificate_authority_stays_without_tls() -> None:
    obj = with_tls(path(split("app")), path(split("solver"), path=CHALLENGE))

    assert sent(obj, CHALLENGE.encode()) is None
    assert sent(obj, b"/") is not None


def test_a_wildcard_stands_for_the_first_label_of_a_host() -> None:
    routes = compile_ingress(with_tls(hosts=["*.example"]))

    assert routes.secret(b"a.example") == Key("default", "cert")
    assert routes.secret(b"a.b.example") is None
    assert routes.hosts[b"a.example"].redirects


@pytest.mark.parametrize("field", ["secretName", "secretNamespace"])
def test_a_certificate_without_a_place_is_refused(field: str) -> None:
    with pytest.raises(ObjectError, match=rf"spec\.tls\[0\]\.{field}"):
        compile_ingress(with_tls(**{field: ""}))
