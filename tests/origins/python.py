"""An origin on Python's http.server: says of every request that it understood completely what it was, in its answer and in a file.

Usage: python3 python.py PORT FILE
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FILE = int(sys.argv[1]), sys.argv[2]
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment.
    wbufsize = -1

    def __getattr__(self, name):
        # No tunnels.
        if name.startswith("do_") and name != "do_CONNECT":
            return self.serve
        raise AttributeError(name)

    def serve(self):
        try:
            length = len(self.body())
        except (ValueError, EOFError):
            self.close_connection = True
            self.send_error(400)
            return
        said = f"{self.command} {self.path} {length}\n".encode("latin-1")
        with LOCK, open(FILE, "ab") as file:
            file.write(said)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self.chunks()
        return self.exactly(int(self.headers.get("Content-Length", "0")))

    def chunks(self):
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                break
            body += self.exactly(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return body

    def exactly(self, length):
        body = self.rfile.read(length)
        if len(body) < length:
            raise EOFError
        return body

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", PORT), Handler).serve_forever()
