{{/* The spec of a Job that makes one backup. Takes a dict of root and db. */}}
{{- define "pgproof.backupJobSpec" -}}
{{- $values := .root.Values -}}
backoffLimit: {{ $values.backoffLimit | int }}
activeDeadlineSeconds: {{ .db.activeDeadlineSeconds | int64 }}
# The next pod starts only when the last one is gone, which holds the lock of the database until then.
podReplacementPolicy: Failed
# Codes that a retry cannot mend: usage, configuration, nothing found, lock, later step, suspect, degraded, refused.
podFailurePolicy:
  {{- include "pgproof.failurePolicy" (list 2 3 9 10 11 12 13 14) | nindent 2 }}
template:
  {{- include "pgproof.podTemplate" (dict "root" .root "db" .db "component" "backup" "args" (list "backup") "resources" .db.resources) | nindent 2 }}
{{- end -}}

{{/* Which failures end a Job at once. Takes the list of their codes. */}}
{{- define "pgproof.failurePolicy" -}}
rules:
  # A pod that a node's end, a drain or an eviction took away has not failed.
  - action: Ignore
    onPodConditions:
      - {type: DisruptionTarget, status: "True"}
  - action: FailJob
    onExitCodes:
      containerName: pgproof
      operator: In
      values: {{ toJson . }}
{{- end -}}

{{/* The spec of a Job that restores; it is never tried again by itself. Takes a dict of root, db and args. */}}
{{- define "pgproof.restoreJobSpec" -}}
{{- $restore := .root.Values.restore -}}
backoffLimit: 0
{{- with $restore.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ . | int64 }}
{{- end }}
template:
  {{- include "pgproof.podTemplate" (dict "root" .root "db" .db "component" "restore" "args" .args "resources" ($restore.resources | default .db.resources)) | nindent 2 }}
{{- end -}}

{{/* The spec of a Job that proves a backup; it is never tried again by itself either. Takes a dict of root and db. */}}
{{- define "pgproof.drillJobSpec" -}}
{{- $drill := .db.drill -}}
backoffLimit: 0
activeDeadlineSeconds: {{ $drill.activeDeadlineSeconds | int64 }}
{{- if $drill.storage.volume }}
# The volume is there, and costs, for as long as the pod's record is: an hour to read its log. The result is in the store.
ttlSecondsAfterFinished: 3600
{{- end }}
template:
  {{- include "pgproof.podTemplate" (dict "root" .root "db" .db "component" "drill" "args" (list "drill" $drill.backup) "resources" (ternary .db.resources $drill.resources (ne $drill.postgres.image ""))) | nindent 2 }}
{{- end -}}

{{/* The spec of a Job that brings rows into a second database. Takes a dict of root and db. */}}
{{- define "pgproof.syncJobSpec" -}}
backoffLimit: {{ .root.Values.backoffLimit | int }}
activeDeadlineSeconds: {{ .db.sync.activeDeadlineSeconds | int64 }}
# The next pod starts only when the last one is gone, and what it had begun in the second database with it.
podReplacementPolicy: Failed
# As of a backup; 8 is a second database that does not take the rows.
podFailurePolicy:
  {{- include "pgproof.failurePolicy" (list 2 3 8 9 10 11 12 13 14) | nindent 2 }}
template:
  {{- include "pgproof.podTemplate" (dict "root" .root "db" .db "component" "sync" "args" (list "sync") "resources" (.db.sync.resources | default .db.resources)) | nindent 2 }}
{{- end -}}

{{/* The spec of a Job that tells whether backups are young enough. What it finds is its outcome, so it is not tried again. */}}
{{- define "pgproof.checkJobSpec" -}}
{{- $check := .root.Values.check -}}
{{- $args := list "check" "--alert" "--max-age" $check.maxAge -}}
{{- with $check.maxProvenAge -}}{{- $args = concat $args (list "--max-proven-age" .) -}}{{- end -}}
backoffLimit: 0
activeDeadlineSeconds: 600
template:
  {{- include "pgproof.podTemplate" (dict "root" .root "db" .db "component" "check" "args" $args "resources" .db.resources) | nindent 2 }}
{{- end -}}
