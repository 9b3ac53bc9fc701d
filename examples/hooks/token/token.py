#!/usr/bin/env python3
"""An endpoint for -hooks-http: lets in who has a token, and everyone only to their own uploads.

    tusd -hooks-http http://127.0.0.1:8000/ -hooks-enabled-events pre-create,pre-access
    token.py --port 8000 --tokens tokens.json

tokens.json has the user of each token: {"3fe9c0d1": "ann", "77ab01c2": "ben"}
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGIN = {"StatusCode": 401, "Header": {"WWW-Authenticate": "Bearer"}, "Body": "a token, please\n"}
UNKNOWN = {"StatusCode": 404, "Body": "there is no such upload\n"}  # does not tell that it is somebody else's


def answer(message, tokens):
    header = message["Event"]["HTTPRequest"]["Header"]
    scheme, _, token = header.get("Authorization", [""])[0].partition(" ")
    user = tokens.get(token) if scheme.lower() == "bearer" else None
    if message["Type"] == "pre-create":  # a creation, also one with content
        if user is None:
            return {"RejectUpload": True, "HTTPResponse": LOGIN}
        return {"ChangeFileInfo": {"Owner": user}}
    if message["Type"] == "pre-access":  # every other request, and each partial upload of a final one
        if user is None:
            return {"RejectAccess": True, "HTTPResponse": LOGIN}
        if message["Event"]["Upload"].get("Owner") != user:
            return {"RejectAccess": True, "HTTPResponse": UNKNOWN}
        return {"AllowSeconds": 60}  # this token, on this upload, with this kind of method
    return {}


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open between calls

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(answer(message, self.server.tokens)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tokens", required=True)
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Endpoint)
    with open(args.tokens) as file:
        server.tokens = json.load(file)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
