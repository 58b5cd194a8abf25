#!/usr/bin/env bash
# Ends what up.sh started.
root=${AWS_ROOT:-/var/cache/lampwright/testbeds/aws}
[ -e "$root/pid" ] || exit 0
pid=$(cat "$root/pid")
if tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF "$root/"; then kill "$pid"; fi
rm -f "$root/pid"
