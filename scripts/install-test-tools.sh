#!/usr/bin/env bash
# Installs what the tests need beside Rust, from Debian's packages. Does nothing, quickly, when it is all
# there. Starts no service.
set -euo pipefail

PACKAGES=(
  ca-certificates    # HTTPS to where cargo and pip get their packages
  curl               # the README's HTTP examples, and OAuth over SMTP
  dovecot-core       # tests/rig: checks logins
  g++                # libFuzzer, for fuzz/
  gcc                # links, and compiles the C in ring
  git-email          # tests/clients: git send-email
  iproute2           # network namespaces for networks that are broken
  libc6-dev          # the same
  libdb5.3           # tests/clients: Exim, whose own package would replace Postfix, needs it and the next three
  libgnutls-dane0
  libidn12
  libnsl2
  libnet-ssleay-perl # TLS for swaks, which only recommends it
  libnss-wrapper     # tests/clients: a user for Exim without one in /etc/passwd
  libphp-phpmailer   # tests/clients: what PHP applications send with
  libsasl2-modules   # tests/clients: PLAIN and LOGIN for Postfix as a client
  mailutils          # tests/clients: mail, as scripts call it
  mariadb-client-core # tests/wordpress: a part of what makes a new database
  mariadb-server-core # tests/wordpress: its database
  msmtp              # tests/clients: a sendmail for scripts and cron
  nftables           # what breaks them
  openssl            # tests/rig: certificates; keys for DKIM
  php-cli            # tests/clients: runs PHPMailer
  php-illuminate-config # docs/quick-starts.md: Laravel's mail
  php-illuminate-mail
  php-mysql          # tests/wordpress: PHP asks the database
  postfix            # tests/rig: the provider; bench/: smtp-source and smtp-sink
  procps             # kill, for signals to a process of its own
  python3-venv       # tools from PyPI in a place of their own, python3 with it
  ruby-actionmailer  # docs/quick-starts.md: Rails
  ruby-railties
  shellcheck         # .ci/run: these scripts
  swaks              # an SMTP client that is not ours
)

POLICY=/usr/sbin/policy-rc.d
SAVED=$POLICY.before-sidepost
MARK='# by install-test-tools.sh, gone when it ends'

as_root() {
  if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

missing() {
  local package
  for package in "${PACKAGES[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

apt() {
  as_root timeout 1200 env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"
}

# Postfix takes the place of another mail server, which is the owner's decision and not ours.
refuse_removals() {
  local removed
  removed=$(apt install -s --no-install-recommends "$@" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | xargs)
  [[ -z $removed ]] || {
    echo "apt would remove: $removed. Install these yourself: $*" >&2
    exit 1
  }
}

# The packages would start their services, and Postfix would listen on port 25 from then on.
forbid_services() {
  trap allow_services EXIT
  # An older copy is there if this was killed once; what it saved then is the machine's own.
  if [[ -e $POLICY && ! -e $SAVED ]]; then as_root mv "$POLICY" "$SAVED"; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
  as_root chmod 0755 "$POLICY"
  # Without a configuration of its own it does not start at the next boot either.
  if [[ ! -e /etc/postfix/main.cf ]]; then
    echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections
  fi
}

allow_services() {
  if grep -qsF "$MARK" "$POLICY"; then as_root rm "$POLICY"; fi
  if [[ -e $SAVED && ! -e $POLICY ]]; then as_root mv "$SAVED" "$POLICY"; fi
}

main() {
  local wanted
  command -v dpkg-query >/dev/null || {
    echo "This installs Debian packages; on other systems install what stands at its top." >&2
    exit 1
  }
  mapfile -t wanted < <(missing)
  ((${#wanted[@]} > 0)) || return 0
  echo "installing: ${wanted[*]}"
  apt update
  refuse_removals "${wanted[@]}"
  forbid_services
  apt install -y --no-install-recommends "${wanted[@]}"
}

main
