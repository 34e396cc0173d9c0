# syntax=docker/dockerfile:1
# The server, for linux/arm64 or linux/amd64. It is compiled on the machine's own processor for the other one where they
# differ: emulation would take an hour.

FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS tools
RUN cargo install --locked cargo-chef --version 0.1.78
ARG TARGETARCH
RUN case "$TARGETARCH" in \
        arm64) echo aarch64-unknown-linux-gnu ;; \
        amd64) echo x86_64-unknown-linux-gnu ;; \
        *) echo "no such processor: $TARGETARCH" >&2; exit 1 ;; \
    esac > /target \
    && rustup target add "$(cat /target)" \
    && if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends "crossbuild-essential-$TARGETARCH" \
        && rm -rf /var/lib/apt/lists/*; \
    fi
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
WORKDIR /src

# What is to be compiled besides our own code; it changes only with the manifests.
FROM tools AS recipe
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY ws-server ws-server
COPY stream-publisher stream-publisher
COPY tests tests
COPY bench bench
RUN cargo chef prepare --recipe-path recipe.json

FROM tools AS build
COPY --from=recipe /src/recipe.json .
# A layer of its own: it is built again only when dependencies change.
RUN cargo chef cook --profile dist --target "$(cat /target)" --package ws-server --recipe-path recipe.json
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY ws-server ws-server
COPY stream-publisher stream-publisher
COPY tests tests
COPY bench bench
# The chat page is part of the program.
COPY web web
RUN cargo build --profile dist --locked --target "$(cat /target)" --package ws-server \
    && cp "target/$(cat /target)/dist/ws-server" /ws-server

# The C library and libgcc, which are all that the program links to, and root certificates; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /ws-server /usr/local/bin/ws-server
# By number, as orchestrators want to see that it is not root.
USER 65532:65532
EXPOSE 8080 8090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/ws-server", "health-check"]
ENTRYPOINT ["/usr/local/bin/ws-server"]
