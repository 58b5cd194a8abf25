"""The APIs of the test beds, for the watcher and for tests: plain requests, nothing of the product.

usage: apis.py aws URL|openstack OPENRC list SCOPE
                                        terminate SCOPE MACHINE
                                        detach SCOPE MACHINE       takes its data disk away
                                        open SCOPE LAYER PORT      lets the world in
                                        power_off SCOPE MACHINE
                                        twin SCOPE MACHINE         (AWS) makes another one with its tags
                                        forget SCOPE MACHINE       detaches and deletes its data disk
                                        baked                      the names of golden images
                                        discard                    deletes them
                                        bucket NAME                (AWS) makes a bucket of S3
                                        raw SERVICE ACTION [NAME VALUE ..]     (AWS) one call
                                        application_credential     (OpenStack) makes one
"""
import base64, json, re, sys, time, urllib.error, urllib.parse, urllib.request
import xml.etree.ElementTree as ET


class Wanted:
    """An instance as an API lists it. What a machine calls its data disk is the hypervisor's choice: Xen's on AWS."""

    def __init__(self, ident, name, is_running, addresses, image, device, disks, ingress):
        self.device = device
        self.ident, self.name, self.is_running, self.addresses, self.image, self.disks, self.ingress = ident, name, is_running, addresses, image, disks, ingress


class Kept:
    """An image that was asked for of an instance."""

    def __init__(self, ident, name, source, is_done):
        self.ident, self.name, self.source, self.is_done = ident, name, source, is_done


class Aws:
    """moto's EC2: everything in a few calls."""

    def __init__(self, url):
        self.url = url

    def query(self, action, service="ec2", **params):
        params.update(Action=action, Version={"ec2": "2016-11-15", "iam": "2010-05-08", "elasticloadbalancing": "2015-12-01"}[service])
        request = urllib.request.Request(self.url, data=urllib.parse.urlencode(params).encode(), headers={
            "Authorization": "AWS4-HMAC-SHA256 Credential=watch/20260101/eu-west-1/%s/aws4_request, SignedHeaders=host, Signature=0" % service})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return ET.fromstring(re.sub(rb' xmlns="[^"]*"', b"", answer.read(), count=1))

    def wanted(self):
        instances = [item for item in self.query("DescribeInstances").iter("item") if item.find("instanceId") is not None and item.find("instanceState") is not None]
        instances = [item for item in instances if item.findtext("instanceState/name") in ("pending", "running", "stopping", "stopped")]
        groups = {item.findtext("groupId"): item for item in self.query("DescribeSecurityGroups").findall("securityGroupInfo/item")}
        images = {item.findtext("imageId"): item.findtext("name") for item in self.query("DescribeImages", **{"Owner.1": "self"}).findall("imagesSet/item")}
        sizes = {item.findtext("volumeId"): int(item.findtext("size")) for item in self.query("DescribeVolumes").findall("volumeSet/item")}
        members = {}
        for item in instances:
            for group in item.findall("networkInterfaceSet/item/groupSet/item/groupId"):
                members.setdefault(group.text, []).append(item.findtext("privateIpAddress"))
        found = []
        for item in instances:
            ingress = []
            for group in {entry.text for entry in item.findall("networkInterfaceSet/item/groupSet/item/groupId")}:
                for rule in groups[group].findall("ipPermissions/item"):
                    sources = [entry.findtext("cidrIp") for entry in rule.findall("ipRanges/item")]
                    for pair in rule.findall("groups/item"):
                        sources += [address + "/32" for address in members.get(pair.findtext("groupId"), [])]
                    protocol = rule.findtext("ipProtocol")
                    ingress += [(protocol, rule.findtext("fromPort"), rule.findtext("toPort"), source) for source in sources]
            disks = [(entry.findtext("ebs/volumeId"), sizes.get(entry.findtext("ebs/volumeId"), 1)) for entry in item.findall("blockDeviceMapping/item") if entry.findtext("deviceName") == "/dev/sdf"]
            addresses = [item.findtext("privateIpAddress"), item.findtext("ipAddress")]
            is_running = item.findtext("instanceState/name") in ("pending", "running")
            found.append(Wanted(item.findtext("instanceId"), item.findtext("instanceId"), is_running, [a for a in addresses if a], images.get(item.findtext("imageId"), ""), "/dev/xvdf", disks, sorted(set(ingress))))
        return found

    def kept(self):
        images = self.query("DescribeImages", **{"Owner.1": "self"}).findall("imagesSet/item")
        return [Kept(item.findtext("imageId"), item.findtext("name"), item.findtext("sourceInstanceId"), True) for item in images if item.findtext("sourceInstanceId")]

    def finish(self, kept):
        pass

    # -- what a person might do by hand, for tests

    def raw(self, service, action, *pairs):
        if service == "moto-api":
            # From now on every call is looked at.
            urllib.request.urlopen(urllib.request.Request(self.url + "moto-api/" + action, data=b"0", headers={"Content-Type": "text/plain"})).close()
            return {}
        answer = self.query(action, service, **dict(zip(pairs[::2], pairs[1::2])))
        return {element.tag: element.text for element in answer.iter() if element.text}

    def baked(self):
        return [image.name for image in self.kept()]

    def bucket(self, name):
        place = b"<CreateBucketConfiguration xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
        request = urllib.request.Request(self.url + name, data=place, method="PUT", headers={
            "Content-Type": "application/xml",
            "Authorization": "AWS4-HMAC-SHA256 Credential=watch/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"})
        urllib.request.urlopen(request, timeout=30).read()

    def discard(self):
        for image in self.kept():
            self.query("DeregisterImage", ImageId=image.ident)

    def power_off(self, scope, name):
        self.query("StopInstances", **{"InstanceId.1": self.of_scope(scope)[name][0]["id"]})

    def twin(self, scope, name):
        ident = self.of_scope(scope)[name][0]["id"]
        item = [item for item in self.query("DescribeInstances").iter("item") if item.findtext("instanceId") == ident and item.find("instanceState") is not None][0]
        # The first of its call has these numbers.
        tags = {**self.tagged(item), "lampwright:ids": name.rsplit("-", 1)[1] + "+1"}
        pairs = {"TagSpecification.1.Tag.%d.%s" % (at + 1, part): value for at, pair in enumerate(tags.items()) for part, value in zip(("Key", "Value"), pair)}
        self.query("RunInstances", ImageId=item.findtext("imageId"), MinCount=1, MaxCount=1, SubnetId=item.findtext("subnetId"),
                   **{"SecurityGroupId.1": item.findtext("networkInterfaceSet/item/groupSet/item/groupId"), "TagSpecification.1.ResourceType": "instance", **pairs})

    def forget(self, scope, name):
        disk = self.of_scope(scope)[name][0]["disk"]
        self.detach(scope, name)
        self.query("DeleteVolume", VolumeId=disk)

    def tagged(self, item):
        return {tag.findtext("key"): tag.findtext("value") for tag in item.findall("tagSet/item")}

    def of_scope(self, scope):
        found = {}
        for item in self.query("DescribeInstances").iter("item"):
            tags = self.tagged(item)
            if item.find("instanceState") is None or not tags.get("lampwright:scope", "").startswith(scope):
                continue
            if item.findtext("instanceState/name") in ("terminated", "shutting-down"):
                continue
            first, step = tags["lampwright:ids"].split("+")
            name = "%s-%d" % (tags["lampwright:layer"], int(first) + int(step) * int(item.findtext("amiLaunchIndex")))
            disk = [entry.findtext("ebs/volumeId") for entry in item.findall("blockDeviceMapping/item") if entry.findtext("deviceName") == "/dev/sdf"]
            found.setdefault(name, []).append({"id": item.findtext("instanceId"), "address": item.findtext("privateIpAddress"), "public": item.findtext("ipAddress"), "disk": disk[0] if disk else None, "size": item.findtext("instanceType")})
        return found

    def list(self, scope):
        ours = lambda item: self.tagged(item).get("lampwright:scope", "").startswith(scope)
        return {"machines": self.of_scope(scope),
                "disks": [item.findtext("volumeId") for item in self.query("DescribeVolumes").findall("volumeSet/item") if ours(item)],
                "groups": [item.findtext("groupName") for item in self.query("DescribeSecurityGroups").findall("securityGroupInfo/item") if ours(item)],
                "others": self.balancers(scope)}

    def balancers(self, scope):
        groups = {item.findtext("groupId"): self.tagged(item).get("lampwright:scope", "") for item in self.query("DescribeSecurityGroups").findall("securityGroupInfo/item")}
        found = []
        for item in self.query("DescribeLoadBalancers", "elasticloadbalancing").iter("member"):
            if item.find("LoadBalancerArn") is not None and any(groups.get(group.text, "").startswith(scope) for group in item.iter("member") if group.text):
                arn = item.findtext("LoadBalancerArn")
                targets = [target.findtext("Target/Id") for group in self.query("DescribeTargetGroups", "elasticloadbalancing", LoadBalancerArn=arn).iter("TargetGroupArn")
                           for target in self.query("DescribeTargetHealth", "elasticloadbalancing", TargetGroupArn=group.text).iter("member") if target.find("Target") is not None]
                found.append({"host": item.findtext("DNSName"), "targets": sorted(targets)})
        return found

    def terminate(self, scope, name):
        self.query("TerminateInstances", **{"InstanceId.1": self.of_scope(scope)[name][0]["id"]})

    def detach(self, scope, name):
        machine = self.of_scope(scope)[name][0]
        self.query("DetachVolume", VolumeId=machine["disk"], InstanceId=machine["id"], Device="/dev/sdf")

    def open(self, scope, layer, port):
        groups = [item.findtext("groupId") for item in self.query("DescribeSecurityGroups").findall("securityGroupInfo/item")
                  if self.tagged(item).get("lampwright:scope", "").startswith(scope) and self.tagged(item).get("lampwright:layer") == layer]
        self.query("AuthorizeSecurityGroupIngress", GroupId=groups[0], **{"IpPermissions.1.IpProtocol": "tcp", "IpPermissions.1.FromPort": port,
                   "IpPermissions.1.ToPort": port, "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0"})

    def user_data(self, wanted):
        text = self.query("DescribeInstanceAttribute", InstanceId=wanted.ident, Attribute="userData").findtext("userData/value")
        return base64.b64decode(text) if text else b""


class OpenStack:
    """Nova, Neutron and Cinder, as the administrator of the test bed."""

    def __init__(self, openrc):
        text = open(openrc).read()
        self.rc = dict(re.findall(r"(OS_\w+)=(\S+)", text))
        self.token = None

    def login(self):
        domain = {"name": "Default"}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": self.rc["OS_USERNAME"], "domain": domain, "password": self.rc["OS_PASSWORD"]}}},
                         "scope": {"project": {"name": self.rc["OS_PROJECT_NAME"], "domain": domain}}}}
        request = urllib.request.Request(self.rc["OS_AUTH_URL"] + "/auth/tokens", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.token = answer.headers["X-Subject-Token"]
            token = json.load(answer)["token"]
        self.user, catalog = token["user"]["id"], token["catalog"]
        self.urls = {entry["type"]: entry["endpoints"][0]["url"] for entry in catalog if entry["endpoints"]}

    def get(self, service, path):
        return self.call("GET", service, path)

    def call(self, method, service, path, body=None):
        for last in (False, True):
            if not self.token:
                self.login()
            headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
            if service == "compute":
                headers["OpenStack-API-Version"] = "compute 2.90"
            request = urllib.request.Request(self.urls[service] + path, method=method, headers=headers, data=json.dumps(body).encode() if body else None)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 401 or last:
                    raise
                self.token = None

    def wanted(self):
        servers = [server for server in self.get("compute", "/servers/detail?all_tenants=1")["servers"] if server["status"] in ("ACTIVE", "SHUTOFF", "RESIZE", "VERIFY_RESIZE")]
        if not servers:
            self.details = {}
            return []
        ports = self.get("network", "/v2.0/ports")["ports"]
        rules = {}
        for rule in self.get("network", "/v2.0/security-group-rules")["security_group_rules"]:
            if rule["direction"] == "ingress" and rule["ethertype"] == "IPv4":
                rules.setdefault(rule["security_group_id"], []).append(rule)
        floating = {}
        for address in self.get("network", "/v2.0/floatingips")["floatingips"]:
            if address["port_id"]:
                floating.setdefault(address["port_id"], []).append(address["floating_ip_address"])
        images = {image["id"]: image["name"] for image in self.get("image", "/v2/images?limit=500")["images"]}
        members = {}
        for port in ports:
            for group in port["security_groups"]:
                members.setdefault(group, []).extend(entry["ip_address"] for entry in port["fixed_ips"])
        self.details = {server["id"]: server for server in servers}
        found = []
        for server in servers:
            own = [port for port in ports if port["device_id"] == server["id"]]
            addresses = [entry["ip_address"] for port in own for entry in port["fixed_ips"]] + [address for port in own for address in floating.get(port["id"], [])]
            ingress = []
            for rule in [rule for port in own for group in port["security_groups"] for rule in rules.get(group, [])]:
                protocol = rule["protocol"] or "-1"
                low, high = rule["port_range_min"], rule["port_range_max"]
                sources = [rule["remote_ip_prefix"]] if rule["remote_ip_prefix"] else [a + "/32" for a in members.get(rule["remote_group_id"], [])] if rule["remote_group_id"] else ["0.0.0.0/0"]
                ingress += [(protocol, low and str(low), high and str(high), source) for source in sources]
            disks = [(volume["id"], 2) for volume in server.get("os-extended-volumes:volumes_attached", [])]
            found.append(Wanted(server["id"], server["name"], server["status"] == "ACTIVE", addresses, images.get((server["image"] or {}).get("id"), ""), "/dev/vdb", disks, sorted(set(ingress), key=str)))
        return found

    def kept(self):
        images = self.get("image", "/v2/images?limit=500")["images"]
        return [Kept(image["id"], image["name"], image["instance_uuid"], image["status"] == "active") for image in images if image.get("instance_uuid")]

    def finish(self, kept):
        """What a hypervisor does once it has copied the disk; the fake one of the test bed does nothing."""
        formats = [{"op": "add", "path": "/" + name, "value": value} for name, value in (("disk_format", "raw"), ("container_format", "bare"))]
        for method, path, kind, body in (("PATCH", "", "application/openstack-images-v2.1-json-patch", json.dumps(formats).encode()),
                                         ("PUT", "/file", "application/octet-stream", b"the disk is with the watcher")):
            request = urllib.request.Request(self.urls["image"] + "/v2/images/" + kept.ident + path, method=method, data=body, headers={"X-Auth-Token": self.token, "Content-Type": kind})
            urllib.request.urlopen(request, timeout=30).close()

    # -- what a person might do by hand, for tests

    def application_credential(self):
        self.login()
        self.urls["identity"] = self.rc["OS_AUTH_URL"]
        body = {"application_credential": {"name": "lampwright-%f" % time.time()}}
        made = self.call("POST", "identity", "/users/%s/application_credentials" % self.user, body)["application_credential"]
        return {"auth_url": self.rc["OS_AUTH_URL"], "id": made["id"], "secret": made["secret"]}

    def baked(self):
        return [image.name for image in self.kept()]

    def discard(self):
        for image in self.kept():
            self.call("DELETE", "image", "/v2/images/" + image.ident)

    def power_off(self, scope, name):
        ident = self.of_scope(scope)[name][0]["id"]
        self.call("POST", "compute", "/servers/%s/action" % ident, {"os-stop": None})
        while self.get("compute", "/servers/" + ident)["server"]["status"] != "SHUTOFF":
            time.sleep(0.2)

    def forget(self, scope, name):
        disk = self.of_scope(scope)[name][0]["disk"]
        self.detach(scope, name)
        self.call("DELETE", "block-storage", "/volumes/" + disk)
        while any(volume["id"] == disk for volume in self.get("block-storage", "/volumes")["volumes"]):
            time.sleep(0.2)

    def of_scope(self, scope):
        found = {}
        for server in self.get("compute", "/servers/detail")["servers"]:
            if server["metadata"].get("lampwright_scope", "").startswith(scope) and server["OS-EXT-STS:task_state"] != "deleting":
                name = "%s-%s" % (server["metadata"]["lampwright_layer"], server["metadata"]["lampwright_id"])
                addresses = {entry["OS-EXT-IPS:type"]: entry["addr"] for network in server["addresses"].values() for entry in network}
                disk = [volume["id"] for volume in server["os-extended-volumes:volumes_attached"]]
                found.setdefault(name, []).append({"id": server["id"], "address": addresses.get("fixed"), "public": addresses.get("floating"), "disk": disk[0] if disk else None, "size": server["flavor"].get("original_name", server["flavor"].get("id"))})
        return found

    def list(self, scope):
        ours = lambda item: item["metadata"].get("lampwright_scope", "").startswith(scope)
        groups = self.get("network", "/v2.0/security-groups")["security_groups"]
        balancers = self.get("load-balancer", "/v2.0/lbaas/loadbalancers")["loadbalancers"]
        return {"machines": self.of_scope(scope),
                "disks": [volume["id"] for volume in self.get("block-storage", "/volumes/detail")["volumes"] if ours(volume)],
                "groups": [group["name"] for group in groups if group["description"].startswith("lampwright " + scope)],
                "others": [address["id"] for address in self.get("network", "/v2.0/floatingips")["floatingips"] if address["description"].startswith("lampwright " + scope)]
                        + [{"host": balancer["vip_address"], "targets": self.targets(balancer)} for balancer in balancers if balancer["description"].startswith("lampwright " + scope)]}

    def targets(self, balancer):
        pools = [pool["id"] for pool in balancer["pools"]]
        return sorted(member["address"] for pool in pools for member in self.get("load-balancer", "/v2.0/lbaas/pools/%s/members" % pool)["members"])

    def terminate(self, scope, name):
        ident = self.of_scope(scope)[name][0]["id"]
        self.call("DELETE", "compute", "/servers/" + ident)
        while any(server["id"] == ident for server in self.get("compute", "/servers")["servers"]):
            time.sleep(0.2)

    def detach(self, scope, name):
        machine = self.of_scope(scope)[name][0]
        self.call("DELETE", "compute", "/servers/%s/os-volume_attachments/%s" % (machine["id"], machine["disk"]))
        while self.get("block-storage", "/volumes/" + machine["disk"])["volume"]["status"] != "available":
            time.sleep(0.2)

    def open(self, scope, layer, port):
        groups = [group for group in self.get("network", "/v2.0/security-groups")["security_groups"]
                  if group["description"].startswith("lampwright " + scope) and group["description"].endswith("/" + layer)]
        self.call("POST", "network", "/v2.0/security-group-rules", {"security_group_rule": {"security_group_id": groups[0]["id"], "direction": "ingress",
                  "ethertype": "IPv4", "protocol": "tcp", "port_range_min": int(port), "port_range_max": int(port), "remote_ip_prefix": "0.0.0.0/0"}})

    def user_data(self, wanted):
        text = self.details[wanted.ident].get("OS-EXT-SRV-ATTR:user_data")
        return base64.b64decode(text) if text else b""


if __name__ == "__main__":
    kind, where, operation, *arguments = sys.argv[1:]
    api = {"aws": Aws, "openstack": OpenStack}[kind](where)
    print(json.dumps(getattr(api, operation)(*arguments)))
