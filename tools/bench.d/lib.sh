# What the benchmarks share; they source it. It ends what they started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:/usr/sbin:/usr/local/sbin
programs=${PROGRAMS:-target/release}
work=$(mktemp -d)
pids=()
end_all() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap end_all EXIT
tick=$(getconf CLK_TCK)

quick() { [ -n "${QUICK:-}" ]; }
# by_size FULL QUICK: one of the two.
by_size() { if quick; then echo "$2"; else echo "$1"; fi; }
skip() { echo "skipped: $*"; exit 0; }

# User and system time of a process so far, in ticks.
cpu_ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
rss_kib() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
calc() { awk "BEGIN { printf \"${2:-%.2f}\", $1 }"; }
median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.3f", v[int((NR + 1) / 2)] }'; }

heading() { printf '| what | measured | goal | reached |\n|---|---|---|---|\n'; }
# row WHAT VALUE UNIT RELATION GOAL, e.g. row "RSS ÷ limit" 1.02 "" "<=" 1.05
row() {
  local reached
  reached=$(awk "BEGIN { print ($2 $4 $5) ? \"yes\" : \"no\" }")
  local sign=${4/<=/≤}; sign=${sign/>=/≥}
  printf '| %s | %s%s | %s %s | %s |\n' "$1" "$2" "$3" "$sign" "$5" "$reached"
}

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port was found" >&2
  return 1
}

# on_server COMMAND…: starts it on core 0 -> pid, and log, where its output goes.
on_server() {
  log=$(mktemp "$work/log.XXXXXX")
  taskset -c 0 "$@" >"$log" 2>&1 &
  pid=$!
  pids+=("$pid")
}
on_load() { taskset -c 1 "$@"; }

# end PID: and waits until it is gone.
end() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

await() { # WHAT COMMAND…
  local what=$1; shift
  for _ in $(seq 400); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.05
  done
  echo "$what did not come:" >&2
  cat "$log" >&2
  return 1
}
listens() { grep -q 'listening on http://[0-9]' "$log"; }

# start_http COMMAND…: a program that says where it listens -> pid, address.
start_http() {
  on_server "$@"
  await "the line with the address" listens
  address=$(grep -o 'listening on http://[0-9.:]*' "$log" | head -1 | sed 's|.*http://||')
}
# start_cached FLAGS…: one node -> pid, address.
start_cached() {
  start_http "$programs/cached" --port 0 --log warn "$@"
  await "readiness" curl -fsS "http://$address/readyz"
}
has_resp() { "$programs/cached" --help | grep -q -- '--resp '; }
# start_resp FLAGS…: one node with a RESP listener -> pid, port.
start_resp() {
  local chosen
  chosen=$(free_port)
  start_cached --resp "127.0.0.1:$chosen" "$@"
  port=$chosen
  await "RESP" redis-cli -p "$port" ping
}
# start_floor FLAGS…: the bare loop of tests/src/bin/floor_resp.rs -> pid, port.
start_floor() {
  on_server "$programs/floor_resp" "$@"
  await "the floor" grep -q 'listening on ' "$log"
  port=$(sed -n 's/.*listening on .*:\([0-9]*\) .*/\1/p' "$log")
}
start_redis() { # FLAGS… -> pid, port
  port=$(free_port)
  on_server redis-server --port "$port" --save '' --appendonly no --bind 127.0.0.1 "$@"
  await "redis" redis-cli -p "$port" ping
}
start_memcached() { # FLAGS… -> pid, port
  port=$(free_port)
  local as=()
  [ "$(id -u)" -ne 0 ] || as=(-u nobody)
  on_server memcached "${as[@]}" -l 127.0.0.1 -p "$port" -t 1 "$@"
  await "memcached" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
}
ctl() { on_load "$programs/cachectl" --endpoint "http://$address" "$@"; }
