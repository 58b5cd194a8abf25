#!/bin/bash
# Real OpenStack 2025.1 control plane on 127.0.0.1, no root services, no RabbitMQ, no agents.
#   up.sh            install (once), build database template (once), start, seed
#   OS_ROOT=~/.cache/lampwright/openstack  PORT_BASE=15000  COMPUTES="cmp1 cmp2 cmp3"
# needs: python3.11 + venv, mariadb-server-core + mariadb-client-core (apt), curl
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
R=${OS_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/lampwright/openstack}; V=$R/venv; RUN=$R/run; T=$R/template
B=${PORT_BASE:-15000}
COMPUTES=${COMPUTES:-cmp1 cmp2 cmp3}
P_KEY=$((B+0)) P_GLA=$((B+1)) P_PLA=$((B+2)) P_NOV=$((B+3)) P_MET=$((B+4)) P_NEU=$((B+5)) P_CIN=$((B+6)) P_OCT=$((B+7))
PY=$V/bin/python; SOCK=$RUN/mysql.sock; ADMIN_PW=adminpw; SVC_PW=svcpw; DEMO_PW=demopw
PYBASE=${PYTHON:-python3}
say() { printf '%s %s\n' "$(date +%T.%1N)" "$*"; }

install() {
  [ -x "$V/bin/nova-manage" ] && [ -e "$V/.done" ] && return
  say install
  command -v mariadbd >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null
  "$PYBASE" -m venv "$V"
  "$V/bin/pip" install -q -r "$HERE/requirements.lock"
  touch "$V/.done"
}

# ---- configuration ---------------------------------------------------------
db() { echo "mysql+pymysql://root@localhost/$1?unix_socket=$SOCK&charset=utf8mb3"; }
authtok() { cat <<X
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:$P_KEY/v3
auth_url = http://127.0.0.1:$P_KEY/v3
auth_type = password
username = svc
password = $SVC_PW
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
service_token_roles = service
service_token_roles_required = true
memcached_servers =
X
}
client() { # section, extra lines on stdin
cat <<X
[$1]
auth_url = http://127.0.0.1:$P_KEY/v3
auth_type = password
username = svc
password = $SVC_PW
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = RegionOne
X
cat; }
common() { cat <<X
[DEFAULT]
debug = ${OS_DEBUG:-False}
transport_url = fake://
host = ctl
state_path = $RUN/state/$1
[oslo_concurrency]
lock_path = $RUN/state/$1/lock
[oslo_messaging_notifications]
driver = noop
X
}
config() {
  local E=$RUN/etc; mkdir -p "$E"/{keystone,glance,placement,nova,neutron,cinder,octavia} "$RUN"/{log,pid,images,plugin/fakebind-0.1.dist-info}
  for s in keystone glance placement nova neutron cinder octavia; do mkdir -p "$RUN/state/$s/lock"; done
  { cat <<X
[DEFAULT]
public_endpoint = http://127.0.0.1:$P_KEY/
[database]
connection = $(db keystone)
[token]
provider = fernet
expiration = ${TOKEN_TTL:-3600}
[fernet_tokens]
key_repository = $RUN/state/keystone/fernet
[credential]
key_repository = $RUN/state/keystone/cred
[fernet_receipts]
key_repository = $RUN/state/keystone/fernet
[cache]
enabled = true
backend = dogpile.cache.memory
[api]
response_validation = ignore
[identity]
password_hash_rounds = 4
X
  } > "$E/keystone/keystone.conf"
  cp "$V/etc/glance/glance-api-paste.ini" "$E/glance/"
  { common glance; authtok; cat <<X
[database]
connection = $(db glance)
[paste_deploy]
flavor = keystone
[DEFAULT]
enabled_backends = file:file
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $RUN/images
[os_glance_tasks_store]
filesystem_store_datadir = $RUN/state/glance/tasks
[os_glance_staging_store]
filesystem_store_datadir = $RUN/state/glance/staging
X
  } > "$E/glance/glance-api.conf"
  mkdir -p "$RUN/state/glance"/{tasks,staging}
  { authtok; cat <<X
[DEFAULT]
debug = ${OS_DEBUG:-False}
[api]
auth_strategy = keystone
[placement_database]
connection = $(db placement)
X
  } > "$E/placement/placement.conf"
  cp "$V/etc/nova/api-paste.ini" "$E/nova/"
  { common nova; authtok; cat <<X
[DEFAULT]
compute_driver = fake.FakeDriver
my_ip = 127.0.0.1
enabled_apis = osapi_compute,metadata
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = $P_NOV
metadata_listen = 127.0.0.1
metadata_listen_port = $P_MET
osapi_compute_workers = 1
metadata_workers = 1
vif_plugging_is_fatal = False
vif_plugging_timeout = 0
allow_resize_to_same_host = True
report_interval = 5
service_down_time = 60
instances_path = $RUN/state/nova/instances
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = $E/nova/api-paste.ini
[api_database]
connection = $(db nova_api)
[database]
connection = $(db nova)
[scheduler]
workers = 1
[conductor]
workers = 1
[filter_scheduler]
enabled_filters = ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter
track_instance_changes = False
[glance]
api_servers = http://127.0.0.1:$P_GLA
[cinder]
os_region_name = RegionOne
catalog_info = volumev3::publicURL
[vnc]
enabled = False
X
    : | client placement
    printf 'service_metadata_proxy = True\nmetadata_proxy_shared_secret = metasecret\n' | client neutron
    printf 'send_service_user_token = True\n' | client service_user
    : | client cinder
  } > "$E/nova/nova.conf"
  cp "$V/etc/neutron/api-paste.ini" "$E/neutron/"
  { common neutron; authtok; cat <<X
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $P_NEU
core_plugin = ml2
service_plugins = router
api_workers = 1
rpc_workers = 0
rpc_state_report_workers = 0
auth_strategy = keystone
api_paste_config = $E/neutron/api-paste.ini
dhcp_agent_notification = False
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
allow_overlapping_ips = True
[database]
connection = $(db neutron)
[ml2]
type_drivers = flat,vlan,vxlan
tenant_network_types = vxlan
mechanism_drivers = fakebind
extension_drivers = port_security
[ml2_type_flat]
flat_networks = *
[ml2_type_vxlan]
vni_ranges = 1:1000
[securitygroup]
enable_security_group = True
X
  } > "$E/neutron/neutron.conf"
  cp "$V/etc/cinder/"{api-paste.ini,resource_filters.json} "$E/cinder/"
  { common cinder; authtok; cat <<X
[DEFAULT]
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = $P_CIN
osapi_volume_workers = 1
auth_strategy = keystone
api_paste_config = $E/cinder/api-paste.ini
resource_query_filters_file = $E/cinder/resource_filters.json
enabled_backends = fake
glance_api_servers = http://127.0.0.1:$P_GLA
default_volume_type = fake
service_down_time = 86400
my_ip = 127.0.0.1
[database]
connection = $(db cinder)
[coordination]
backend_url = file://$RUN/state/cinder/coord
[fake]
volume_driver = nullvol.NullVolumeDriver
volume_backend_name = fake
X
    : | client nova
    printf 'send_service_user_token = True\n' | client service_user
  } > "$E/cinder/cinder.conf"
  { common octavia; authtok; cat <<X
[database]
connection = $(db octavia)
[api_settings]
bind_host = 127.0.0.1
bind_port = $P_OCT
auth_strategy = keystone
enabled_provider_drivers = amphora:noop compute and network
default_provider_driver = amphora
[oslo_messaging]
topic = octavia_prov
[controller_worker]
workers = 1
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
image_driver = image_noop_driver
volume_driver = volume_noop_driver
amp_image_tag = amphora
amp_flavor_id = 1
amp_boot_network_list = 11111111-1111-1111-1111-111111111111
amp_active_wait_sec = 1
loadbalancer_topology = SINGLE
client_ca = $RUN/state/octavia/ca.pem
[health_manager]
heartbeat_key = none
bind_ip = 127.0.0.1
controller_ip_port_list = 127.0.0.1:$((B+8))
[certificates]
cert_manager = noop_cert_manager
ca_certificate = $RUN/state/octavia/ca.pem
ca_private_key = $RUN/state/octavia/ca.key
ca_private_key_passphrase = passphrase
server_certs_key_passphrase = insecure-key-do-not-use-this-key
X
    : | client service_auth
  } > "$E/octavia/octavia.conf"
  openssl req -x509 -newkey rsa:2048 -passout pass:passphrase -subj /CN=octavia-test -days 30 \
    -keyout "$RUN/state/octavia/ca.key" -out "$RUN/state/octavia/ca.pem" 2>/dev/null
  cat > "$RUN/plugin/fakebind.py" <<'X'
"""ML2 mechanism driver without an agent: every port binds, and is ACTIVE."""
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class FakeBind(api.MechanismDriver):
    def initialize(self):
        pass

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        for seg in context.segments_to_bind:
            context.set_binding(seg[api.ID], portbindings.VIF_TYPE_OVS,
                                {portbindings.CAP_PORT_FILTER: True},
                                status=constants.PORT_STATUS_ACTIVE)
            return
X
  cat > "$RUN/plugin/nullvol.py" <<'X'
"""Cinder backend that stores nothing: state only."""
from cinder import interface
from cinder.volume import driver


@interface.volumedriver
class NullVolumeDriver(driver.VolumeDriver):
    VERSION = "1"

    def check_for_setup_error(self):
        pass

    def _noop(self, *a, **k):
        pass

    create_volume = delete_volume = extend_volume = _noop
    create_snapshot = delete_snapshot = _noop
    create_cloned_volume = create_volume_from_snapshot = _noop
    ensure_export = create_export = remove_export = _noop
    terminate_connection = copy_image_to_volume = _noop

    def clone_image(self, *a, **k):  # "done by the backend": no qemu-img needed
        return {}, True

    def initialize_connection(self, volume, connector, **kw):
        return {"driver_volume_type": "iscsi",
                "data": {"target_iqn": "iqn.2025-01.test:" + volume.id,
                         "target_portal": "127.0.0.1:3260", "target_lun": 1,
                         "volume_id": volume.id, "access_mode": "rw"}}

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": "fake", "vendor_name": "none",
            "driver_version": self.VERSION, "storage_protocol": "iSCSI",
            "pools": [{"pool_name": "fake", "total_capacity_gb": "infinite",
                       "free_capacity_gb": "infinite",
                       "provisioned_capacity_gb": 0,
                       "reserved_percentage": 0}]}
X
  # The services' own client takes a token as ended two minutes before it does; where tokens live for one minute (TOKEN_TTL)
  # every service would log in at every request.
  cat > "$RUN/plugin/sitecustomize.py" <<'X'
import keystoneauth1.identity.base as base

base.BaseIdentityPlugin.MIN_TOKEN_LIFE_SECONDS = 10
X
  printf 'Metadata-Version: 2.1\nName: fakebind\nVersion: 0.1\n' > "$RUN/plugin/fakebind-0.1.dist-info/METADATA"
  printf '[neutron.ml2.mechanism_drivers]\nfakebind = fakebind:FakeBind\n' > "$RUN/plugin/fakebind-0.1.dist-info/entry_points.txt"
}

# ---- processes -------------------------------------------------------------
start() { local n=$1; shift; PYTHONPATH=$RUN/plugin setsid nohup "$@" >"$RUN/log/$n.log" 2>&1 </dev/null & echo $! > "$RUN/pid/$n"; }
mysql_up() {
  start mysql mariadbd --no-defaults --user="$(id -un)" --datadir="$RUN/mysql" --socket="$SOCK" --pid-file="$RUN/mysql.pid" \
    --skip-networking --skip-log-bin --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-flush-method=nosync --sync-binlog=0 \
    --innodb-buffer-pool-size=192M --innodb-log-file-size=64M --max-connections=400 --performance-schema=OFF --skip-name-resolve
  for _ in $(seq 200); do mariadb --no-defaults -uroot -S "$SOCK" -e 'SELECT 1' >/dev/null 2>&1 && return; sleep 0.1; done; return 1
}
mysql_down() { mariadb --no-defaults -uroot -S "$SOCK" -e SHUTDOWN; for _ in $(seq 100); do [ -e "$RUN/mysql.pid" ] || break; sleep 0.1; done; }

template() {
  [ -e "$T/.done" ] && return
  say "template: databases"
  rm -rf "$T" "$RUN"; config
  mkdir -p "$RUN/mysql"
  mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$RUN/mysql" --auth-root-authentication-method=normal --skip-test-db >"$RUN/log/install-db.log" 2>&1
  mysql_up
  for d in keystone glance placement nova_api nova nova_cell0 neutron cinder octavia; do echo "CREATE DATABASE $d CHARACTER SET utf8mb3;"; done | mariadb --no-defaults -uroot -S "$SOCK"
  local E=$RUN/etc b=$V/bin L=$RUN/log pids=()
  job() { local n=$1; shift; ( s=$(date +%s.%N); "$@" >"$L/sync-$n.log" 2>&1 || { echo "FAILED $n"; tail -5 "$L/sync-$n.log"; exit 1; }; say "  $n $(awk -v a=$s -v b=$(date +%s.%N) 'BEGIN{printf "%.1fs",b-a}')" ) & pids+=($!); }
  k() { $b/keystone-manage --config-file $E/keystone/keystone.conf "$@"; }
  n() { $b/nova-manage --config-file $E/nova/nova.conf "$@"; }
  keyst() { k fernet_setup --keystone-user root --keystone-group root && k credential_setup --keystone-user root --keystone-group root && k db_sync &&
    k bootstrap --bootstrap-password $ADMIN_PW --bootstrap-region-id RegionOne --bootstrap-{admin,internal,public}-url=http://127.0.0.1:$P_KEY/v3; }
  novas() { n api_db sync && n cell_v2 map_cell0 --database_connection "$(db nova_cell0)" && n db sync &&
    n cell_v2 create_cell --name cell1 --transport-url fake:// --database_connection "$(db nova)"; }
  neut() { PYTHONPATH=$RUN/plugin $b/neutron-db-manage --config-file $E/neutron/neutron.conf upgrade heads; }
  job nova novas; job neutron neut
  job keystone keyst; job cinder $b/cinder-manage --config-file $E/cinder/cinder.conf db sync
  job octavia $b/octavia-db-manage --config-file $E/octavia/octavia.conf upgrade head
  job glance env $b/glance-manage --config-file $E/glance/glance-api.conf db_sync
  job placement $b/placement-manage --config-file $E/placement/placement.conf db sync
  local rc=0; for p in "${pids[@]}"; do wait $p || rc=1; done; [ $rc = 0 ]
  mysql_down
  mkdir -p "$T"; cp -a "$RUN/mysql" "$T/mysql"; cp -a "$RUN/state/keystone" "$T/keystone"; touch "$T/.done"
  rm -rf "$RUN"
  say "template done"
}

install
template
[ -e "$RUN/pid" ] && { echo "already up? run down.sh first"; exit 1; }
say start
config
cp -a "$T/mysql" "$RUN/mysql"; cp -a "$T/keystone/." "$RUN/state/keystone/"
mysql_up
E=$RUN/etc
start keystone  "$PY" "$HERE/launch.py" keystone  "$E" $P_KEY
start placement "$PY" "$HERE/launch.py" placement "$E" $P_PLA
for _ in $(seq 300); do curl -fs -o /dev/null http://127.0.0.1:$P_KEY/v3 && break; sleep 0.1; done
say "keystone up"
P_KEY=$P_KEY P_GLA=$P_GLA P_PLA=$P_PLA P_NOV=$P_NOV P_NEU=$P_NEU P_CIN=$P_CIN P_OCT=$P_OCT ADMIN_PW=$ADMIN_PW SVC_PW=$SVC_PW DEMO_PW=$DEMO_PW \
  "$PY" "$HERE/seed.py" identity
start neutron "$V/bin/neutron-server" --config-file "$E/neutron/neutron.conf"
start nova    "$PY" "$HERE/launch.py" nova "$E" $P_NOV $COMPUTES
start cinder  "$PY" "$HERE/launch.py" cinder "$E" $P_CIN
start glance  "$PY" "$HERE/launch.py" glance "$E" $P_GLA
start octavia "$PY" "$HERE/launch.py" octavia "$E" $P_OCT
P_KEY=$P_KEY P_GLA=$P_GLA P_PLA=$P_PLA P_NOV=$P_NOV P_NEU=$P_NEU P_CIN=$P_CIN P_OCT=$P_OCT ADMIN_PW=$ADMIN_PW SVC_PW=$SVC_PW DEMO_PW=$DEMO_PW RUN=$RUN \
  "$PY" "$HERE/seed.py" resources
cat > "$RUN/openrc" <<X
export OS_AUTH_URL=http://127.0.0.1:$P_KEY/v3 OS_USERNAME=demo OS_PASSWORD=$DEMO_PW OS_PROJECT_NAME=demo OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=RegionOne OS_IDENTITY_API_VERSION=3
X
sed 's/OS_USERNAME=demo/OS_USERNAME=admin/;s/OS_PASSWORD=[^ ]*/OS_PASSWORD='$ADMIN_PW'/;s/OS_PROJECT_NAME=demo/OS_PROJECT_NAME=admin/' "$RUN/openrc" > "$RUN/adminrc"
say "up: source $RUN/openrc"
