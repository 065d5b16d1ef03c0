# The base of the build stage: scripts/image-base.sh reads its name from this line.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The C library goes into the binary, since the image has no other file; no path of the build stays in it.
ARG FLAGS="-C target-feature=+crt-static --remap-path-prefix=/build=sidepost --remap-path-prefix=/usr/local/cargo=cargo"
# Of a target, and given with --target below, so that they do not reach procedural macros, which cannot be static. Rust's
# own linker, which is the usual one for x86_64 alone, packs relocations (200 kB), keeps one of functions that are the same,
# and puts those next to each other that an idle process runs (1.5 MB of memory).
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="$FLAGS -C linker=link/in-order.sh -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="$FLAGS"

# It puts the list of crates into the binary, where scanners read it (cargo audit bin, syft, trivy).
ARG CARGO_AUDITABLE=0.7.7
RUN command -v cargo-auditable || cargo install cargo-auditable --version "$CARGO_AUDITABLE" --locked

# The dependencies alone, so that this layer lasts until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY link/in-order.sh link/
RUN mkdir src \
 && echo 'fn main() {}' >src/main.rs \
 && touch src/lib.rs \
 && cargo auditable build --release --locked --target "$(rustc --print host-tuple)"

# .dockerignore lets in only what the build reads. The touch: COPY keeps old times, and cargo
# would take the empty program above for the newer one.
COPY . .
RUN find src -name '*.rs' -exec touch {} + \
 && target="$(rustc --print host-tuple)" \
 && cargo auditable build --release --locked --target "$target" \
 && install -m 0555 "target/$target/release/sidepost" /sidepost \
 && install -d -m 0775 /volumes/opt/sidepost

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=
ARG DOCUMENTATION=
LABEL org.opencontainers.image.title="Sidepost" \
      org.opencontainers.image.description="The mail sidecar: HTTP JSON and SMTP in, your mail provider out, and the truth about what happened." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${DOCUMENTATION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /sidepost /sidepost
# A new volume gets the owner of the folder that it is mounted over: for `serve --install-shim /opt/sidepost`.
COPY --from=build --chown=65532:0 /volumes/opt /opt

# A container's loopback is nobody else's: listen everywhere, and let SIDEPOST_ALLOWED_CLIENTS
# decide who is served. Health and metrics on 9025 do so by themselves.
ENV SIDEPOST_HTTP_LISTEN=[::]:8025 \
    SIDEPOST_SMTP_LISTEN=[::]:1025
EXPOSE 8025 1025 9025

# By number, because Kubernetes' runAsNonRoot cannot judge a name. Any other number works too.
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --retries=3 CMD ["/sidepost", "healthcheck"]
ENTRYPOINT ["/sidepost"]
