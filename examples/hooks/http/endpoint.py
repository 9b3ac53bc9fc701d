#!/usr/bin/env python3
"""An endpoint for -hooks-http: keeps finished uploads in a database.

    tusd -hooks-http http://127.0.0.1:8000/ -hooks-http-secret-file secret
    endpoint.py --port 8000 --secret secret --database uploads.db
"""

import argparse
import hashlib
import hmac
import json
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OLDEST = 300  # seconds: an older call may be one that somebody has recorded


def signed(secret, timestamp, signature, body):
    """Reports whether the server that knows the secret has made this call, just now."""
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > OLDEST:
        return False
    want = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest("sha256=" + want, signature)


def answer(message, database):
    """Returns the answer to a message. {} means: go on."""
    event, upload = message["Event"], message["Event"]["Upload"]
    if message["Type"] == "pre-create" and "filename" not in upload["MetaData"]:
        return {"RejectUpload": True, "HTTPResponse": {"StatusCode": 422, "Body": "the upload needs a filename\n"}}
    if message["Type"] == "post-finish" and not upload["IsPartial"]:
        with sqlite3.connect(database) as db:  # an event that comes twice has the same ID
            db.execute("CREATE TABLE IF NOT EXISTS finished (event TEXT PRIMARY KEY, upload TEXT, name TEXT, size INTEGER)")
            db.execute("INSERT OR IGNORE INTO finished VALUES (?, ?, ?, ?)",
                       (event["ID"], upload["ID"], upload["MetaData"].get("filename"), upload["Size"]))
    return {}


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open between calls

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not signed(self.server.secret, self.headers.get("Tusd-Timestamp", ""), self.headers.get("Tusd-Signature", ""), body):
            self.reply(403, {})
            return
        self.reply(200, answer(json.loads(body), self.server.database))

    def reply(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--secret", required=True, help="the file of -hooks-http-secret-file")
    parser.add_argument("--database", required=True)
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Endpoint)
    with open(args.secret, "rb") as file:
        server.secret = file.read().strip()
    server.database = args.database
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
