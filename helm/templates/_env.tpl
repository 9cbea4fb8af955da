{{/* The environment of a container. Takes a dict of root, db and component. Secrets come by reference alone. */}}
{{- define "pgproof.env" -}}
{{- $values := .root.Values -}}
{{- $full := include "pgproof.fullname" .root -}}
{{- /* What runs something tells how it ended. */}}
{{- $told := not (has .component (list "test" "watch" "serve")) -}}
- {name: PGPROOF_CONFIG, value: /etc/pgproof/config.yaml}
- {name: PGPROOF_TERMINATION_LOG, value: /dev/termination-log}
{{- /* A drill or a check reads the store alone; without a target only the database's address tells whose backups are meant. */}}
{{- if and (or .db.existingSecret .db.url) (not (and .db.target (has .component (list "drill" "check")))) }}
{{ include "pgproof.secretEnv" (list "PGPROOF_DATABASE_URL" (.db.existingSecret | default (printf "%s-database" .db.base)) (ternary .db.secretKey "url" (ne .db.existingSecret ""))) }}
{{- end }}
{{- with .db.target }}
- {name: PGPROOF_TARGET, value: {{ . | quote }}}
{{- end }}
{{- with include "pgproof.storeList" .root }}
- {name: PGPROOF_STORE, value: {{ . | quote }}}
{{- end }}
- {name: PGPROOF_RETENTION, value: {{ .db.retention | quote }}}
- {name: PGPROOF_GUARD_SHRINK, value: {{ .db.guard.shrink | int | quote }}}
{{- with .db.guard.ignore }}
- {name: PGPROOF_GUARD_IGNORE, value: {{ join "," . | quote }}}
{{- end }}
{{- with $values.storesRequired }}
- {name: PGPROOF_STORES_REQUIRED, value: {{ . | int | quote }}}
{{- end }}
{{- if ne $values.store.lock "off" }}
- {name: PGPROOF_S3_LOCK, value: {{ $values.store.lock }}}
{{- end }}
{{- with $values.store.endpoint }}
- {name: PGPROOF_S3_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $values.store.region }}
- {name: PGPROOF_S3_REGION, value: {{ . | quote }}}
{{- end }}
{{- if ne $values.store.credentials "auto" }}
- {name: PGPROOF_S3_CREDENTIALS, value: {{ $values.store.credentials }}}
{{- end }}
{{- if or $values.store.existingSecret $values.store.accessKey }}
{{- $secret := $values.store.existingSecret | default (printf "%s-store" $full) }}
{{ include "pgproof.secretEnv" (list "PGPROOF_S3_ACCESS_KEY" $secret "access-key") }}
{{ include "pgproof.secretEnv" (list "PGPROOF_S3_SECRET_KEY" $secret "secret-key") }}
{{- end }}
{{- with $values.encryption.to }}
- {name: PGPROOF_ENCRYPT_TO, value: {{ join "," . | quote }}}
{{- end }}
{{- with $values.encryption.identity }}
{{- /* Only what reads backups may read them: the other pods hold public keys alone. */}}
{{- if and .existingSecret (has $.component (list "restore" "drill")) }}
{{ include "pgproof.secretEnv" (list "PGPROOF_IDENTITY" .existingSecret .secretKey) }}
{{- with .passphraseKey }}
{{ include "pgproof.secretEnv" (list "PGPROOF_IDENTITY_PASSPHRASE" $values.encryption.identity.existingSecret .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (or $values.webhook.existingSecret $values.webhook.url) $told }}
{{- $secret := $values.webhook.existingSecret | default (printf "%s-webhook" $full) }}
{{ include "pgproof.secretEnv" (list "PGPROOF_WEBHOOK_URL" $secret "url") }}
{{ include "pgproof.secretEnv" (list "PGPROOF_WEBHOOK_SECRET" $secret "secret" "optional") }}
{{- end }}
{{- if and $values.notify.existingSecret $told }}
{{ include "pgproof.secretEnv" (list "PGPROOF_NOTIFY" $values.notify.existingSecret "addresses" "optional") }}
{{- if eq .component "backup" }}
{{ include "pgproof.secretEnv" (list "PGPROOF_PING_URL" $values.notify.existingSecret "ping" "optional") }}
{{- end }}
{{- end }}
{{- if and $values.events.enabled $told }}
- {name: PGPROOF_KUBERNETES_CRONJOB, value: {{ .db.base }}-{{ .component }}}
{{- end }}
{{- if and (or $values.pushgateway.existingSecret $values.pushgateway.url) (has .component (list "backup" "restore" "drill")) }}
{{- $secret := $values.pushgateway.existingSecret | default (printf "%s-pushgateway" $full) }}
{{ include "pgproof.secretEnv" (list "PGPROOF_PUSHGATEWAY" $secret "url") }}
{{- end }}
{{- if eq .component "watch" }}
- {name: PGPROOF_WATCH_HOST, value: {{ $values.watch.host | quote }}}
- {name: PGPROOF_WATCH_PORT, value: {{ $values.watch.port | int | quote }}}
- {name: PGPROOF_WATCH_EVERY, value: {{ $values.watch.every | int | quote }}}
{{- with include "pgproof.watchTargets" .root }}
- {name: PGPROOF_WATCH_TARGETS, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- if eq .component "serve" }}
- {name: PGPROOF_SERVE_HOST, value: {{ $values.serve.host | quote }}}
- {name: PGPROOF_SERVE_PORT, value: {{ $values.serve.port | int | quote }}}
- {name: PGPROOF_SERVE_EVERY, value: {{ $values.serve.every | int | quote }}}
- {name: PGPROOF_SERVE_RELEASE, value: {{ .root.Release.Name | quote }}}
{{- with $values.serve.tokens }}
{{- if .existingSecret }}
{{ include "pgproof.secretEnv" (list "PGPROOF_API_TOKENS" .existingSecret .secretKey) }}
{{- end }}
{{- end }}
{{- with $values.serve.proxies }}
- {name: PGPROOF_SERVE_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- if $values.serve.tls.existingSecret }}
- {name: PGPROOF_SERVE_TLS_CERT, value: /etc/pgproof-tls/tls.crt}
- {name: PGPROOF_SERVE_TLS_KEY, value: /etc/pgproof-tls/tls.key}
{{- end }}
{{- end }}
{{- if and .db.restoreSecret (eq .component "restore") }}
{{ include "pgproof.secretEnv" (list "PGPROOF_RESTORE_TARGET_URL" .db.restoreSecret .db.restoreSecretKey) }}
{{- end }}
{{- if and .db.sync.existingSecret (eq .component "sync") }}
{{ include "pgproof.secretEnv" (list "PGPROOF_SYNC_URL" .db.sync.existingSecret .db.sync.secretKey) }}
{{- end }}
{{- if eq .component "drill" }}
- {name: PGPROOF_DRILL_SAMPLE, value: {{ .db.drill.sample | int | quote }}}
{{- if .db.drill.postgres.image }}
- {name: PGPROOF_DRILL_ON, value: "postgresql://postgres@/postgres?host=/var/run/postgresql"}
{{- else }}
- {name: PGPROOF_DRILL_FOLDER, value: /drill}
{{- end }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A variable from a Secret. Takes a list: variable, Secret, key and, where the key may be missing, "optional". */}}
{{- define "pgproof.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 2 | quote }}{{ if gt (len .) 3 }}, optional: true{{ end }}}
{{- end -}}
