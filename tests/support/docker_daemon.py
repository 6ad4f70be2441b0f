# SPDX-License-Identifier: Apache-2.0
"""Stands in for a Docker engine as far as `docker run` asks before it starts anything: writes what the client made of its
arguments (the JSON of /containers/create) to a file, and refuses to go on.

usage: docker_daemon.py SOCKET FILE     prints "ready"
"""
import http.server
import json
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Api-Version", "1.43")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.reply(200, {})

    def do_GET(self):
        self.reply(200, {"ApiVersion": "1.43", "MinAPIVersion": "1.24"} if "version" in self.path else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/containers/create" in self.path:
            open(sys.argv[2], "wb").write(body)
        self.reply(500, {"message": "no engine here"})

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"


class Server(socketserver.UnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("client", 0)


server = Server(sys.argv[1], Handler)
print("ready", flush=True)
server.serve_forever()
