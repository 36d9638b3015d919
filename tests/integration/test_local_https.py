"""`upwell up --https-port`: from nothing to an app behind a certificate that a client trusts."""

import re
import ssl
from pathlib import Path

import httpx

from tests.integration.running import Up, copy_example, free_port, running
from tests.waiting import eventually_here

HOST = "hello.default.localhost"


def served(up: Up, port: int, *, http2: bool) -> tuple[str, str, str]:
    trusted = ssl.create_default_context(cafile=str(up.folder / ".upwell" / "ca.crt"))
    with httpx.Client(verify=trusted, http2=http2, timeout=60, trust_env=False) as client:
        answer = client.get(
            f"https://127.0.0.1:{port}/", headers={"Host": HOST}, extensions={"sni_hostname": HOST}
        ).raise_for_status()
    return answer.http_version, answer.url.scheme, answer.text


def test_an_app_on_a_laptop_is_served_by_https_over_both_protocols(tmp_path: Path) -> None:
    port = free_port()
    folder = copy_example("hello", tmp_path / "hello")
    with running(folder, "--https-port", str(port)) as up:
        assert re.search(rf"https +on port {port}; clients have to trust \.upwell/ca\.crt", up.said())

        assert f"curl --cacert .upwell/ca.crt https://{HOST}:{port}" in up.said()
        assert f"https://{HOST}:{port}" in up.upwell("get", "services").stdout
        for http2, version in ((False, "HTTP/1.1"), (True, "HTTP/2")):
            assert served(up, port, http2=http2) == (version, "https", "Hello from hello-00001!\n")
        with up.client("hello") as client:
            assert client.get("/").text == "Hello from hello-00001!\n"

        redirect = '{"metadata": {"annotations": {"networking.knative.dev/http-protocol": "redirected"}}}'
        up.kubectl("patch", "ksvc", "hello", "--type", "merge", "-p", redirect)
        with up.client("hello") as client:
            eventually_here(lambda: client.get("/x").status_code == 301)
            assert client.get("/x").headers["location"] == f"https://{HOST}:{port}/x"
