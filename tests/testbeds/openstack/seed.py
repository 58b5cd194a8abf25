"""Seed: `identity` needs only Keystone; `resources` waits for the rest."""
import concurrent.futures
import os
import sys
import time

import requests

e = os.environ
KEY = f"http://127.0.0.1:{e['P_KEY']}/v3"
PORT = {k: e[f"P_{k}"] for k in ("GLA", "PLA", "NOV", "NEU", "CIN", "OCT")}
CAT = [  # type, name, url
    ("identity", "keystone", None),
    ("image", "glance", f"http://127.0.0.1:{PORT['GLA']}"),
    ("placement", "placement", f"http://127.0.0.1:{PORT['PLA']}"),
    ("compute", "nova", f"http://127.0.0.1:{PORT['NOV']}/v2.1"),
    ("network", "neutron", f"http://127.0.0.1:{PORT['NEU']}"),
    ("volumev3", "cinderv3", f"http://127.0.0.1:{PORT['CIN']}/v3/%(project_id)s"),
    ("block-storage", "cinder", f"http://127.0.0.1:{PORT['CIN']}/v3/%(project_id)s"),
    ("load-balancer", "octavia", f"http://127.0.0.1:{PORT['OCT']}"),
]
s = requests.Session()


def token(user, pw, project):
    r = requests.post(KEY + "/auth/tokens", json={"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": user, "domain": {"name": "Default"}, "password": pw}}},
        "scope": {"project": {"name": project, "domain": {"name": "Default"}}}}})
    r.raise_for_status()
    return r.headers["X-Subject-Token"], r.json()["token"]


def call(method, url, body=None, ok=(200, 201, 202, 204), **kw):
    r = s.request(method, url, json=body, **kw)
    if r.status_code not in ok:
        raise SystemExit(f"{method} {url} -> {r.status_code} {r.text[:500]}")
    return r.json() if r.content and "json" in r.headers.get("content-type", "") else {}


def identity():
    t, tok = token("admin", e["ADMIN_PW"], "admin")
    s.headers["X-Auth-Token"] = t
    post = lambda p, b: call("POST", KEY + p, b)
    put = lambda p: call("PUT", KEY + p)
    roles = {r["name"]: r["id"] for r in call("GET", KEY + "/roles")["roles"]}
    for n in ("load-balancer_member", "load-balancer_admin", "service"):
        if n not in roles:
            roles[n] = post("/roles", {"role": {"name": n}})["role"]["id"]
    proj, user = {}, {}
    for n in ("service", "demo"):
        proj[n] = post("/projects", {"project": {"name": n, "domain_id": "default"}})["project"]["id"]
    for n, pw in (("svc", e["SVC_PW"]), ("demo", e["DEMO_PW"])):
        user[n] = post("/users", {"user": {"name": n, "password": pw, "domain_id": "default"}})["user"]["id"]
    for p, u, rs in (("service", "svc", ("admin", "service")),
                     ("demo", "demo", ("member", "load-balancer_member")),
                     (None, None, ("load-balancer_admin",))):
        pid = proj[p] if p else tok["project"]["id"]
        uid = user[u] if u else tok["user"]["id"]
        for r in rs:
            put(f"/projects/{pid}/users/{uid}/roles/{roles[r]}")
    for typ, name, url in CAT:
        if not url:
            continue
        sid = post("/services", {"service": {"type": typ, "name": name}})["service"]["id"]
        for itf in ("public", "internal", "admin"):
            post("/endpoints", {"endpoint": {"interface": itf, "region_id": "RegionOne",
                                             "service_id": sid, "url": url}})


def wait(url, limit=120):
    t0 = time.time()
    while time.time() - t0 < limit:
        try:
            r = requests.get(url, timeout=20)
            if r.status_code < 500:
                return time.time()
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} did not come up; see {e.get('RUN')}/log")


def resources():
    t0 = time.time()
    b = lambda k: f"http://127.0.0.1:{PORT[k]}"
    with concurrent.futures.ThreadPoolExecutor(8) as ex:
        for k, t in zip(PORT, ex.map(lambda k: wait(b(k) + "/"), PORT)):
            print(f"  {k} answers after {t - t0:.1f}s")
    t, _ = token("admin", e["ADMIN_PW"], "admin")
    s.headers["X-Auth-Token"] = t
    # What machines boot from is known by name (../machines/watch.py); the content is never read.
    for name in ("debian-12-genericcloud-amd64-20261101", "lamp-debian-12-20261101"):
        img = call("POST", b("GLA") + "/v2/images", {
            "name": name, "disk_format": "raw", "container_format": "bare",
            "visibility": "public", "min_disk": 1})
        call("PUT", b("GLA") + f"/v2/images/{img['id']}/file", ok=(204,), data=b"\0" * 1024,
             headers={"Content-Type": "application/octet-stream"})
    for i, (n, c, m) in enumerate((("m1.small", 1, 1024), ("m1.medium", 2, 4096), ("m1.large", 4, 8192))):
        call("POST", b("NOV") + "/v2.1/flavors", {"flavor": {
            "name": n, "id": str(i + 1), "vcpus": c, "ram": m, "disk": 10}})
    net = call("POST", b("NEU") + "/v2.0/networks", {"network": {
        "name": "ext", "router:external": True, "shared": False,
        "provider:network_type": "flat", "provider:physical_network": "physnet1"}})["network"]
    call("POST", b("NEU") + "/v2.0/subnets", {"subnet": {
        "network_id": net["id"], "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": False}})
    # Room for several tests at once; still little enough to be used up by one.
    projects = call("GET", KEY + "/projects?name=demo")["projects"]
    call("PUT", b("NOV") + f"/v2.1/os-quota-sets/{projects[0]['id']}", {"quota_set": {
        "instances": 40, "cores": 80, "ram": 160000}})
    call("PUT", b("NEU") + f"/v2.0/quotas/{projects[0]['id']}", {"quota": {
        "security_group": 100, "security_group_rule": 500, "port": 500, "floatingip": 50}})
    # The project's own network, with a way out.
    admin = s.headers["X-Auth-Token"]
    s.headers["X-Auth-Token"], demo = token("demo", e["DEMO_PW"], "demo")
    own = call("POST", b("NEU") + "/v2.0/networks", {"network": {"name": "internal"}})["network"]
    sub = call("POST", b("NEU") + "/v2.0/subnets", {"subnet": {
        "network_id": own["id"], "ip_version": 4, "cidr": "10.77.0.0/16", "gateway_ip": "10.77.0.1"}})["subnet"]
    router = call("POST", b("NEU") + "/v2.0/routers", {"router": {
        "name": "out", "external_gateway_info": {"network_id": net["id"]}}})["router"]
    call("PUT", b("NEU") + f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": sub["id"]})
    s.headers["X-Auth-Token"] = admin
    cin = b("CIN") + "/v3/" + call("GET", KEY + "/auth/tokens", headers={"X-Subject-Token": t})["token"]["project"]["id"]
    call("POST", cin + "/types", {"volume_type": {"name": "fake"}})
    end = time.time() + 60
    while time.time() < end:  # the three computes and the volume backend
        up = [x for x in call("GET", b("NOV") + "/v2.1/os-services")["services"] if x["state"] == "up"]
        vol = [x for x in call("GET", cin + "/os-services")["services"] if x["state"] == "up"]
        if len(up) >= 3 and len(vol) >= 2:
            break
        time.sleep(0.2)
    else:
        raise SystemExit(f"services not up: {up} {vol}")
    print("  nova:", sorted(f"{x['binary']}@{x['host']}" for x in up), "cinder:", sorted(x["binary"] for x in vol))


globals()[sys.argv[1]]()
