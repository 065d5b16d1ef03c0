#!/usr/bin/env bash
# cron.sh CRON SENDMAIL FOLDER: Debian's cron in namespaces of its own, where FOLDER/crontab is all there is to do,
# SENDMAIL stands at /usr/sbin/sendmail, and FOLDER/dev/log takes what it writes to the system's log.
set -euo pipefail
cron=$1 sendmail=$2 folder=$3

hide() { if [[ -e $1 ]]; then mount --bind "$2" "$1"; fi; }

mkdir "$folder"/{empty,run}
: >"$folder/nothing"
hide /etc/crontab "$folder/nothing"
hide /etc/cron.d "$folder/empty"
mount --bind "$sendmail" /usr/sbin/sendmail
mount --bind "$folder/run" /run
mount -t tmpfs -o mode=0755 tmpfs /var/spool
mkdir -p /var/spool/cron/crontabs
install -m 0600 "$folder/crontab" /var/spool/cron/crontabs/root
for device in null zero random urandom; do
  : >"$folder/dev/$device"
  mount --bind "/dev/$device" "$folder/dev/$device"
done
mount --rbind "$folder/dev" /dev
exec "$cron" -f
