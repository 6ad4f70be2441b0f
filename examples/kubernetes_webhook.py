# SPDX-License-Identifier: Apache-2.0
"""The server of kubernetes-webhook.yaml: answers the API server's question about a new pod with a JSON patch.

A pod with the label nccl-redirect/use gets an init container that copies the library, and each of its containers the
two variables and the mount. Needs Python 3.8 or newer, and nothing else.

usage: kubernetes_webhook.py PORT CERTIFICATE KEY
"""

import base64
import http.server
import json
import os
import ssl
import sys

LABEL = "nccl-redirect/use"
NAME = "nccl-redirect"
FOLDER = "/opt/nccl-redirect"

INIT_CONTAINER = {
    "name": NAME,
    "image": os.environ.get("NCCL_REDIRECT_IMAGE", "nccl-redirect:0.2.0"),
    # A pod runs without the library rather than not at all.
    "command": ["/bin/sh", "-c", FOLDER + "/container-entrypoint --install /shim || :"],
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumeMounts": [{"name": NAME, "mountPath": "/shim"}],
}


def patch_of(pod):
    """The JSON patch (RFC 6902) of a pod; empty for one without the label, or that brings the library itself."""
    choice = pod["metadata"].get("labels", {}).get(LABEL)
    spec = pod["spec"]
    if not choice or any(volume["name"] == NAME for volume in spec.get("volumes", [])):
        return []
    patch = []

    def append(owner, path, key, values):
        if key not in owner:
            patch.append({"op": "add", "path": f"{path}/{key}", "value": values})
        else:
            patch.extend({"op": "add", "path": f"{path}/{key}/-", "value": value} for value in values)

    append(spec, "/spec", "volumes", [{"name": NAME, "emptyDir": {}}])
    append(spec, "/spec", "initContainers", [INIT_CONTAINER])
    for number, container in enumerate(spec["containers"]):
        if any(variable["name"] == "LD_PRELOAD" for variable in container.get("env", [])):
            continue
        path = f"/spec/containers/{number}"
        variables = {"LD_PRELOAD": FOLDER + "/libnccl_redirect.so", "NCCL_REDIRECT": choice}
        append(container, path, "env", [{"name": name, "value": value} for name, value in variables.items()])
        append(container, path, "volumeMounts", [{"name": NAME, "mountPath": FOLDER, "readOnly": True}])
    return patch


def answer(review):
    """The AdmissionReview that answers another one. The pod is allowed in any case."""
    request = review["request"]
    response = {"uid": request["uid"], "allowed": True}
    patch = patch_of(request["object"])
    if patch:
        response.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode())
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        try:
            body = json.dumps(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        except (KeyError, TypeError, ValueError) as error:
            self.send_error(400, f"no AdmissionReview of a pod: {error!r}")
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


class Server(http.server.ThreadingHTTPServer):
    """TLS begins in the thread of a connection: in accept() one client that says nothing would block all."""

    context = None

    def finish_request(self, request, client_address):
        request.settimeout(Handler.timeout)
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)


def main():
    port, certificate, key = sys.argv[1:]
    server = Server(("", int(port)), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(certificate, key)
    print(f"listening on port {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
