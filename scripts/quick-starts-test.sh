#!/usr/bin/env bash
# Runs the blocks of docs/quick-starts.md as they are written, each in the smallest project of its framework, and looks
# for what each sent. cron gets a file system of its own; without root it is left out, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/clients.sh
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools/clients")
binary=$(realpath "${BINARY:-target/release/sidepost}")
work=$(mktemp -d)
passed=0

block() {
  scripts/doc-block.sh docs/quick-starts.md "<!-- run: $1 -->" | grep . ||
    { echo "docs/quick-starts.md has no block $1" >&2; return 1; }
}

# Nobody's own Sidepost is in the way: the ports are the ones that the page names.
env -i PATH="$PATH" "$binary" >"$work/log" 2>&1 &
sidecar=$!
# Nothing but KILL ends unshare before its child.
trap 'kill -KILL ${cron:-} 2>/dev/null || true; kill "$sidecar" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  curl -fsS -o /dev/null http://127.0.0.1:9025/startupz 2>/dev/null && break
  kill -0 "$sidecar" 2>/dev/null || { cat "$work/log"; exit 1; }
  sleep 0.1
done

held() { curl -fsS 'http://127.0.0.1:8025/v1/messages'; }

# sent NAME TEXT: a message that was not there before has that text and the page's recipient.
sent() {
  local id
  for _ in $(seq "${PATIENCE:-50}"); do
    for id in $(held | python3 -c 'import json, sys; [print(m["id"]) for m in json.load(sys.stdin)["messages"]]'); do
      if curl -fsS -H 'Accept: message/rfc822' "http://127.0.0.1:8025/v1/messages/$id" >"$work/message" &&
        grep -q "$2" "$work/message" && grep -q '^To: .*you@example.com' "$work/message"; then
        passed=$((passed + 1))
        echo "  ok $1"
        return
      fi
    done
    sleep 0.2
  done
  echo "$1: nothing came with: $2" >&2
  exit 1
}

in_folder() {
  mkdir -p "$work/$1"
  (cd "$work/$1" && shift && timeout 120 "$@")
}

with_cron() {
  # shellcheck disable=SC2016 # the inner shell's
  exec unshare --mount --pid --fork --kill-child --mount-proc bash -euc '
    mkdir -p "$1"/{sbin,cron.d,spool,run,change,job}
    mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/change,workdir=$1/job" /usr/sbin
    rm -f /usr/sbin/sendmail
    mkdir -p /etc/cron.d
    mount --bind "$1/cron.d" /etc/cron.d
    mount --bind "$1/run" /run
    mount --bind "$1/spool" /var/spool
    mkdir -p /var/spool/cron/crontabs
    ln -s "$2" "$1/sbin/sidepost"
    PATH=$1/sbin:$PATH
    eval "$4"
    exec "$3" -f' - "$work/cron" "$binary" "$tools/cron/usr/sbin/cron" "$(block cron)" >"$work/cron.log" 2>&1
}

mkdir -p "$work/cron"
cron=
if ((EUID == 0)); then
  with_cron &
  cron=$!
fi

bash -euo pipefail -c "$(block curl)" >/dev/null 2>&1
sent curl "From curl\.$(printf '\r')"
bash -euo pipefail -c "$(block curl-smtp)" >/dev/null 2>&1
sent "curl over SMTP" "From curl over SMTP"

(mkdir "$work/django" && cd "$work" && "$tools/django/bin/django-admin" startproject shop django)
block django-settings >>"$work/django/shop/settings.py"
PATH="$tools/django/bin:$PATH" in_folder django bash -euc "$(block django)"
sent Django "Subject: Test email from"

mkdir -p "$work/rails"
{
  echo 'require "action_mailer/railtie"'
  echo 'class App < Rails::Application'
  echo 'config.eager_load = false'
  echo 'config.logger = Logger.new(nil)'
  block rails-settings
  echo 'end'
  echo 'App.initialize!'
  block rails
} >"$work/rails/app.rb"
in_folder rails ruby app.rb >/dev/null
sent Rails "From Rails"

mkdir -p "$work/laravel"
block laravel-settings >"$work/laravel/.env"
{
  cat tests/quick-starts/laravel.php
  block laravel
} >"$work/laravel/app.php"
in_folder laravel php -d error_reporting=E_ERROR app.php
sent Laravel "From Laravel"

block node >"$work/node.js"
block fetch >"$work/fetch.js"
PATH=$PATH:$tools/node/bin NODE_PATH=$tools/node_modules in_folder node node "$work/node.js" | grep -q '^250 '
sent Nodemailer 'From Node\.js'
PATH=$PATH:$tools/node/bin in_folder node node "$work/fetch.js" | grep -q '^sent '
sent fetch "From fetch"

if ((EUID == 0)); then
  PATIENCE=400 sent cron "From cron"
else
  echo "  skipped cron: it needs root"
fi
echo "$passed passed, 0 failed"
