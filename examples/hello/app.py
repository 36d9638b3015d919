"""A service with nothing but Python's standard library. `/?ms=200` answers after 200 ms, as if it had work to do."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    wbufsize = -1  # head and body leave together; apart, the body would wait 40 ms for the head's acknowledgement

    def do_GET(self) -> None:
        pause = parse_qs(urlsplit(self.path).query).get("ms", ["0"])[0]
        if pause.isdigit():
            time.sleep(min(int(pause), 60_000) / 1000)
        self.answer(f"Hello from {os.environ.get('K_REVISION', 'a laptop')}!\n".encode())

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding"):
            self.send_error(411, "send a Content-Length")
            return
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are counted by the platform; a line for each would only be noise."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Hello).serve_forever()
