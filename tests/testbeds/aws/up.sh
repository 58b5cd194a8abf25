#!/usr/bin/env bash
# moto's server on loopback, with the checks that it can make, and the images that machines boot from.
#   AWS_ROOT=/var/cache/lampwright/testbeds/aws   AWS_PORT=15600
# needs: python3 with venv
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=${AWS_ROOT:-/var/cache/lampwright/testbeds/aws}
port=${AWS_PORT:-15600}
venv=$root/venv-$(sha256sum "$here/requirements.lock" | cut -c1-12)
if [ ! -e "$venv/.done" ]; then
  rm -rf "$venv"
  mkdir -p "$root"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r "$here/requirements.lock"
  touch "$venv/.done"
fi
MOTO_EC2_LOAD_DEFAULT_AMIS=false MOTO_ENABLE_AMI_VALIDATION=1 MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=1 MOTO_ENABLE_KEYPAIR_VALIDATION=1 \
  setsid "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$root/log" 2>&1 </dev/null &
echo $! > "$root/pid"
for _ in $(seq 100); do curl -s -o /dev/null "http://127.0.0.1:$port/" && break; sleep 0.1; done
python3 - "http://127.0.0.1:$port/" "$here/.." <<'PY'
import sys
sys.path.insert(0, sys.argv[2])
from apis import Aws
aws = Aws(sys.argv[1])
for name in ("debian-12-amd64-20261101", "lamp-debian-12-20261101"):
    aws.query("RegisterImage", Name=name, Architecture="x86_64", RootDeviceName="/dev/xvda", VirtualizationType="hvm")
PY
echo "up: http://127.0.0.1:$port"
