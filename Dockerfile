# The base of the build stage: scripts/image-base.sh reads its name from this line.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The C library goes into the binary, since the image has no other file. It needs --target below:
# without it the flag would reach procedural macros, which cannot be static.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies alone, so that this layer lasts until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' >src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked --target "$(rustc --print host-tuple)"

# .dockerignore lets in only what the build reads. The touch: COPY keeps old times, and cargo
# would take the empty program above for the newer one.
COPY . .
RUN find src -name '*.rs' -exec touch {} + \
 && target="$(rustc --print host-tuple)" \
 && cargo build --release --locked --target "$target" \
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
