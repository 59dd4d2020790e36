# The server in a container, with PostgreSQL's binaries for its private cluster. Data is in /var/lib/agentflow.
# This file has not been tried where the project is developed: there are no containers there.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends binaryen && rm -rf /var/lib/apt/lists/*
RUN rustup target add wasm32-unknown-unknown
WORKDIR /build
COPY . .
ENV CARGO_TARGET_DIR=/build/target
RUN cargo xtask build --release

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates postgresql-common \
    && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf \
    && apt-get install -y --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0755 /var/lib/agentflow
COPY --from=build /build/target/release/agentflow /usr/local/bin/agentflow
# Not root: the user that Debian's PostgreSQL brings along.
USER postgres
ENV AGENTFLOW_ADDRESS=0.0.0.0:3000 AGENTFLOW_DATA_DIR=/var/lib/agentflow
VOLUME /var/lib/agentflow
EXPOSE 3000
STOPSIGNAL SIGTERM
CMD ["agentflow", "serve"]
