#!/bin/sh
# Runs once, at a machine's first boot, from its user-data. Notes every phase in /var/lib/lampwright/phases; the last
# line is "ready", or "failed: " and why. @NAME@ is replaced before it is sent.
set -u
state=/var/lib/lampwright
disk_id=@DISK_ID@
mkdir -p "$state"
phase() { echo "$(cut -d' ' -f1 /proc/uptime) $*" >> "$state/phases"; }
fail() { phase "failed: $*"; exit 1; }

account() {
  id lampwright-run >/dev/null 2>&1 || useradd --system --home-dir "$state" --shell /usr/sbin/nologin lampwright-run || fail "the account lampwright-run could not be made"
  mkdir -p "$state/machine"
  # Root's: the account writes only in what is made for it below.
  chown root:lampwright-run "$state/machine"
  chmod 750 "$state/machine"
}

has() { # program: also with a version at its end, or a module of PHP
  case $1 in *.so) ls /usr/lib/php/*/"$1" >/dev/null 2>&1 && return ;; esac
  for place in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    for found in "$place/$1" "$place/$1"[0-9]*; do [ -x "$found" ] && return; done
  done
  return 1
}

# What no distribution has: program, URL and SHA-256 on each line. Whatever has another digest is not unpacked.
archives() {
  printf %s @ARCHIVES@ | while read -r program url digest; do
    has "$program" && continue
    phase "fetching $program from $url"
    rm -rf "$state/archive" && mkdir -p "$state/archive/files" || fail "$state/archive could not be made"
    tries=0
    until python3 -c 'import shutil, sys, urllib.request; shutil.copyfileobj(urllib.request.urlopen(sys.argv[1], timeout=60), open(sys.argv[2], "wb"))' "$url" "$state/archive/it" 2>"$state/archive/log"; do
      tries=$((tries + 1))
      [ $tries -lt 3 ] || fail "$url could not be fetched: $(tail -n 1 "$state/archive/log")"
      sleep 3
    done
    found=$(sha256sum < "$state/archive/it" | cut -d' ' -f1)
    [ "$found" = "$digest" ] || fail "$url has the SHA-256 $found, and $digest is required"
    tar -xf "$state/archive/it" -C "$state/archive/files" || fail "$url could not be unpacked"
    file=$(find "$state/archive/files" -type f -name "$program" | head -n 1)
    [ -n "$file" ] || fail "$url has no file $program"
    install -m 755 "$file" /usr/local/bin/ || fail "$program could not be installed"
    rm -rf "$state/archive"
    said=$("/usr/local/bin/$program" --version 2>&1) || fail "$program of $url does not run here: $(echo "$said" | head -n 1)"
  done
}

# Only what is missing, and without starting what is installed: a service runs with its configuration, or not at all.
packages() {
  missing=
  for pair in @PROGRAMS@; do has "${pair%%:*}" || missing="$missing ${pair#*:}"; done
  [ -n "$missing" ] || return 0
  phase "installing$missing"
  command -v apt-get >/dev/null || fail "missing:$missing. Only images of Debian and Ubuntu install packages; use an image that has them"
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  export DEBIAN_FRONTEND=noninteractive
  tries=0
  until apt-get -o DPkg::Lock::Timeout=300 update -qq >"$state/apt.log" 2>&1 && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >>"$state/apt.log" 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 3 ] || fail "$missing could not be installed: $(grep -m1 '^E:' "$state/apt.log" || tail -n 1 "$state/apt.log")"
    sleep 3
  done
  rm -f /usr/sbin/policy-rc.d
  for unit in @UNITS@; do
    for file in /lib/systemd/system/$unit.service; do [ -e "$file" ] && systemctl disable --now "$(basename "$file")" >/dev/null 2>&1; done
  done
  return 0
}

# Whole disks that could be the data disk. One whose id is known is found by it, and only after two minutes, where a
# hypervisor shows no ids, by elimination; on EC2 it is a disk of EBS that is not the root's.
candidates() {
  root=$(findmnt -n -o SOURCE / 2>/dev/null)
  if [ "$disk_id" != - ]; then
    for found in /dev/disk/by-id/*"$disk_id"; do echo "$found"; done
    [ "$1" -ge 120 ] || return 0
    echo /dev/vdb
    return 0
  fi
  echo /dev/sdf
  echo /dev/xvdf
  for found in /dev/nvme*n1; do
    case $root in "$found"*) continue ;; esac
    grep -q 'Amazon Elastic Block Store' "/sys/block/${found#/dev/}/device/model" 2>/dev/null && echo "$found"
  done
}

# Formatted only if it holds nothing at all.
disk() {
  [ "@DISK@" = yes ] || return 0
  phase "looking for the data disk"
  waited=0
  device=
  while [ -z "$device" ]; do
    for found in $(candidates $waited); do
      [ -b "$found" ] || continue
      found=$(readlink -f "$found")
      grep -q "^$found" /proc/mounts && continue
      [ -z "$(blkid -p -s PTTYPE -o value "$found" 2>/dev/null)" ] || continue
      device=$found
      break
    done
    waited=$((waited + 1))
    [ -n "$device" ] || [ $waited -lt 300 ] || fail "the data disk was not attached within 300 s"
    [ -n "$device" ] || sleep 1
  done
  kind=$(blkid -p -s TYPE -o value "$device")
  case $? in
    0) [ "$kind" = ext4 ] || fail "the data disk $device holds $kind, which is not what this machine would have made; nothing was formatted" ;;
    2) phase "formatting the data disk"; mkfs.ext4 -q -L lampwright-data -m 1 "$device" || fail "the data disk $device could not be formatted" ;;
    *) fail "the data disk $device could not be looked at; nothing was formatted" ;;
  esac
  # Below the disk it stays root's: without the disk nobody can write here by mistake.
  mkdir -p "$state/machine/data"
  printf 'LABEL=lampwright-data %s ext4 defaults,nofail,x-systemd.device-timeout=60 0 2\n' "$state/machine/data" >> /etc/fstab
  mount "$device" "$state/machine/data" || fail "the data disk $device could not be mounted"
  resize2fs "$device" >/dev/null 2>&1
  chown -R lampwright-run: "$state/machine/data"
}

# A second boot finds its work done.
tail -n 1 "$state/phases" 2>/dev/null | grep -q ' ready$' && exit 0
phase "booted"
account
archives || exit 1
packages
disk
phase "ready"
