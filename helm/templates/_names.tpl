{{/* What the names of objects begin with. A CronJob's name has 52 characters at most, and "-restore" takes 8 of them. */}}
{{- define "pgproof.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | replace "." "-" | trunc 44 | trimSuffix "-" -}}
{{- end -}}

{{/*
What the names of one database's objects begin with: the release's name, in `databases` with the entry's behind it.
Takes a dict of root and key; the single database has no key.
*/}}
{{- define "pgproof.basename" -}}
{{- $full := include "pgproof.fullname" .root -}}
{{- if .key -}}
{{- printf "%s-%s" ($full | trunc (sub 43 (len .key) | int) | trimSuffix "-") .key -}}
{{- else -}}
{{- $full -}}
{{- end -}}
{{- end -}}

{{- define "pgproof.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "pgproof.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* The volume that is the store. */}}
{{- define "pgproof.claimName" -}}
{{- .Values.store.persistence.existingClaim | default (printf "%s-backups" (include "pgproof.fullname" .)) -}}
{{- end -}}

{{/* Labels by which objects are selected; nothing in them changes with a version. */}}
{{- define "pgproof.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "pgproof.labels" -}}
{{ include "pgproof.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Labels of what belongs to one database. Takes a dict of root, db and component. */}}
{{- define "pgproof.databaseLabels" -}}
{{ include "pgproof.labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .db.label }}
pgproof/database: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Name, namespace and labels of an object of the whole release. Takes a dict of root and name. */}}
{{- define "pgproof.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "pgproof.labels" .root | nindent 2 }}
{{- end -}}

{{/* Name, namespace and labels of an object of one database. Takes a dict of root, db, component and suffix. */}}
{{- define "pgproof.databaseMetadata" -}}
name: {{ .db.base }}-{{ .suffix }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "pgproof.databaseLabels" . | nindent 2 }}
{{- end -}}
