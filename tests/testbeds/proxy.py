"""Stands in front of a cloud's API, counts the calls, and breaks the one that it is told to break.

usage: proxy.py UPSTREAM_PORT ..       listens on a free port for each, and says on which for the first

Addresses of the upstream ports in answers (Keystone's catalog) are rewritten to its own. Told by requests to the first
port: POST /_proxy with {"at": N, "mode": M} starts to count anew and breaks the N-th call (0: none); GET /_proxy tells
how many there were, and which was broken. Modes:
  500, 503, 429   an answer that says so; the cloud never gets to know of the call
  refuse          the connection ends without an answer, before the cloud gets to know of the call
  lost            the same, after the cloud has done it
  late            the cloud has done it, and the answer comes after 10 s
  cut             the cloud has done it, and half of the answer comes
  401             the token has ended, says the answer
  quota           as the cloud says that a quota is used up
"""
import http.client, json, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
STATE = {"at": 0, "mode": "", "count": 0, "calls": []}
QUOTA = {
    "ec2": b"<Response><Errors><Error><Code>VcpuLimitExceeded</Code><Message>You have requested more vCPU capacity than your current vCPU limit of 5 allows</Message></Error></Errors></Response>",
    "nova": b'{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}}',
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.path == "/_proxy":
            return self.control(body)
        with LOCK:
            STATE["count"] += 1
            mode = STATE["mode"] if STATE["count"] == STATE["at"] else ""
            what = body.split(b"&")[0].decode(errors="replace") if body.startswith(b"Action=") else "%s %s" % (self.command, self.path.split("?")[0])
            STATE["calls"].append(what + (" <- " + mode if mode else ""))
        if mode in ("500", "503"):
            return self.answer(int(mode), b"<html>oops</html>", [("Content-Type", "text/html")])
        if mode == "429":
            return self.answer(429, b"slow down", [("Retry-After", "1")])
        if mode == "401":
            return self.answer(401, b'{"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}')
        if mode == "quota":
            is_aws = body.startswith(b"Action=")
            return self.answer(400 if is_aws else 403, QUOTA["ec2" if is_aws else "nova"])
        if mode == "refuse":
            return self.hang_up()
        upstream = dict((listen, upstream) for listen, upstream in PAIRS)[self.server.server_port]
        connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection", "content-length")}
        # Signatures are made for the proxy's own address.
        headers["Host"] = self.headers.get("Host", "")
        connection.request(self.command, self.path, body or None, headers)
        reply = connection.getresponse()
        content = reply.read()
        for listen, upstream in PAIRS:
            content = content.replace(b"127.0.0.1:%d" % upstream, b"127.0.0.1:%d" % listen)
        if mode == "lost":
            return self.hang_up()
        if mode == "late":
            time.sleep(10)
        passed = [(name, value) for name, value in reply.getheaders() if name.lower() not in ("connection", "content-length", "transfer-encoding", "date", "server")]
        if mode == "cut":
            self.send_response_only(reply.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:len(content) // 2])
            return self.hang_up()
        try:
            self.answer(reply.status, content, passed)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

    def control(self, body):
        with LOCK:
            if body:
                STATE.update(json.loads(body), count=0, calls=[])
            self.answer(200, json.dumps(STATE).encode())

    def hang_up(self):
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


servers = [Server(("127.0.0.1", 0), Handler) for _ in sys.argv[1:]]
PAIRS = [(server.server_port, int(upstream)) for server, upstream in zip(servers, sys.argv[1:])]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", servers[0].server_port, flush=True)
servers[0].serve_forever()
