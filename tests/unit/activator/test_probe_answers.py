"""Answers to probes: told apart by headers, in the contract's order and words."""

from typing import Any

import pytest

from activator.probe_answers import Answer, Health, answer_probe
from upwell.http.message import read_request_head


def ask(health: Health | None = None, **headers: str) -> Answer | None:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    request = read_request_head(f"GET //any/path HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode(), "10.0.0.9")
    return answer_probe(request, health or healthy())


def healthy() -> Health:
    health = Health()
    health.started = True
    return health


@pytest.mark.parametrize("headers", [{"User_Agent": "kube-probe/1.34"}, {"K_Kubelet_Probe": "queue"}])
def test_the_kubelet_is_told_whether_requests_can_be_served(headers: dict[str, Any]) -> None:
    assert ask(**headers) == (200, (), b"")

    starting, draining = Health(), healthy()
    draining.draining = True
    answers = [ask(health, **headers) for health in (starting, draining)]
    assert [answer and answer.status for answer in answers] == [500, 500]
    assert answers[1] is not None
    assert answers[1].body == b"received SIGTERM from kubelet\n"


def test_network_probes_go_on_while_draining() -> None:
    draining = healthy()
    draining.draining = True

    assert ask(draining, K_Network_Probe="probe", K_Network_Hash="abc") == (200, ((b"K-Network-Hash", b"abc"),), b"")
    assert ask(draining, K_Network_Probe="activator") == (200, (), b"activator")


def test_a_network_probe_without_a_hash_is_wrong() -> None:
    answer = ask(K_Network_Probe="probe")

    assert answer is not None
    assert answer.status == 400
    assert answer.body == b'a probe request must contain a non-empty "K-Network-Hash" header\n'


def test_an_unknown_probe_is_refused_and_its_value_cannot_be_markup() -> None:
    answer = ask(K_Network_Probe="<queue>&'")

    assert answer is not None
    assert answer.status == 400
    assert answer.body == b'unexpected probe header value: "&lt;queue&gt;&amp;&#39;"\n'


def test_the_kubelets_header_comes_before_the_networks() -> None:
    assert ask(User_Agent="kube-probe/1.34", K_Network_Probe="activator") == (200, (), b"")


@pytest.mark.parametrize("headers", [{}, {"K_Network_Hash": "abc"}, {"K_Network_Probe": ""}, {"User_Agent": "curl"}])
def test_other_requests_are_no_probes(headers: dict[str, Any]) -> None:
    assert ask(**headers) is None
