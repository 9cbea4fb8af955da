# The image of pgproof: its programs, the PostgreSQL clients, and a server of the newest major for drills.
#
#   docker build -t pgproof .                              clients 14 to 18, from PostgreSQL's own apt repository
#   docker build --build-arg PG_MAJORS=17 -t pgproof .     Debian's own major alone, from Debian alone
FROM debian:trixie-slim AS base
ENV DEBIAN_FRONTEND=noninteractive


# ---- pgproof and what it needs, in a place of its own; wheels only, so nothing is compiled
FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv
# pip stays behind: it installs into the venv from outside
RUN python3 -m venv --without-pip /opt/pgproof && python3 -m venv /opt/pip
COPY pyproject.toml README.md CHANGELOG.md LICENSE /src/
COPY backup /src/backup
RUN /opt/pip/bin/pip --python /opt/pgproof/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
      --root-user-action ignore --only-binary :all: --no-binary pgproof --compile "/src[chat,serve]"


# ---- what runs
FROM base
ARG PG_MAJORS="14 15 16 17 18"

COPY --chmod=0755 docker/install-postgresql /tmp/
RUN /tmp/install-postgresql "${PG_MAJORS}" && rm /tmp/install-postgresql

COPY --from=build /opt/pgproof /opt/pgproof

# A numeric user that has a name; group 0 as OpenShift gives it to the user ids that it makes up.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pgproof \
 && ln -s /opt/pgproof/bin/pgproof /usr/local/bin/ \
 && for major in ${PG_MAJORS}; do "/usr/lib/postgresql/${major}/bin/pg_dump" --version || exit; done \
 && pgproof --version
USER 10001:0
WORKDIR /tmp
# Nothing is written but below /tmp, so that the root file system may be read-only.
ENV HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
ENTRYPOINT ["pgproof"]
CMD ["--help"]

ARG VERSION="0.1.0"
ARG REVISION=""
LABEL org.opencontainers.image.title="pgproof" \
      org.opencontainers.image.description="PostgreSQL backups for Kubernetes that prove they restore" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
