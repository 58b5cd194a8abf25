"""Starts a server of an object store with an empty place for states, and prints where it is. It ends when this ends.

usage: store.py gcs BED                 prints its URL; the bucket is `states`
       store.py azurerm BED [FOLDER]    prints the URL of the account `lampwright`, whose container is `states`, and a shared access
                                        signature. With FOLDER, which has server.pem and server.key, also the URL of a proxy
                                        behind which every host is the store
BED is what `up` has prepared.
"""
import base64, ctypes, datetime, hashlib, hmac, json, os, signal, socket, ssl, subprocess, sys, threading, time, urllib.error, urllib.parse, urllib.request

KEY = base64.b64encode(b"the key of an account of nobody's").decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, **environment):
    def end_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env={**os.environ, **environment}, preexec_fn=end_with_parent, **quiet)


def make(request):
    """The place for states, as soon as the server is there."""
    begun = time.monotonic()
    while True:
        try:
            urllib.request.urlopen(request(), timeout=10)
            return
        except (urllib.error.URLError, ConnectionError) as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() - begun > 30:
                raise
        time.sleep(0.05)


def gcs(bed):
    port = free_port()
    # Terraform reads objects at BUCKET/OBJECT, and that is looked at on the public host only.
    at = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    start([bed + "/gcs", "-backend", "memory", "-scheme", "http", *at])
    url = f"http://127.0.0.1:{port}"
    body = json.dumps({"name": "states"}).encode()
    make(lambda: urllib.request.Request(url + "/storage/v1/b?project=tests", body, {"Content-Type": "application/json"}))
    print(url, flush=True)


def signed(text):
    return base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()


def azurerm(bed, folder=None):
    port = free_port()
    arguments = ["--blobPort", str(port), "--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    start([bed + "/azurerm", *arguments], AZURITE_ACCOUNTS=f"lampwright:{KEY}")
    path = "/lampwright/states"

    def container():
        date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2023-11-03\n/lampwright{path}\nrestype:container"
        headers = {"x-ms-date": date, "x-ms-version": "2023-11-03", "Authorization": f"SharedKey lampwright:{signed(text)}"}
        return urllib.request.Request(f"http://127.0.0.1:{port}{path}?restype=container", None, headers, method="PUT")

    make(container)
    print(f"http://127.0.0.1:{port}/lampwright", flush=True)
    # Of the account: to read, write, delete, list and create blobs and containers for ever.
    rights, end, version = "rwdlac", "2999-01-01T00:00:00Z", "2023-11-03"
    signature = signed(f"lampwright\n{rights}\nb\nsco\n\n{end}\n\n\n{version}\n\n")
    query = {"sv": version, "ss": "b", "srt": "sco", "sp": rights, "se": end, "sig": signature}
    print(urllib.parse.urlencode(query), flush=True)
    if folder:
        print(f"http://127.0.0.1:{proxy(folder, port)}", flush=True)


def proxy(folder, upstream):
    """Ends TLS by itself, whoever is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    context.set_alpn_protocols(["http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        client = context.wrap_socket(client, server_side=True)
        server = socket.create_connection(("127.0.0.1", upstream))
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


{"gcs": gcs, "azurerm": azurerm}[sys.argv[1]](*sys.argv[2:])
signal.pause()
