#!/usr/bin/env bash
# Runs a command while Amazon's DynamoDB Local serves, and tells it where by ROOMCAST_TEST_DYNAMODB. It keeps everything
# in memory, with a database for each access key.
#
#     with-dynamodb-local.sh <folder of the parts> <command>...
set -euo pipefail

folder=$1
shift
log="$folder/dynamodb-local.log"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

(cd "$folder/dynamodb-local" && exec "$folder/java" -Djava.library.path=./DynamoDBLocal_lib \
    -jar DynamoDBLocal.jar -inMemory -port "$port") >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT

for attempt in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    if ! kill -0 "$server" 2>/dev/null || [ "$attempt" = 300 ]; then
        tail -n 15 "$log" >&2
        echo "DynamoDB Local does not serve at port $port: see $log" >&2
        exit 1
    fi
    sleep 0.1
done
ROOMCAST_TEST_DYNAMODB="http://127.0.0.1:$port" "$@"
