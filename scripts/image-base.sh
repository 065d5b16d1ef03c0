#!/usr/bin/env bash
# Makes sure that docker has the image the Dockerfile builds from. Where it is neither there nor to
# be pulled (a closed network), a stand-in is made of this machine's own Debian and Rust, with the
# crates of Cargo.lock inside, so that the Dockerfile can be built and tested as it is, offline.
# A real image is never overwritten. Needs: Debian with gcc, a Rust toolchain, docker.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
image=$(sed -n 's/^ARG RUST_IMAGE=//p' "$root/Dockerfile")
auditable=$(sed -n 's/^ARG CARGO_AUDITABLE=//p' "$root/Dockerfile")
tools=$root/target/tools/cargo-auditable-$auditable
mark=sidepost.stand-in

# What the Dockerfile's RUN lines and a linking rustc call.
packages=(bash coreutils dash findutils gcc libc6-dev sed)

is_there() { docker image inspect "$image" >/dev/null 2>&1; }

is_stand_in() {
  [[ $(docker image inspect --format "{{index .Config.Labels \"$mark\"}}" "$image") == true ]]
}

# Of alternatives, only one may be there; the others are no mistake.
installed() {
  # shellcheck disable=SC2016 # for dpkg-query
  xargs dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^ii *//p' || true
}

with_dependencies() {
  apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
    --no-breaks --no-replaces --no-enhances "$@" | grep '^[a-z0-9]' | sort -u | installed
}

# Nothing of /etc or /var: the stand-in takes programs from this machine, never its settings.
files_of() {
  local path
  dpkg-query --listfiles "$@" | sort -u \
    | grep --invert-match --extended-regexp '^/(etc|var|usr/share/(doc|info|locale|man))/' \
    | while read -r path; do
        if [[ -L $path || -f $path ]]; then printf '%s\n' "${path#/}"; fi
      done
}

# The links are there first, because packages still name files in /bin and /lib.
add_system() {
  local into=$1 dir installed
  mkdir -p "$into"/{etc,root,tmp,usr}
  chmod 1777 "$into/tmp"
  for dir in bin sbin lib lib32 lib64 libx32; do
    if [[ -L /$dir ]]; then mkdir -p "$into/usr/$dir" && cp -P "/$dir" "$into/$dir"; fi
  done
  mapfile -t installed < <(with_dependencies "${packages[@]}")
  files_of "${installed[@]}" | tar -C / --create --no-recursion --files-from=- | tar -C "$into" --extract
  ln -sf gcc "$into/usr/bin/cc"
  ln -sf dash "$into/usr/bin/sh"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$into/etc/passwd"
}

# The sysroot less its documentation and its other tools and targets.
add_rust() {
  local into=$1/usr/local/rust from target
  from=$(cd "$root" && rustc --print sysroot)
  target=$(cd "$root" && rustc --print host-tuple)
  mkdir -p "$into"/{bin,lib/rustlib}
  cp -a "$from"/bin/{cargo,rustc} "$into/bin"
  cp -a "$from"/lib/*.so* "$into/lib"
  cp -a "$from/lib/rustlib/$target" "$into/lib/rustlib"
}

add_crates() {
  local into=$1/usr/local/cargo
  mkdir -p "$into"
  (cd "$root" && cargo vendor --quiet --locked --versioned-dirs "$into/vendor" >/dev/null)
  cat >"$into/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/usr/local/cargo/vendor"
TOML
}

# The Dockerfile installs it where it is not there; without a network it has to be.
add_auditable() {
  [[ -x $tools/bin/cargo-auditable ]] \
    || cargo install cargo-auditable --version "$auditable" --locked --quiet --root "$tools" >&2
  install "$tools/bin/cargo-auditable" "$1/usr/local/rust/bin/"
}

make_stand_in() {
  local stage=$1
  add_system "$stage"
  add_rust "$stage"
  add_auditable "$stage"
  add_crates "$stage"
  tar -C "$stage" --create --owner=0 --group=0 --numeric-owner . | docker import \
    --change "LABEL $mark=true" \
    --change 'ENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true' \
    - "$image" >/dev/null
}

main() {
  if is_there && ! is_stand_in; then
    echo "$image is there"
  elif ! is_there && timeout 300 docker pull --quiet "$image" >/dev/null 2>&1; then
    echo "$image pulled"
  else
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    make_stand_in "$stage"
    echo "$image is a stand-in made of $(cd "$root" && rustc --version) and Debian $(cat /etc/debian_version)"
  fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main; fi
