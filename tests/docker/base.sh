#!/bin/bash
# Makes the image that the tests of containers run their engine in: Debian with a Python, and nothing of ours. It is
# made from Debian's packages, since a registry is not always to be had. Root, debootstrap and a Docker engine are needed.
set -euo pipefail

image=viiwork-engine-test:bookworm
docker info > /dev/null || { echo "make: the Docker engine does not answer; start it (systemctl start docker)." >&2; exit 1; }
docker image inspect "$image" > /dev/null 2>&1 && exit 0
command -v debootstrap > /dev/null || { echo "make: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3-minimal,libpython3-stdlib bookworm "$root" > "$root.log" 2>&1 ||
  { tail -5 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | docker import - "$image" > /dev/null
