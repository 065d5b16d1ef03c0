#!/usr/bin/env bash
# A mail provider on loopback: Postfix and Dovecot, with everything they need and write below DIR.
# See README.md beside this file.
set -euo pipefail
umask 022

SELF=$(realpath "${BASH_SOURCE[0]}")
HERE=$(dirname "$SELF")
HOST=127.0.0.1
USERNAME=app@rig.test
ODD_USERNAME=odd@rig.test
# Every character that templating, shells, URLs and .env files are known to mangle.
ODD_PASSWORD="a#b \$c \"d\" 'e' \\f %g :h =i é"

usage() {
  cat >&2 <<'USAGE'
usage: rig.sh start DIR    start, write DIR/rig.env and DIR/rig.json, return
       rig.sh stop DIR     end what start began; the files stay
       rig.sh status DIR   exit code 0 if it runs and answers
       rig.sh run DIR      start, print "ready", stop at the end of stdin or on TERM or INT
Fixed ports: RIG_STARTTLS_PORT, RIG_TLS_PORT, RIG_PLAIN_PORT in the environment.
USAGE
  exit 64
}

say() { printf 'rig: %s\n' "$*" >&2; }

fail() {
  say "$*"
  local log
  for log in start postfix dovecot; do
    [[ -s $DIR/log/$log.log ]] || continue
    printf '%s\n' "--- $log.log" >&2
    tail -n 15 "$DIR/log/$log.log" >&2
  done
  exit 1
}

# --- before anything is started ----------------------------------------------------------------

# Postfix binds, changes users and gives files away; only root can.
become_root() {
  ((EUID != 0)) || return 0
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    say "Postfix needs root: run this as root, or with a sudo that does not ask for a password"
    exit 77
  fi
  exec sudo -n -- env \
    RIG_STARTTLS_PORT="${RIG_STARTTLS_PORT-}" RIG_TLS_PORT="${RIG_TLS_PORT-}" \
    RIG_PLAIN_PORT="${RIG_PLAIN_PORT-}" "$SELF" "$@"
}

check_tools() {
  PATH=$PATH:/usr/sbin:/sbin
  local tool missing=()
  for tool in postfix dovecot doveadm openssl perl flock setsid; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || fail "missing: ${missing[*]} (scripts/install-test-tools.sh installs them)"
}

check_dir() {
  # Postfix and Dovecot split and expand such values, and rig.env is read without unquoting.
  [[ $DIR =~ ^/[A-Za-z0-9._/+-]+$ ]] || fail "DIR may have letters, digits and . _ / + - only: $DIR"
  # A unix socket's whole path has 107 octets.
  ((${#DIR} <= 72)) || fail "DIR is too long for unix sockets (${#DIR} octets, 72 at most): $DIR"
}

# --- files ---------------------------------------------------------------------------------------

make_directories() {
  local queue=$DIR/postfix/queue name
  local queues=("$queue"/{incoming,active,bounce,corrupt,defer,deferred,flush,hold,saved,trace,private})
  # Traversable: the daemons reach these as other users.
  mkdir -p "$DIR"
  chmod a+x "$DIR"
  install -d -m 0755 "$DIR/postfix" "$queue" "$queue/pid" "$DIR/dovecot" "$DIR/dovecot/auth.d" \
    "$DIR/dovecot/run" "$DIR/dovecot/state" "$DIR/log" "$DIR/tls" "$DIR"/Maildir{,/new,/cur,/tmp}
  install -d -m 0700 "${queues[@]}" "$DIR/postfix/data"
  install -d -m 2710 -g postdrop "$queue/public"
  install -d -m 1730 -g postdrop "$queue/maildrop"
  # What is there already belongs to whoever stopped the rig.
  chown -R root:root "$DIR/postfix" "$DIR/dovecot" "$DIR/log" "$DIR/tls"
  chown -R postfix "${queues[@]}" "$queue/public" "$queue/maildrop" "$DIR/postfix/data"
  chgrp postdrop "$queue/public" "$queue/maildrop"
  chmod g+s "$queue/public"
  chown -R "$MAIL_UID:$MAIL_GID" "$DIR/Maildir"
}

# fill FILE...: puts them below DIR at the same place, with the @NAMES@ replaced.
fill() {
  local file
  for file in "$@"; do
    sed -e "s|@DIR@|$DIR|g" -e "s|@MAIL_UID@|$MAIL_UID|g" -e "s|@MAIL_GID@|$MAIL_GID|g" \
      -e "s|@STARTTLS_PORT@|${STARTTLS_PORT-}|g" -e "s|@TLS_PORT@|${TLS_PORT-}|g" \
      -e "s|@PLAIN_PORT@|${PLAIN_PORT-}|g" "$HERE/$file" >"$DIR/$file"
    # Postfix waits for two seconds when a file looks as if somebody still wrote to it.
    touch -d '-1 minute' "$DIR/$file"
  done
}

make_users() {
  local dir=$DIR/dovecot
  [[ -s $dir/password ]] || printf 'rig-%s' "$(openssl rand -hex 12)" >"$dir/password"
  printf '%s' "$ODD_PASSWORD" >"$dir/password-odd"
  PASSWORD=$(<"$dir/password")
  {
    printf '%s:{PLAIN.b64}%s\n' "$USERNAME" "$(base64 -w0 <"$dir/password")"
    printf '%s:{PLAIN.b64}%s\n' "$ODD_USERNAME" "$(base64 -w0 <"$dir/password-odd")"
  } >"$dir/users"
}

# The key with which a test signs tokens (HS256), where Dovecot looks for it.
make_token_key() {
  local dir=$DIR/dovecot/tokens/default/HS256
  mkdir -p "$dir"
  [[ -s $dir/default ]] || openssl rand -base64 48 | tr -d '\n' >"$dir/default"
}

# authority NAME: a self-signed issuer.
authority() {
  openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj "/O=Sidepost rig/CN=$1" -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -keyout "$DIR/tls/$1.key" -out "$DIR/tls/$1.pem"
}

# certificate NAME ISSUER ALT_NAMES FROM UNTIL. By "openssl ca", since "openssl x509" of version 3.0
# cannot make one that has expired.
certificate() {
  local tls=$DIR/tls
  printf '%s\n' '[ca]' 'default_ca=rig' '[rig]' "database=$tls/work/index" "new_certs_dir=$tls/work" \
    'rand_serial=yes' 'unique_subject=no' 'default_md=sha256' 'policy=any' 'x509_extensions=leaf' \
    '[any]' 'commonName=supplied' '[leaf]' 'basicConstraints=critical,CA:FALSE' \
    'keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth' 'subjectKeyIdentifier=hash' \
    'authorityKeyIdentifier=keyid' "subjectAltName=$3" >"$tls/work/config"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$tls/$1.key" -out "$tls/work/$1.csr"
  openssl ca -batch -notext -config "$tls/work/config" -cert "$tls/$2.pem" -keyfile "$tls/$2.key" \
    -startdate "$4" -enddate "$5" -in "$tls/work/$1.csr" -out "$tls/$1.pem"
}

make_certificates() {
  local tls=$DIR/tls here='DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1' from until
  # A rig that is started again keeps its issuer, so that clients which trust it go on.
  ! openssl x509 -in "$tls/unknown.pem" -noout -checkend 86400 >/dev/null 2>&1 || return 0
  from=$(date -u -d '-1 day' +%Y%m%d%H%M%SZ)
  until=$(date -u -d '+29 days' +%Y%m%d%H%M%SZ)
  rm -rf "$tls/work"
  mkdir "$tls/work"
  : >"$tls/work/index"
  authority ca
  authority unknown-ca
  certificate server ca "$here" "$from" "$until"
  certificate expired ca "$here" 20200101000000Z 20200201000000Z
  certificate wrong-host ca 'DNS:mail.elsewhere.test' "$from" "$until"
  certificate unknown unknown-ca "$here" "$from" "$until"
  rm -r "$tls/work"
  # Throwaway keys, which tests of an ordinary user serve with.
  chmod 0644 "$tls"/*
}

# --- ports ---------------------------------------------------------------------------------------

ports_are_fixed() { [[ -n ${RIG_STARTTLS_PORT-}${RIG_TLS_PORT-}${RIG_PLAIN_PORT-} ]]; }

# Below the range from which the kernel takes the near ends of outgoing connections.
free_ports() {
  perl -MSocket -e '
    for (1 .. 1000) {
      my $port = 10240 + int rand 22000;
      socket(my $socket, PF_INET, SOCK_STREAM, 0) or die;
      next unless bind($socket, pack_sockaddr_in($port, INADDR_LOOPBACK));
      push @held, $socket;
      print "$port\n";
      last if @held == 3;
    }'
}

pick_ports() {
  local free
  mapfile -t free < <(free_ports)
  ((${#free[@]} == 3)) || fail "no free ports"
  STARTTLS_PORT=${RIG_STARTTLS_PORT:-${free[0]}}
  TLS_PORT=${RIG_TLS_PORT:-${free[1]}}
  PLAIN_PORT=${RIG_PLAIN_PORT:-${free[2]}}
}

# --- start ---------------------------------------------------------------------------------------

# quietly COMMAND...: nothing of the caller's is inherited, so its pipes end when it does.
quietly() { timeout 20 "$@" </dev/null >>"$DIR/log/start.log" 2>&1; }

start_dovecot() {
  fill dovecot/dovecot.conf dovecot/token.conf
  local file
  for file in "$HERE"/dovecot/auth.d/*.conf; do
    fill "dovecot/auth.d/${file##*/}"
  done
  quietly dovecot -c "$DIR/dovecot/dovecot.conf" || fail "Dovecot did not start"
}

# each_has N: whether that many sockets listen on each of the three ports.
each_has() {
  local port
  for port in "$STARTTLS_PORT" "$TLS_PORT" "$PLAIN_PORT"; do
    [[ $(grep -cE ": (0100007F|00000000):$(printf %04X "$port") [0-9A-F:]+ 0A " /proc/net/tcp) == "$1" ]] ||
      return 1
  done
}

# Postfix listens with SO_REUSEPORT: another rig's Postfix at the same port is no error to it, and the
# two would share the connections. So the ports are counted before and after.
start_postfix() {
  local try
  fill postfix/main.cf postfix/{everybody,sender_access,recipient_access,header_checks}
  for try in 1 2 3 4 5; do
    pick_ports
    fill postfix/master.cf
    # The official way to leave out checks of the package's own files.
    : >"$DIR/postfix/queue/quick-start"
    if each_has 0 && quietly postfix -c "$DIR/postfix" start && each_has 1; then return 0; fi
    end postfix
    if each_has 0 && ! grep -qs 'Address already in use' "$DIR"/log/{start,postfix}.log; then break; fi
    ! ports_are_fixed || fail "a port is taken: $STARTTLS_PORT, $TLS_PORT or $PLAIN_PORT"
    say "a port was taken meanwhile, try $try"
  done
  fail "Postfix did not start"
}

# within SECONDS COMMAND...: again and again until it succeeds.
within() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

greets() (
  exec 4<>"/dev/tcp/$HOST/$1" && read -r -t 5 line <&4 && [[ $line == 220* ]] && printf 'QUIT\r\n' >&4
) 2>/dev/null

shakes_hands() {
  quietly openssl s_client -brief -connect "$HOST:$1" "${@:2}" -CAfile "$DIR/tls/ca.pem" \
    -verify_return_error -verify_hostname localhost
}

knows_password() {
  quietly doveadm -c "$DIR/dovecot/dovecot.conf" auth test -a "$DIR/postfix/queue/private/auth" \
    "$USERNAME" "$PASSWORD"
}

check_answers() {
  within 10 knows_password || fail "Dovecot does not answer"
  within 10 greets "$PLAIN_PORT" || fail "no greeting on the plain port $PLAIN_PORT"
  within 10 shakes_hands "$STARTTLS_PORT" -starttls smtp || fail "no STARTTLS on port $STARTTLS_PORT"
  within 10 shakes_hands "$TLS_PORT" || fail "no TLS on port $TLS_PORT"
}

# Values never need quoting, so that the file can be sourced as well as split at the first "=".
write_facts() {
  local tls=$DIR/tls
  cat >"$DIR/rig.env.new" <<FACTS
HOST=$HOST
STARTTLS_PORT=$STARTTLS_PORT
TLS_PORT=$TLS_PORT
PLAIN_PORT=$PLAIN_PORT
USERNAME=$USERNAME
PASSWORD=$PASSWORD
PASSWORD_FILE=$DIR/dovecot/password
TOKEN_KEY_FILE=$DIR/dovecot/tokens/default/HS256/default
ODD_USERNAME=$ODD_USERNAME
ODD_PASSWORD_FILE=$DIR/dovecot/password-odd
MAILDIR=$DIR/Maildir
LOG=$DIR/log/postfix.log
AUTH_LOG=$DIR/log/dovecot.log
CA_FILE=$tls/ca.pem
CA_KEY=$tls/ca.key
SERVER_CERT=$tls/server.pem
SERVER_KEY=$tls/server.key
EXPIRED_CERT=$tls/expired.pem
EXPIRED_KEY=$tls/expired.key
WRONG_HOST_CERT=$tls/wrong-host.pem
WRONG_HOST_KEY=$tls/wrong-host.key
UNKNOWN_CERT=$tls/unknown.pem
UNKNOWN_KEY=$tls/unknown.key
UNKNOWN_CA_FILE=$tls/unknown-ca.pem
POSTFIX_PID=$(leader postfix)
DOVECOT_PID=$(leader dovecot)
FACTS
  sed -E -e '1s/^/{/' -e 's/([A-Z_]+)=(.*)/"\1": "\2",/' -e 's/"([0-9]+)",$/\1,/' \
    -e '$s/,$/}/' "$DIR/rig.env.new" >"$DIR/rig.json"
  mv "$DIR/rig.env.new" "$DIR/rig.env"
}

start_rig() {
  check_tools
  check_dir
  [[ -z $(leader postfix)$(leader dovecot) ]] || fail "already running in $DIR"
  # Whoever came by sudo wants to read the mail; root itself may not own it, says Postfix.
  MAIL_UID=$(id -u nobody) MAIL_GID=$(id -g nobody)
  ((${SUDO_UID:-0} == 0)) || MAIL_UID=$SUDO_UID MAIL_GID=$SUDO_GID
  trap 'stop_rig' EXIT
  make_directories
  # The first one is left by a Dovecot that was killed, and its number may be another process's by now.
  rm -f "$DIR/dovecot/run/master.pid" "$DIR"/rig.env "$DIR"/rig.json "$DIR"/log/*.log
  make_users
  make_token_key
  make_certificates >>"$DIR/log/start.log" 2>&1 || fail "the certificates could not be made"
  start_dovecot
  start_postfix
  check_answers
  write_facts
  trap - EXIT
}

# --- stop ----------------------------------------------------------------------------------------

# By what everybody may see of a process: in a container root may not look where the daemons, which have
# changed users, work or what they run.

# number postfix|dovecot: the process id in its pid file.
number() {
  local file=$DIR/postfix/queue/pid/master.pid pid=''
  [[ $1 == postfix ]] || file=$DIR/dovecot/run/master.pid
  { read -r pid <"$file"; } 2>/dev/null || true
  echo "$pid"
}

# leader postfix|dovecot: the same, if it runs and belongs to this DIR.
leader() {
  local pid
  pid=$(number "$1")
  [[ -e /proc/${pid:-none} ]] || return 0
  case $1 in
  # Postfix' master locks its file for as long as it lives.
  postfix) ! flock -s -n "$DIR/postfix/queue/pid/master.pid" true || return 0 ;;
  dovecot) grep -qszxF -e "$DIR/dovecot/dovecot.conf" "/proc/$pid/cmdline" || return 0 ;;
  esac
  echo "$pid"
}

# head_of postfix|dovecot: the id of its session, which children keep when their leader was killed.
head_of() {
  local pid
  pid=$(number "$1")
  # Somebody else's by now, if it lives and is not the leader.
  if [[ -n $pid && $(state "$pid") == Z ]] || [[ -n $(leader "$1") ]]; then echo "$pid"; fi
}

# state PID: as in ps; Z if there is none.
state() {
  local line
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || line='x) Z'
  line=${line##*) }
  echo "${line%% *}"
}

is_daemon() {
  local words
  { mapfile -d '' words <"/proc/$1/cmdline"; } 2>/dev/null || return 1
  [[ "${words[*]} " == @(*/master\ -w\ |*\ -t\ @(inet|unix|unix-dgram)\ |*/dovecot\ -c\ |dovecot-sidepost-rig/)* ]]
}

# session HEAD...: the living daemons of these sessions.
session() {
  local stat line fields head
  for stat in /proc/[0-9]*/stat; do
    { read -r line <"$stat"; } 2>/dev/null || continue
    # After the name, which may have spaces: state, parent, group, session.
    read -ra fields <<<"${line##*) }"
    for head in "$@"; do
      [[ ${fields[3]} == "$head" && ${fields[0]} != Z ]] || continue
      if is_daemon "${line%% *}"; then echo "${line%% *}"; fi
    done
  done
}

# none_of COMMAND...: whether it prints no process.
none_of() { [[ -z $("$@") ]]; }

# send SIGNAL COMMAND...: to every process that it prints. (The program "kill" is not everywhere.)
send() {
  local pids
  mapfile -t pids < <("${@:2}")
  ((${#pids[@]} == 0)) || kill -"$1" "${pids[@]}" 2>/dev/null || true
}

# end postfix|dovecot...: asks, waits, insists.
end() {
  local name heads=()
  for name in "$@"; do
    mapfile -t -O "${#heads[@]}" heads < <(head_of "$name")
    send TERM leader "$name"
  done
  within 3 none_of session "${heads[@]}" && return
  send KILL session "${heads[@]}"
  within 3 none_of session "${heads[@]}" && return
  say "still running: $(session "${heads[@]}" | xargs)"
  return 1
}

stop_rig() {
  end postfix dovecot
  # Whoever came by sudo wants to remove the files.
  if [[ ${SUDO_UID:-0} != 0 && -d $DIR/postfix ]]; then
    chown "$SUDO_UID:$SUDO_GID" "$DIR"
    chown -R "$SUDO_UID:$SUDO_GID" "$DIR"/{postfix,dovecot,log,tls,Maildir}
  fi
}

# --- the verbs -----------------------------------------------------------------------------------

status_rig() {
  local postfix dovecot
  postfix=$(leader postfix)
  dovecot=$(leader dovecot)
  if [[ -z $postfix || -z $dovecot || ! -s $DIR/rig.env ]]; then
    echo "stopped"
    return 1
  fi
  # shellcheck disable=SC1091  # written by start
  (. "$DIR/rig.env" && greets "$PLAIN_PORT" && greets "$STARTTLS_PORT") || {
    echo "running, but does not answer"
    return 1
  }
  echo "running: Postfix $postfix, Dovecot $dovecot"
}

# The keeper does the work, in a session of its own: it outlives even a KILL of this process, sees
# that its parent or its input is gone, and cleans up.
run_rig() {
  local keeper status=0
  setsid "$SELF" keep "$DIR" "$$" <&0 &
  keeper=$!
  exec </dev/null
  trap 'kill -TERM "$keeper" 2>/dev/null || true' TERM INT HUP
  while kill -0 "$keeper" 2>/dev/null; do
    status=0
    wait "$keeper" || status=$?
  done
  exit "$status"
}

parent_of() {
  local line fields
  read -r line <"/proc/$1/stat"
  read -ra fields <<<"${line##*) }"
  echo "${fields[1]}"
}

keep_rig() {
  local parent=$1 ending='' status
  # PIPE: nobody may be left to read "ready".
  trap 'ending=1' TERM INT HUP PIPE
  start_rig
  trap 'stop_rig' EXIT
  echo ready || ending=1
  while [[ -z $ending && $(parent_of "$$") == "$parent" ]]; do
    status=0
    read -r -t 0.25 _ || status=$?
    # Above 128 the time was up; 1 is the end of the input.
    ((status == 0 || status > 128)) || break
  done
}

(($# >= 2)) || usage
become_root "$@"
DIR=$(realpath -m "$2")
case $1 in
start) start_rig ;;
stop) stop_rig ;;
status) status_rig ;;
run) run_rig ;;
keep) keep_rig "$3" ;;
*) usage ;;
esac
