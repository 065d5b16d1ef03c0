#!/usr/bin/env bash
# Proves that the rig is what README.md says. Takes about half a minute.
set -uo pipefail

HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
RIG=$HERE/rig.sh
WORK=$(mktemp -d "${TMPDIR:-/tmp}/rig-selftest.XXXXXX")
PATH=$PATH:/usr/sbin
PASSED=0
FAILED=0

passed() {
  PASSED=$((PASSED + 1))
  echo "ok      $1"
}

failed() {
  FAILED=$((FAILED + 1))
  echo "NOT OK  $1"
  printf '%s\n' "$2" | tail -n 30 | sed 's/^/        /'
}

# expect NAME COMMAND...
expect() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then passed "$name"; else failed "$name" "$output"; fi
}

cleanup() {
  local dir
  for dir in "$WORK"/* "$WORK"/closed/*; do
    [[ ! -d $dir/postfix ]] || "$RIG" stop "$dir"
  done
  rm -rf "$WORK"
}

value() { sed -n "s/^$2=//p" "$WORK/$1/rig.env"; }

not() { ! "$@"; }

is_stopped() {
  local end=$((SECONDS + 10))
  while "$RIG" status "$1" >/dev/null || [[ -n $(processes "$1") ]]; do
    ((SECONDS < end)) || {
      processes "$1"
      return 1
    }
    sleep 0.1
  done
}

# processes DIR: whatever runs with DIR on its command line or as its place, by other means than rig.sh.
processes() {
  local process words
  for process in /proc/[0-9]*; do
    mapfile -d '' words 2>/dev/null <"$process/cmdline" || continue
    if [[ "${words[*]-} " == *"$1"[/\ ]* || $(readlink "$process/cwd") == "$1"* ]]; then
      echo "${process##*/}: ${words[*]-}"
    fi
  done 2>/dev/null
}

# --- one rig -------------------------------------------------------------------------------------

same_facts() {
  python3 - "$WORK/$1" <<'PYTHON'
import json, os, sys
lines = open(sys.argv[1] + "/rig.env").read().splitlines()
plain = dict(line.split("=", 1) for line in lines)
facts = json.load(open(sys.argv[1] + "/rig.json"))
assert {name: str(value) for name, value in facts.items()} == plain, (facts, plain)
assert all(isinstance(facts[name], int) for name in facts if name.endswith(("_PORT", "_PID")))
missing = [name for name, value in plain.items() if value.startswith("/") and not os.path.exists(value)]
assert not missing, missing
PYTHON
}

# swaks_says WANTED RIG ARGUMENT...
swaks_says() {
  local wanted=$1 rig=$2 output
  output=$(timeout 30 swaks --server 127.0.0.1 --timeout 10 --from sender@app.test --to someone@inbox.test \
    --tls-verify --tls-ca-path "$(value "$rig" CA_FILE)" "${@:3}" </dev/null 2>&1)
  [[ $output == *"$wanted"* ]] && return
  printf '%s\n' "wanted: $wanted" "$output"
  return 1
}

test_swaks() {
  local rig=$1 way mechanism port right=() wrong=()
  for way in --tls --tls-on-connect; do
    port=$(value "$rig" STARTTLS_PORT)
    [[ $way == --tls ]] || port=$(value "$rig" TLS_PORT)
    for mechanism in PLAIN LOGIN; do
      right=("$way" --port "$port" --auth "$mechanism" --auth-user "$(value "$rig" USERNAME)"
        --auth-password)
      wrong=("${right[@]}" wrong)
      right+=("$(value "$rig" PASSWORD)")
      expect "swaks $way $mechanism" swaks_says ' 250 2.0.0 Ok: queued as ' "$rig" "${right[@]}"
      expect "swaks $way $mechanism, wrong password" swaks_says \
        ' 535 5.7.8 Error: authentication failed: (reason unavailable)' "$rig" "${wrong[@]}"
    done
    expect "swaks $way p550" swaks_says ' 550 5.1.1 <p550@' "$rig" "${right[@]}" --to p550@inbox.test
    expect "swaks $way t451" swaks_says ' 451 4.7.1 <t451@' "$rig" "${right[@]}" --to t451@inbox.test
    expect "swaks $way denied" swaks_says ' 553 5.7.1 <denied@' "$rig" "${right[@]}" --from denied@app.test
  done
}

test_wire() {
  local line
  while read -r line; do
    case $line in
    ok\ *) passed "${line#ok }" ;;
    *) failed "${line#not ok }" "" ;;
    esac
  done < <(timeout 120 python3 "$HERE/wire.py" "$WORK/$1/rig.json" 2>&1 || echo "wire.py did not end well")
}

mails() { find "$WORK/$1/Maildir/new" -type f | wc -l; }

test_load() {
  local rig=$1 before end=$((SECONDS + 30))
  before=$(mails "$rig")
  timeout 30 smtp-source -s 20 -m 1000 -l 4000 -f load@app.test -t load@inbox.test \
    "127.0.0.1:$(value "$rig" PLAIN_PORT)" || return 1
  until (($(mails "$rig") == before + 1000)); do
    ((SECONDS < end)) || {
      echo "$(($(mails "$rig") - before)) of 1000 arrived"
      return 1
    }
    sleep 0.1
  done
}

test_second_start() {
  local output
  output=$("$RIG" start "$WORK/$1" 2>&1) && return 1
  [[ $output == *'already running'* ]] && "$RIG" status "$WORK/$1"
}

# Everything of the machine's own Postfix and Dovecot is as old as it was.
nothing_outside() {
  local touched
  touched=$(find /etc/postfix /etc/dovecot /etc/aliases* /var/spool/postfix /var/lib/postfix /var/lib/dovecot \
    /run/dovecot /var/log/mail* "${HOME:-/nonexistent}"/.swaks* -newer "$WORK/begin" 2>/dev/null)
  printf '%s' "$touched"
  [[ -z $touched ]]
}

# --- several rigs --------------------------------------------------------------------------------

test_pair() {
  local before
  "$RIG" start "$WORK/left" &
  "$RIG" start "$WORK/right" || return 1
  wait $! || return 1
  before=$(mails left)
  swaks_says ' 250 2.0.0 Ok: queued as ' right --port "$(value right PLAIN_PORT)" || return 1
  sleep 0.3
  (($(mails right) == 1 && $(mails left) == before)) || return 1
  "$RIG" stop "$WORK/right" && is_stopped "$WORK/right" || return 1
  swaks_says ' 250 2.0.0 Ok: queued as ' left --port "$(value left PLAIN_PORT)" || return 1
  "$RIG" stop "$WORK/left" && is_stopped "$WORK/left"
}

# Back at the same ports, with the same issuer and password, and the mail still there.
test_return() {
  local before password
  before=$(sha256sum <"$WORK/one/tls/ca.pem")
  password=$(value one PASSWORD)
  local ports=(RIG_STARTTLS_PORT="$(value one STARTTLS_PORT)" RIG_TLS_PORT="$(value one TLS_PORT)"
    RIG_PLAIN_PORT="$(value one PLAIN_PORT)") mails
  mails=$(mails one)
  "$RIG" stop "$WORK/one" && is_stopped "$WORK/one" && env "${ports[@]}" "$RIG" start "$WORK/one" || return 1
  [[ $(sha256sum <"$WORK/one/tls/ca.pem") == "$before" && $(value one PASSWORD) == "$password" ]] || return 1
  [[ $(mails one) == "$mails" && " ${ports[*]} " == *" RIG_TLS_PORT=$(value one TLS_PORT) "* ]]
}

test_port_taken() {
  local output
  output=$(RIG_PLAIN_PORT=$(value one PLAIN_PORT) "$RIG" start "$WORK/taken" 2>&1) && return 1
  printf '%s\n' "$output"
  [[ $output == *'a port is taken'* ]] && "$RIG" status "$WORK/one" && is_stopped "$WORK/taken"
}

test_loop() {
  local round
  for round in 1 2 3 4 5; do
    "$RIG" start "$WORK/loop" && swaks_says ' 250 2.0.0 Ok: queued as ' loop --tls-on-connect \
      --port "$(value loop TLS_PORT)" --auth PLAIN --auth-user "$(value loop USERNAME)" \
      --auth-password "$(value loop PASSWORD)" && "$RIG" stop "$WORK/loop" || return 1
    is_stopped "$WORK/loop" || return 1
  done
  sleep 0.2
  (($(mails loop) == round))
}

# Below a directory that only root may enter, as root's own home is.
test_closed_parent() {
  mkdir -p "$WORK/closed"
  chmod 0700 "$WORK/closed"
  "$RIG" start "$WORK/closed/in" && swaks_says ' 250 2.0.0 Ok' closed/in \
    --port "$(value closed/in PLAIN_PORT)" || return 1
  sleep 0.3
  (($(mails closed/in) == 1)) && "$RIG" stop "$WORK/closed/in" && is_stopped "$WORK/closed/in"
}

# --- endings -------------------------------------------------------------------------------------

# ends_by eof|TERM|INT|KILL|death: "run" below a process that does this to it, or dies.
ends_by() {
  local output
  output=$(timeout 30 python3 - "$RIG" "$WORK/run" "$1" <<'PYTHON'
import os, signal, subprocess, sys
rig, folder, ending = sys.argv[1:]
run = subprocess.Popen([rig, "run", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(run.stdout.readline().strip(), flush=True)
if ending == "death":
    os.kill(os.getpid(), signal.SIGKILL)
elif ending == "eof":
    run.stdin.close()
else:
    run.send_signal(getattr(signal, "SIG" + ending))
    if os.geteuid() != 0 and ending == "KILL":
        # That was sudo; only the input tells what is below it.
        run.stdin.close()
# The end of the output as well: no daemon may hold it.
print(run.stdout.read() == "", run.wait(15))
PYTHON
  ) 2>/dev/null
  case $1 in
  death) [[ $output == ready ]] ;;
  KILL) [[ $output == $'ready\nTrue -9' ]] ;;
  *) [[ $output == $'ready\nTrue 0' ]] ;;
  esac || {
    printf '%s\n' "$output"
    return 1
  }
  is_stopped "$WORK/run"
}

# Children that outlive their leader are found as well.
test_leaders_killed() {
  "$RIG" start "$WORK/run" || return 1
  kill -KILL "$(value run POSTFIX_PID)" "$(value run DOVECOT_PID)"
  "$RIG" stop "$WORK/run" && is_stopped "$WORK/run" && "$RIG" start "$WORK/run" || return 1
  "$RIG" stop "$WORK/run" && is_stopped "$WORK/run"
}

test_stop_spares_others() {
  local bystander status
  mkdir -p "$WORK/run/dovecot/run"
  (cd "$WORK/run/dovecot/run" && exec sleep 30) &
  bystander=$!
  echo "$bystander" >"$WORK/run/postfix/queue/pid/master.pid"
  sleep 0.1
  "$RIG" stop "$WORK/run"
  kill -0 "$bystander"
  status=$?
  kill "$bystander"
  wait "$bystander" 2>/dev/null
  return "$status"
}

test_bad_dir() {
  local output
  output=$("$RIG" start "$WORK/with space" 2>&1) && return 1
  [[ $output == *'DIR may have'* ]]
}

main() {
  trap cleanup EXIT
  trap 'exit 1' INT TERM
  touch -d '-1 second' "$WORK/begin"
  expect "start" "$RIG" start "$WORK/one"
  ((FAILED == 0)) || exit 1
  expect "status" "$RIG" status "$WORK/one"
  expect "rig.env and rig.json agree" same_facts one
  expect "a second start is refused" test_second_start one
  test_swaks one
  test_wire one
  expect "1,000 messages over 20 connections" test_load one
  expect "two more rigs beside it, started at once" test_pair
  expect "a taken port is reported" test_port_taken
  expect "back at the same ports" test_return
  test_swaks one
  expect "stop" "$RIG" stop "$WORK/one"
  expect "no process is left" is_stopped "$WORK/one"
  expect "stop again" "$RIG" stop "$WORK/one"
  expect "status says stopped" not "$RIG" status "$WORK/one"
  expect "start and stop, five times" test_loop
  expect "below a closed directory" test_closed_parent
  local ending
  for ending in eof TERM INT KILL death; do
    expect "run ends by $ending" ends_by "$ending"
  done
  expect "stop after the leaders were killed" test_leaders_killed
  expect "stop spares others" test_stop_spares_others
  expect "a folder that cannot be is refused" test_bad_dir
  expect "nothing outside was touched" nothing_outside
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0))
}

main
