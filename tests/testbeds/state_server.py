"""A server that keeps states, as Terraform's documentation of its backend `http` describes one.

usage: state_server.py PORT FOLDER      prints the port when it listens
Each path is a state. GET, POST, DELETE; LOCK and UNLOCK at PATH/lock. Every call is a line in FOLDER/calls. While FOLDER/down is there
every POST of a state ends with 503.
"""
import http.server, json, os, sys, threading

port, folder = int(sys.argv[1]), sys.argv[2]
states, locks, guard = {}, {}, threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        path, _, query = self.path.partition("?")
        body = self.body()
        with guard:
            with open(os.path.join(folder, "calls"), "a") as calls:
                calls.write("%s %s\n" % (self.command, self.path))
            if self.command == "GET":
                return self.answer(200, states[path]) if path in states else self.answer(404)
            if self.command == "DELETE":
                states.pop(path, None)
                return self.answer(200)
            if self.command == "LOCK":
                held = locks.get(path)
                if held:
                    return self.answer(423, held)
                locks[path] = body
                return self.answer(200)
            if self.command == "UNLOCK":
                held = locks.get(path)
                # Terraform's force-unlock says only the id.
                if held and json.loads(held)["ID"] != json.loads(body or b"{}").get("ID"):
                    return self.answer(409, held)
                locks.pop(path, None)
                return self.answer(200)
            held = locks.get(path + "/lock")
            if held and "ID=" + json.loads(held)["ID"] not in query.split("&"):
                return self.answer(423, held)
            if os.path.exists(os.path.join(folder, "down")):
                return self.answer(503)
            states[path] = body
            return self.answer(200)

    do_GET = do_POST = do_DELETE = do_LOCK = do_UNLOCK = handle_any

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
