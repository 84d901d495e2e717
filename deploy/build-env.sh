#!/usr/bin/env bash
# Makes the files of variables in deploy/env and the key of the replica set in deploy/secrets, whose secrets are random; what is there stays.
# Arguments go to `lucid-ops env generate`, such as `--members pi-1:27017,pi-2:27017,pi-3:27017`.
set -euo pipefail
deploy=$(cd "$(dirname "$0")" && pwd)
image=pickme/lucid:database-backup

# The program of the PATH, or one that was built here, or that of the image.
for program in lucid-ops "$deploy/../target/release/lucid-ops" "$deploy/../target/debug/lucid-ops"; do
    if command -v "$program" >/dev/null; then
        exec "$program" env generate --dir "$deploy/env" "$@"
    fi
done
if command -v docker >/dev/null && docker image inspect "$image" >/dev/null 2>&1; then
    exec docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$deploy:/deploy" "$image" env generate --dir /deploy/env "$@"
fi
echo "build-env.sh: there is no lucid-ops: build it (cargo build --release -p lucid-ops), or the image $image" >&2
exit 2
