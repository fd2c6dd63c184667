#!/bin/bash
# Prints the images that the compose fleet is built from and run on: PYTHON_IMAGE VALKEY_IMAGE NETWORK. Those of compose.yaml
# where they can be had, else one stand-in for both, made of Debian's packages and kept for the next time. What was
# replaced is said on standard error. For a stand-in root and debootstrap are needed.
set -euo pipefail

python=python:3.11-slim
valkey=valkey/valkey:8.1-alpine
stand_in=viiwork-test-base:trixie
docker info > /dev/null || { echo "make: the Docker engine does not answer; start it (systemctl start docker)." >&2; exit 1; }

has() { docker image inspect "$1" > /dev/null 2>&1 || timeout 300 docker pull --quiet "$1" > /dev/null 2>&1; }

make_stand_in() {
  docker image inspect "$stand_in" > /dev/null 2>&1 && return
  command -v debootstrap > /dev/null || { echo "make: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
  root=$(mktemp -d)
  trap 'rm -rf "$root" "$root.log"' EXIT
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,valkey-server,valkey-tools trixie "$root" \
    > "$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 1; }
  chroot "$root" install --directory --owner valkey --mode 700 /data
  # a package index may be reached through somebody's certificate: what pip goes by here, it goes by inside
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/"; fi
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | docker import --change 'CMD ["python3"]' \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$stand_in" > /dev/null
}

if has "$python" && has "$valkey"; then
  echo "$python $valkey default"
else
  make_stand_in
  echo "compose-test: $python or $valkey could not be pulled. In their place stands $stand_in, made of Debian's packages:" \
    "$(docker run --rm --network none "$stand_in" sh -c 'python3 --version; valkey-server --version | cut -d" " -f1-3' | tr '\n' ' ')" >&2
  echo "$stand_in $stand_in host"
fi
