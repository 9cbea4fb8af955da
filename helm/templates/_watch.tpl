{{/* What `pgproof watch` and its Service are called. */}}
{{- define "pgproof.watchName" -}}
{{- printf "%s-watch" (include "pgproof.fullname" .) -}}
{{- end -}}

{{/* Labels by which the watch's pod is selected. */}}
{{- define "pgproof.watchSelectorLabels" -}}
{{ include "pgproof.selectorLabels" . }}
app.kubernetes.io/component: watch
{{- end -}}

{{/* Name, namespace and labels of what belongs to the watch. */}}
{{- define "pgproof.watchMetadata" -}}
name: {{ include "pgproof.watchName" . }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "pgproof.labels" . | nindent 2 }}
  app.kubernetes.io/component: watch
{{- end -}}

{{/* The watch sees all databases: it has the stores of the first, whose configuration says no more of them than that of any other. */}}
{{- define "pgproof.watchDatabase" -}}
{{- $first := include "pgproof.databases" . | fromJsonArray | first -}}
{{- toJson (mergeOverwrite $first (dict "label" "" "target" "" "existingSecret" "" "url" "")) -}}
{{- end -}}

{{/* The targets that are told of even where nothing is stored of them, as far as the values name them. */}}
{{- define "pgproof.watchTargets" -}}
{{- $names := list -}}
{{- range include "pgproof.databases" . | fromJsonArray -}}
{{- if .target -}}{{- $names = append $names .target -}}{{- end -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* The probes and the port of its container. */}}
{{- define "pgproof.watchPorts" -}}
ports:
  - {name: metrics, containerPort: {{ .Values.watch.port | int }}, protocol: TCP}
startupProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 2, failureThreshold: 30}
livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 30, timeoutSeconds: 5}
readinessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 10, timeoutSeconds: 5}
{{- end -}}
