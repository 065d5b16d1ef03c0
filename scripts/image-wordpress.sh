#!/usr/bin/env bash
# Gives docker stand-ins for the two official images in deploy/wordpress/compose.yaml, made of this machine's Debian
# packages: PHP's own web server with Debian's WordPress, and Debian's MariaDB. They read the variables that the official
# ones read there. Needs what scripts/install-test-tools.sh installs, and docker.
# shellcheck disable=SC1091,SC2034,SC2154 # what image-base.sh defines and reads
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/scripts/image-base.sh"

compose_file=$root/deploy/wordpress/compose.yaml
tools=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}/tools/wordpress")

image_of() { sed -n "s/^ *image: \($1:.*\)/\1/p" "$compose_file"; }

import() {
  tar -C "$1" --create --owner=0 --group=0 --numeric-owner . | docker import --change "LABEL $mark=true" \
    --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'ENTRYPOINT ["/entry"]' - "$2" >/dev/null
}

entry() { cat >"$1/entry" && chmod 0755 "$1/entry"; }

# Debian keeps which extensions PHP loads in /etc, which is this machine's own.
add_extensions() {
  local into=$1 folder name
  folder=$into$(php -n -r 'echo PHP_CONFIG_FILE_SCAN_DIR;')
  mkdir -p "$folder"
  for name in ctype fileinfo iconv tokenizer mysqlnd mysqli; do echo "extension=$name"; done >"$folder/all.ini"
}

make_wordpress() {
  local stage=$1
  packages=(bash coreutils dash php-cli php-mysql)
  add_system "$stage"
  add_extensions "$stage"
  # Its plain name is a link by way of /etc.
  ln -sf "$(basename "$(realpath "$(command -v php)")")" "$stage/usr/bin/php"
  mkdir -p "$stage"/usr/src "$stage"/var/www/html
  cp -a "$tools/site" "$stage/usr/src/wordpress"
  cp "$root/tests/wordpress/wp-config-of-stack.php" "$stage/usr/src/wordpress/wp-config.php"
  entry "$stage" <<'SH'
#!/bin/bash
set -e
[[ -e /var/www/html/index.php ]] || cp -r /usr/src/wordpress/. /var/www/html/
export PHP_CLI_SERVER_WORKERS=4
exec php -S 0.0.0.0:80 -t /var/www/html
SH
  import "$stage" "$(image_of wordpress)"
}

make_mariadb() {
  local stage=$1
  packages=(bash coreutils dash grep hostname sed mariadb-client-core mariadb-server-core)
  add_system "$stage"
  mkdir -p "$stage"/var/lib/mysql "$stage"/usr/local/bin
  printf '#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/3306\n' >"$stage/usr/local/bin/healthcheck.sh"
  chmod 0755 "$stage/usr/local/bin/healthcheck.sh"
  entry "$stage" <<'SH'
#!/bin/bash
set -e
[[ -d /var/lib/mysql/mysql ]] || mariadb-install-db --no-defaults --user=root --datadir=/var/lib/mysql --skip-test-db
cat >/tmp/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE;
CREATE USER IF NOT EXISTS '$MARIADB_USER'@'%' IDENTIFIED BY '$(<"$MARIADB_PASSWORD_FILE")';
GRANT ALL ON $MARIADB_DATABASE.* TO '$MARIADB_USER'@'%';
SQL
exec mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --socket=/tmp/socket --init-file=/tmp/init.sql
SH
  import "$stage" "$(image_of mariadb)"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$root/scripts/wordpress.sh"
make_wordpress "$work/wordpress"
make_mariadb "$work/mariadb"
