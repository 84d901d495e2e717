#!/usr/bin/env bash
# Says by its exit code whether a mongod answers: 0 or 1. Nobody logs in for it.
# usage: mongodb-health.sh [HOST:PORT]
set -euo pipefail
address=${1:-127.0.0.1:27017}

if command -v lucid-ops >/dev/null; then
    exec lucid-ops healthcheck --mongodb "$address"
fi
if command -v mongosh >/dev/null; then
    exec mongosh --quiet --norc "mongodb://$address/?directConnection=true&serverSelectionTimeoutMS=2000" \
        --eval 'quit(db.hello().ok === 1 ? 0 : 1)'
fi
echo "mongodb-health.sh: neither lucid-ops nor mongosh is on the PATH" >&2
exit 1
