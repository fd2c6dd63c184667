"""Receives VIIWork's callbacks, prints a line for each: `WEBHOOK_SECRET=whsec_… python callback_receiver.py [PORT]`.

The secret is what `viiwork callbacks endpoint add` or `viiwork callbacks secret` has shown. Needs `pip install
standardwebhooks`. Put TLS in front: VIIWork calls over plain HTTP only where `callbacks.allow` says so.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST_BODY_BYTES = 64 * 1024
if "WEBHOOK_SECRET" not in os.environ:
    sys.exit("usage: WEBHOOK_SECRET=whsec_... python callback_receiver.py [PORT]")
webhook = Webhook(os.environ["WEBHOOK_SECRET"])
seen: set[str] = set()  # a program that lives longer than a test keeps these in its database


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if length > LARGEST_BODY_BYTES:
            return self.answer(413)
        body = self.rfile.read(length)
        try:
            event = webhook.verify(body, dict(self.headers))  # the bytes as they came, before any JSON parser
        except WebhookVerificationError:
            return self.answer(401)
        message_id = self.headers["webhook-id"]
        if message_id not in seen:  # a callback may come twice, under the same id
            seen.add(message_id)
            print(message_id, event["type"], event["data"]["id"], flush=True)
        return self.answer(204)  # quickly: do the work afterwards

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8099), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()
