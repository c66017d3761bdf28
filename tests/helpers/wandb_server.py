"""What stand-ins of W&B's API on loopback have in common."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

# query and its variables -> data
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def query_name(query: str) -> str:
    """Name of a GraphQL query or mutation."""
    return query.split("(")[0].split("{")[0].split()[-1]


@contextmanager
def serve(answer: Answer, stream: Callable[[dict[str, Any]], None] = lambda files: None) -> Iterator[str]:
    """Serve on loopback.

    Args:
        answer: gives the data of a query.
        stream: takes the lines of files that a run sends, by the name of the file.

    Yields:
        The address, for `WANDB_BASE_URL`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            found: dict[str, Any] = {}
            if self.path == "/graphql":  # most else is about wandb itself
                asked = json.loads(body)
                found = {"data": answer(asked["query"], asked.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                stream(json.loads(body).get("files") or {})
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
