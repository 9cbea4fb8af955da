{{/*
The throwaway server beside pgproof: a native sidecar, which runs before pgproof starts and ends after it. It takes the
conventions of Docker's `postgres` image: PGDATA, POSTGRES_HOST_AUTH_METHOD, the socket's folder, arguments of the server.
*/}}
{{- define "pgproof.drillServer" -}}
{{- $values := .root.Values -}}
{{- $server := .db.drill.postgres -}}
- name: postgres
  image: {{ $server.image | quote }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  restartPolicy: Always
  # No network at all; and as with pgproof's own throwaway server, nothing of it outlives a crash, so nothing waits for a disk. Data checksums are as the image has them.
  args: {{ concat (list "-c" "listen_addresses=" "-c" "fsync=off" "-c" "synchronous_commit=off" "-c" "full_page_writes=off" "-c" "wal_level=minimal" "-c" "wal_init_zero=off" "-c" "max_wal_senders=0" "-c" "max_wal_size=1GB" "-c" "checkpoint_timeout=1h" "-c" "autovacuum=off" "-c" "shared_buffers=128MB" "-c" "max_locks_per_transaction=512" "-c" "dynamic_shared_memory_type=mmap" "-c" "jit=off") $server.args | toJson }}
  env:
    - {name: PGDATA, value: /drill/data}
    # Who reaches the socket is in this pod.
    - {name: POSTGRES_HOST_AUTH_METHOD, value: trust}
    {{- with $server.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .db.drill.resources | nindent 4 }}
  securityContext:
    {{- mergeOverwrite (deepCopy $values.securityContext) (deepCopy $server.securityContext) | toYaml | nindent 4 }}
  startupProbe:
    exec:
      # The image's entry point first runs a server that sets the data up, and ends it; the one that stays is process 1.
      command: [sh, -c, 'read -r pid <"$PGDATA/postmaster.pid" && test "$pid" = 1 && pg_isready --quiet --host=/var/run/postgresql --username=postgres']
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 300
  volumeMounts:
    - {name: server, mountPath: /drill}
    - {name: server-socket, mountPath: /var/run/postgresql}
    - {name: server-tmp, mountPath: /tmp}
{{- end -}}

{{/* What the throwaway server lives on, wherever it runs. Takes a dict of root and db. */}}
{{- define "pgproof.drillVolumes" -}}
{{- with .db.drill.storage -}}
- name: server
  {{- if .volume }}
  ephemeral:
    volumeClaimTemplate:
      metadata:
        labels:
          {{- include "pgproof.databaseLabels" $ | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storageClass }}
        storageClassName: {{ ternary "" . (eq . "-") | quote }}
        {{- end }}
        resources:
          requests: {storage: {{ .size | quote }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .size | quote }}}
  {{- end }}
{{- end }}
{{- if .db.drill.postgres.image }}
- name: server-socket
  emptyDir: {sizeLimit: 1Mi}
- name: server-tmp
  emptyDir: {sizeLimit: {{ .root.Values.tmpSize | quote }}}
{{- end }}
{{- end -}}
