"""An app that needs a while before it listens, as one that loads a model does; its first caller waits for it."""

import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together; apart, the body would wait 40 ms for the head's acknowledgement

    def do_GET(self) -> None:
        body = b"worth the wait\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    time.sleep(float(os.environ.get("STARTUP_SECONDS", "4")))
    HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Answer).serve_forever()
