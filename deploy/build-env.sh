#!/usr/bin/env bash
# Makes the files of variables in deploy/env and the keys in deploy/secrets, whose secrets are random; what is there stays.
# Arguments go to `lucid-ops env generate`, such as `--members pi-1:27017,pi-2:27017,pi-3:27017`.
set -euo pipefail
deploy=$(cd "$(dirname "$0")" && pwd)
image=pickme/lucid:database-backup

# The program of the PATH, or one that was built here, or that of the image.
made=
for program in lucid-ops "$deploy/../target/release/lucid-ops" "$deploy/../target/debug/lucid-ops"; do
    if [ -z "$made" ] && command -v "$program" >/dev/null; then
        "$program" env generate --dir "$deploy/env" "$@"
        made=yes
    fi
done
if [ -z "$made" ] && command -v docker >/dev/null && docker image inspect "$image" >/dev/null 2>&1; then
    docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$deploy:/deploy" "$image" env generate --dir /deploy/env "$@"
    made=yes
fi
if [ -z "$made" ]; then
    echo "build-env.sh: there is no lucid-ops: build it (cargo build --release -p lucid-ops), or the image $image" >&2
    exit 2
fi

# Containers run as user 65532, and mongod takes a key from its own user only.
if [ "$(id -u)" = 0 ]; then
    chown 65532:65532 "$deploy"/secrets/*.key
else
    echo "build-env.sh: for containers, give the keys to their user: sudo chown 65532:65532 $deploy/secrets/*.key"
fi
