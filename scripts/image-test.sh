#!/usr/bin/env bash
# Builds the image with a docker daemon of its own and checks what it promises, both compose files included.
# The daemon lives in a temporary folder and in namespaces of its own: no TCP port, no bridge, no
# firewall rule of this machine is touched, and its end is the end of all it started.
#
#   SIDEPOST_IMAGE_TEST=required   fail, instead of skipping, where no docker daemon can run
#   SIDEPOST_IMAGE_TWICE=yes       build everything twice, the binary too, for the comparison (some minutes more)
# shellcheck disable=SC2317 # check and within call functions by name
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
in_manifest() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$root/Cargo.toml" | head -n 1; }

image=sidepost:local # the name in compose.yaml
base=$(sed -n 's/^ARG RUST_IMAGE=//p' "$root/Dockerfile")
version=$(in_manifest version)
revision=$(git -C "$root" rev-parse --verify --quiet HEAD 2>/dev/null || echo unknown)
source=https://example.com/sidepost
documentation=https://example.com/sidepost/README.md

labels=(--build-arg VERSION="$version" --build-arg REVISION="$revision"
  --build-arg SOURCE="$source" --build-arg DOCUMENTATION="$documentation")
epoch=1767225600 # 2026-01-01T00:00:00Z

message='{"from":"a@example.com","to":"b@example.com","subject":"hi","text":"hello"}'

work=$(mktemp -d)
cgroup=sidepost-image-test-$$
daemon=
passed=0
failed=0

export DOCKER_HOST=unix://$work/docker.sock
export DOCKER_CONFIG=$work/config # no credentials, contexts or proxies of whoever runs this
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}

# --- results ---

# A check is a chain of &&: inside an if, bash does not stop at the first command that fails.
check() {
  local name=$1 began=$SECONDS
  shift
  if "$@" >"$work/out" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name ($((SECONDS - began)) s)"
  else
    failed=$((failed + 1))
    echo "FAILED  $name ($((SECONDS - began)) s)"
    tail -n 40 "$work/out" | sed 's/^/        /'
    return 1
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  [[ $failed == 0 && $passed -gt 0 ]]
  exit
}

skip() {
  if [[ ${SIDEPOST_IMAGE_TEST-} == required ]]; then
    echo "FAILED  $1"
    failed=1
    finish
  fi
  echo "skipped: $1"
  exit 0
}

equal() {
  [[ $1 == "$2" ]] || {
    echo "expected: $2"
    echo "is:       $1"
    return 1
  }
}

# --- the daemon ---

install_missing() {
  local missing=() entry
  for entry in dockerd:docker.io docker:docker.io curl:curl pgrep:procps ip:iproute2 unshare:util-linux; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
  done
  [[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"
}

# A package source that does not answer must not keep another from being used.
install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 apt-get update >"$work/apt.log" 2>&1 || true
  timeout 300 apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=60 "$@" >>"$work/apt.log" 2>&1
}

# Should this script be killed, its daemon goes too (pdeathsig), and with the daemon, being process 1
# of its namespace, every container. Without firewall rules, published ports go through docker-proxy,
# as those of the loopback always do.
start_daemon() {
  local namespaces=(--mount --pid --fork --kill-child --mount-proc)
  local options=(--iptables=false --ip6tables=false)
  case $1 in
    machine-network) options+=(--bridge=none --ip-forward=false) ;;
    own-network) namespaces+=(--net) ;;
  esac
  setpriv --pdeathsig KILL unshare "${namespaces[@]}" bash -c 'ip link set lo up; exec dockerd "$@"' - \
    --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$cgroup" "${options[@]}" >>"$work/dockerd.log" 2>&1 &
  daemon=$!
  within 30 daemon_answers_or_ended && docker version >/dev/null 2>&1
}

daemon_answers_or_ended() { docker version >/dev/null || daemon_ended; }

stop_daemon() {
  local inner
  if [[ -n $daemon ]]; then
    if inner=$(pgrep --parent "$daemon"); then kill "$inner" || true; fi
    within 20 daemon_ended || kill -KILL "$daemon" || true
    wait "$daemon" || true
    daemon=
  fi
}

daemon_ended() { ! kill -0 "$daemon"; }

within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.2
  done
}

inside() { nsenter --net="/proc/$daemon/ns/net" -- "$@"; }

cleanup() {
  stop_daemon
  find /sys/fs/cgroup -depth -path "*/$cgroup*" -type d -exec rmdir {} + 2>/dev/null || true
  rm -rf "$work"
}

# --- the image ---

# The stand-in has all crates: building without a network shows that nothing else is fetched.
build_network() {
  if [[ $(docker image inspect --format '{{index .Config.Labels "sidepost.stand-in"}}' "$base") == true ]]; then
    echo none
  else
    echo host
  fi
}

# First the stage with the binary, from which the image is made a second time later.
build() {
  timeout 1500 docker build --network "$(build_network)" --target build --tag sidepost:built "$root" \
    && timeout 300 docker build --network "$(build_network)" --tag "$image" "${labels[@]}" "$root"
}

configured() { docker image inspect --format "{{$1}}" "$image"; }

label() { configured "index .Config.Labels \"org.opencontainers.image.$1\""; }

is_small() {
  local bytes
  bytes=$(configured .Size) && echo "$bytes bytes" && [[ $bytes -lt 6000000 ]]
}

# All but the mount points that docker itself puts into a container, and the one for the shim.
has_one_file() {
  local container files
  container=$(docker create "$image") \
    && files=$(docker export "$container" | tar --list | grep --invert-match --line-regexp --extended-regexp \
      '\.dockerenv|(dev|proc|sys|etc)/|dev/(console|pts/|shm/)|opt/(sidepost/)?|etc/(hostname|hosts|mtab|resolv\.conf)') \
    && equal "$files" sidepost
}

has_no_shell() {
  ! docker run --rm --entrypoint /bin/sh "$image" -c true 2>"$work/shell" \
    && grep --fixed-strings 'no such file' "$work/shell"
}

has_labels() {
  equal "$(label title)" Sidepost \
    && equal "$(label licenses)" "$(in_manifest license)" \
    && equal "$(label version)" "$version" \
    && equal "$(label revision)" "$revision" \
    && equal "$(label source)" "$source" \
    && equal "$(label documentation)" "$documentation" \
    && equal "$(label description)" "$(in_manifest description)"
}

has_settings() {
  equal "$(configured .Config.User)" 65532:65532 \
    && equal "$(configured 'json .Config.ExposedPorts')" '{"1025/tcp":{},"8025/tcp":{},"9025/tcp":{}}' \
    && equal "$(configured 'json .Config.Entrypoint')" '["/sidepost"]' \
    && equal "$(configured 'json .Config.Healthcheck.Test')" '["CMD","/sidepost","healthcheck"]' \
    && equal "$(configured .Config.StopSignal)" ''
}

# --- what is in it, and that it is the same for everybody ---

copy_binary() {
  local container
  container=$(docker create "$image") && docker cp "$container:/sidepost" "$work/sidepost" && docker rm "$container"
}

# All that cargo itself would link is listed, and nothing that only the tests have.
lists_its_crates() {
  (cd "$root" && cargo metadata --locked --format-version 1) >"$work/metadata.json" \
    && "$root/scripts/sbom.py" "$work/sidepost" "$root/Cargo.lock" "$work/metadata.json" >"$work/sbom.json" \
    && "$root/scripts/sbom.py" "$work/sidepost" "$root/Cargo.lock" "$work/metadata.json" | cmp - "$work/sbom.json" \
    && python3 -c '
import json, sys
bill = json.load(open(sys.argv[1]))
for one in bill["components"]:
    assert "hashes" in one and "licenses" in one, one
    print(one["name"], "v" + one["version"])' "$work/sbom.json" | sort >"$work/listed" \
    && (cd "$root" && cargo tree --locked --edges normal,build --target "$(rustc --print host-tuple)" --prefix none) \
    | awk 'NF > 1 && $1 != "sidepost" { print $1, $2 }' | sort -u >"$work/linked" \
    && [[ $(wc -l <"$work/linked") -gt 50 ]] && equal "$(comm -23 "$work/linked" "$work/listed")" '' \
    && ! grep --extended-regexp '^(lettre|jsonschema|proptest|rcgen|mail-parser|tempfile) ' "$work/listed"
}

names_no_folder() {
  ! grep --text --only-matching --extended-regexp '/(build|root|home|usr/local/cargo)/[a-z./_-]+' "$work/sidepost"
}

# Digests without the time and the machine of the build; the archive is what is released.
archive() {
  docker save --output "$work/$2-saved.tar" "$1" \
    && SOURCE_DATE_EPOCH=$epoch "$root/scripts/image_archive.py" "$work/$2.tar" "$work/$2-saved.tar" >"$work/$2-digests"
}

# The binary is built anew only where that is asked for, since it takes minutes: else this is about all that comes after.
build_again() {
  mkdir -p "$work/again"
  printf 'FROM sidepost:built AS build\nRUN touch /sidepost\n' >"$work/again/Dockerfile"
  sed -n '/^FROM scratch/,$p' "$root/Dockerfile" >>"$work/again/Dockerfile"
  docker build --no-cache --network none --tag sidepost:again "${labels[@]}" "$work/again" \
    && differs_by_its_time
}

build_all_again() {
  timeout 1500 docker build --no-cache --network "$(build_network)" --tag sidepost:again "${labels[@]}" "$root" \
    && differs_by_its_time
}

differs_by_its_time() { ! equal "$(docker image inspect --format '{{.Id}}' sidepost:again)" "$(configured .Id)"; }

is_the_same_again() {
  archive "$image" first && archive sidepost:again second && cat "$work/first-digests" \
    && cmp "$work/first-digests" "$work/second-digests"
}

# What is tried from here on is what is released.
loads_from_archive() {
  docker rmi --force "$image" && docker load --input "$work/first.tar" \
    && equal "$(sed -n 's/.*image \(sha256:[0-9a-f]*\),.*/\1/p' "$work/first-digests")" "$(configured .Id)" \
    && equal "$(configured .Created)" 2026-01-01T00:00:00Z
}

# Another machine would have built the second one.
takes_two_architectures() {
  mkdir -p "$work/arm64" && tar -C "$work/arm64" --extract --file "$work/first-saved.tar" \
    && config=$(sed 's/.*"Config":"\([^"]*\)".*/\1/' "$work/arm64/manifest.json") \
    && sed -i 's/"architecture":"amd64"/"architecture":"arm64"/' "$work/arm64/$config" \
    && (cd "$work/arm64" && tar --create --file "$work/arm64.tar" -- *) \
    && SOURCE_DATE_EPOCH=$epoch "$root/scripts/image_archive.py" "$work/both.tar" "$work/first-saved.tar" "$work/arm64.tar" \
    >"$work/both-digests" && cat "$work/both-digests" && grep '^index sha256:' "$work/both-digests" \
    && head -n 1 "$work/first-digests" | cmp - <(head -n 1 "$work/both-digests") \
    && ! "$root/scripts/image_archive.py" "$work/both.tar" "$work/first-saved.tar" "$work/first-saved.tar"
}

check_release() {
  check 'its binary comes out' copy_binary || return 0
  echo "binary: $(sha256sum <"$work/sidepost" | cut -d ' ' -f 1)"
  check 'lists its crates, as cargo does' lists_its_crates || true
  check 'names no folder of the build' names_no_folder || true
  if [[ ${SIDEPOST_IMAGE_TWICE-} != yes ]]; then check 'is built a second time' build_again || return 0; fi
  check 'is the same when built again' is_the_same_again || return 0
  sed 's/^/released: /' "$work/first-digests"
  check 'holds two architectures' takes_two_architectures || true
  check 'loads from its archive' loads_from_archive || true
}

check_image() {
  check 'is under 6 MB' is_small || true
  check 'holds one file' has_one_file || true
  check 'has no shell' has_no_shell || true
  check 'has its labels' has_labels || true
  check 'has its user, ports, entry point and health check' has_settings || true
}

# --- a container, hardened as a cluster would ---

run_hardened() {
  docker run --detach --name sidepost --read-only --cap-drop ALL --security-opt no-new-privileges \
    --memory 64m --pids-limit 64 \
    --publish 127.0.0.1:8025:8025 --publish 127.0.0.1:1025:1025 --publish 127.0.0.1:9025:9025 "$@" "$image"
}

becomes_healthy() {
  within 30 is_healthy "$1" || {
    docker inspect --format '{{json .State}}' "$1"
    docker logs "$1"
    return 1
  }
}

is_healthy() { equal "$(docker inspect --format '{{.State.Health.Status}}' "$1")" healthy; }

# Of process 1 in the container, by the kernel's own word.
has_no_rights() {
  local inner pid
  inner=$(pgrep --parent "$daemon") && pid=$(docker inspect --format '{{.State.Pid}}' sidepost) \
    && nsenter --target "$inner" --pid --mount -- grep -E '^(Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs|Uid|Gid):' "/proc/$pid/status" \
      >"$work/rights" && cat "$work/rights" \
    && [[ $(grep -c '^Cap.*0000000000000000$' "$work/rights") == 4 ]] && grep '^NoNewPrivs:.*1$' "$work/rights"
}

# As the kernel counts it after a probe and before any mail. More than that: bench/order.py tells what link/first.txt lacks.
is_small_when_idle() {
  local inner pid
  inner=$(pgrep --parent "$daemon") && pid=$(docker inspect --format '{{.State.Pid}}' sidepost) \
    && nsenter --target "$inner" --pid --mount -- cat "/proc/$pid/smaps_rollup" >"$work/memory" && cat "$work/memory" \
    && [[ $(awk '$1 == "Rss:" { print 1024 * $2 }' "$work/memory") -lt 4000000 ]]
}

runs_as() { equal "$(docker top sidepost -o pid,uid | awk 'NR > 1 { print $2 }')" "$1"; }

answers() {
  inside curl --silent --show-error --fail-with-body --max-time 10 "$@"
}

takes_json() {
  answers http://127.0.0.1:8025/v1/send --header 'Content-Type: application/json' \
    --data "$message"
}

takes_smtp() {
  printf 'From: a@example.com\r\nTo: b@example.com\r\nSubject: hi\r\n\r\nhello\r\n' \
    | answers smtp://127.0.0.1:1025 --mail-from a@example.com --mail-rcpt b@example.com --upload-file -
}

tells_health() {
  answers http://127.0.0.1:9025/livez \
    && answers http://127.0.0.1:9025/readyz \
    && answers http://127.0.0.1:9025/metrics | grep '^sidepost_'
}

stops_cleanly() {
  local began ended
  began=$(date +%s%3N) \
    && docker stop "$1" \
    && ended=$(date +%s%3N) \
    && echo "$((ended - began)) ms" \
    && equal "$(docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' "$1")" '0 false' \
    && [[ $((ended - began)) -lt 3000 ]]
}

# --- a stop while a message is on its way ---

# SIDEPOST_CAPTURE_DELAY makes the provider slow; whoever waits gets the truth before the process ends.
stop_with_mail() {
  local answer began ended
  takes_json >"$work/answer" 2>&1 &
  answer=$!
  within 10 is_in_flight || return 1
  began=$SECONDS
  docker stop -t 30 sidepost && ended=$SECONDS
  wait "$answer" || true
  echo "$((ended - began)) s, answer:" && cat "$work/answer"
  equal "$(docker inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' sidepost)" '0 false' \
    && [[ $((ended - began)) -le $1 ]] && grep --fixed-strings "$2" "$work/answer"
}

is_in_flight() { answers http://127.0.0.1:9025/metrics | grep '^sidepost_in_flight_messages 1$'; }

check_stop() {
  local name=$1 longest=$2 wanted=$3
  shift 3
  if check "$name: starts" run_hardened "$@" && check "$name: becomes healthy" becomes_healthy sidepost; then
    check "$name" stop_with_mail "$longest" "$wanted" || true
  fi
  docker rm --force sidepost >/dev/null 2>&1 || true
}

check_container() {
  local user=$1
  shift
  if check "user $user: starts hardened" run_hardened "$@" \
    && check "user $user: becomes healthy" becomes_healthy sidepost; then
    check "user $user: is that user" runs_as "$user" || true
    check "user $user: has no capability" has_no_rights || true
    if [[ $(uname -m) == x86_64 ]]; then check "user $user: is idle in under 4 MB" is_small_when_idle || true; fi
    check "user $user: takes JSON" takes_json || true
    check "user $user: takes SMTP" takes_smtp || true
    check "user $user: tells health and metrics" tells_health || true
    check "user $user: stops with 0 in under 3 s" stops_cleanly sidepost || true
  fi
  docker rm --force sidepost >/dev/null 2>&1 || true
}

# --- the shim on a volume ---

installs_shim() {
  docker volume create shim \
    && docker run --detach --name sidepost --read-only --cap-drop ALL --security-opt no-new-privileges \
      --volume shim:/opt/sidepost "$@" "$image" serve --install-shim /opt/sidepost
}

# A container of another image, as another user, with the volume read-only.
finds_shim() {
  docker run --rm --user 33 --network container:sidepost --volume shim:/opt/sidepost:ro "$base" bash -c '
    ls -l /opt/sidepost/* && cat /opt/sidepost/php/mail.ini \
      && printf "From: a@example.com\nTo: b@example.com\nSubject: hi\n\nhello\n" | /opt/sidepost/bin/sendmail -t -i'
}

refuses_folder() {
  local code=0
  docker run --rm --read-only "$image" serve --install-shim /srv >"$work/refused" 2>&1 || code=$?
  cat "$work/refused" && equal "$code" 78 && grep --fixed-strings 'user 65532' "$work/refused"
}

check_shim() {
  if check 'shim: starts with a new volume' installs_shim && check 'shim: becomes healthy' becomes_healthy sidepost; then
    check 'shim: another container sends with it' finds_shim || true
    check 'shim: stops with 0 in under 3 s' stops_cleanly sidepost || true
    docker rm --force sidepost >/dev/null
    check 'shim: starts with the same volume' installs_shim || true
    check 'shim: another container still sends' finds_shim || true
  fi
  check 'shim: a folder that cannot be written ends it with 78' refuses_folder || true
  docker rm --force sidepost >/dev/null 2>&1 || true
}

# --- compose.yaml ---

compose() {
  local command=(docker-compose)
  if docker compose version >/dev/null 2>&1; then command=(docker compose); fi
  timeout 120 "${command[@]}" --project-name sidepost --file "$root/compose.yaml" "$@"
}

have_compose() {
  compose version >/dev/null 2>&1 || { install_packages docker-compose && compose version; }
}

# The base image is at hand and has a bash, which opens connections by itself.
from_neighbour() {
  local network
  network=$(docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$1") \
    && timeout 20 docker run --rm --network "$network" --env message="$message" "$base" bash -c "$2"
}

greets_neighbours() {
  # shellcheck disable=SC2016 # for the bash in there
  from_neighbour "$1" '
    exec 3<>/dev/tcp/sidepost/1025 && read -r line <&3 && echo "$line" && [[ $line == 220* ]]'
}

# The Host header is then the service's name, which a check against DNS rebinding has to allow.
serves_neighbours() {
  # shellcheck disable=SC2016 # for the bash in there
  from_neighbour "$1" '
    exec 3<>/dev/tcp/sidepost/8025
    printf "%s\r\n" "POST /v1/send HTTP/1.1" "Host: sidepost:8025" "Content-Type: application/json" \
      "Content-Length: ${#message}" "Connection: close" "" >&3
    printf %s "$message" >&3
    answer=$(<&3 cat) && echo "$answer" && [[ $answer == "HTTP/1.1 200 "* ]]'
}

check_compose() {
  local container
  check 'compose is there' have_compose || return 0
  if check 'compose: comes up' compose up --detach; then
    container=$(compose ps --quiet sidepost)
    check 'compose: becomes healthy' becomes_healthy "$container" || true
    check 'compose: takes JSON' takes_json || true
    check 'compose: takes SMTP' takes_smtp || true
    check 'compose: tells health and metrics' tells_health || true
    check 'compose: takes SMTP from a neighbour' greets_neighbours "$container" || true
    check 'compose: takes JSON from a neighbour, by name' serves_neighbours "$container" || true
    check 'compose: stops with 0 in under 3 s' stops_cleanly "$container" || true
  fi
  compose down >/dev/null 2>&1 || true
}

# --- deploy/wordpress ---

check_wordpress() {
  check 'WordPress: compose is there' have_compose || return 0
  if check 'WordPress: stand-ins for the official images' timeout 300 "$root/scripts/image-wordpress.sh"; then
    if check 'WordPress: stopped, killed, cut off, and nothing lost' \
      inside timeout 500 python3 "$root/tests/wordpress/stack.py"; then
      cat "$work/out"
    fi
  fi
}

# --- all of it ---

main() {
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  [[ $(id -u) == 0 ]] || skip 'only root can start a docker daemon'
  install_missing || skip "docker is not installed and cannot be: $(tail -n 1 "$work/apt.log")"
  start_daemon machine-network || skip "dockerd does not start here: $(tail -n 1 "$work/dockerd.log")"

  check 'the base of the build is there' timeout 600 "$root/scripts/image-base.sh" || finish
  tail -n 1 "$work/out"
  check 'the Dockerfile builds' build || finish
  echo "image: $(configured .Size) bytes"
  if [[ ${SIDEPOST_IMAGE_TWICE-} == yes ]]; then
    check 'the Dockerfile builds from nothing, again' build_all_again || finish
  fi

  stop_daemon
  check 'the daemon starts with a network of its own' start_daemon own-network || finish
  check_release
  check_image
  check_container 65532
  # As OpenShift does: any number, and group 0.
  check_container 1000690000 --user 1000690000:0
  check_stop 'a stop lets a message finish' 10 '"status":"sent"' --env SIDEPOST_CAPTURE_DELAY=4s
  check_stop 'a stop ends within the drain time, whatever is on its way' 8 '' \
    --env SIDEPOST_CAPTURE_DELAY=60s --env SIDEPOST_SEND_TIMEOUT=60s --env SIDEPOST_DRAIN_TIMEOUT=2s
  check_shim
  check_compose
  check_wordpress
  finish
}

main
