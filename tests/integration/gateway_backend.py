"""A backend for the gateway's tests, as a process of its own that can be killed.

    python -m tests.integration.gateway_backend NAME PORT

Answers every request with JSON: its name and process id, and the request as it arrived. `/slow/SECONDS` takes that
long, and says so on stdout when it begins. Named `unsent` it answers what our sidecar answers while its app is away.
"""

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    """An answer leaves in one write: one that was cut in the middle could not be saved by anybody."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            print("slow request", flush=True)
            time.sleep(float(self.path.removeprefix("/slow/")))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.name == "unsent":
            self.answer({"name": "unsent"}, 502, "queue-proxy; reason=app-unreachable; unsent")
            return
        self.answer(
            {
                "name": self.name,
                "method": self.command,
                "path": self.path,
                "headers": [[name.lower(), value] for name, value in self.headers.items()],
                "body": len(body),
            }
        )

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def answer(self, content: Any, status: int = 200, error: str = "") -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        if error:
            self.send_header("Upwell-Error", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        super().server_bind()


if __name__ == "__main__":
    Handler.name = sys.argv[1]
    server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
