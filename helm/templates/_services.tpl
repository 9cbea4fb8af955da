{{/* What the watch or the HTTP service and its Service are called. Takes a dict of root and component. */}}
{{- define "pgproof.serviceName" -}}
{{- printf "%s-%s" (include "pgproof.fullname" .root) .component -}}
{{- end -}}

{{/* Labels by which its pods are selected. Takes the same. */}}
{{- define "pgproof.serviceSelectorLabels" -}}
{{ include "pgproof.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Name, namespace and labels of what belongs to it. Takes the same. */}}
{{- define "pgproof.serviceMetadata" -}}
name: {{ include "pgproof.serviceName" . }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "pgproof.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
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

{{/*
The HTTP service shows the single database; of several it shows all, and hands out the rows of the one that `serve.database`
names. Where it names none, it has what the release says and no database of any kind, in a configuration of its own.
*/}}
{{- define "pgproof.serveDatabase" -}}
{{- $db := include "pgproof.database" (dict "root" . "key" "" "own" dict "target" "") | fromJson -}}
{{- if kindIs "map" $db.config.database -}}{{- $_ := unset $db.config.database "url_file" -}}{{- end -}}
{{- $db = mergeOverwrite $db (dict "configName" (include "pgproof.serviceName" (dict "root" . "component" "serve"))) -}}
{{- range include "pgproof.databases" . | fromJsonArray -}}
{{- if eq .key $.Values.serve.database -}}{{- $db = . -}}{{- end -}}
{{- end -}}
{{- $db = mergeOverwrite $db (dict "label" "") -}}
{{- if .Values.databases -}}{{- $db = mergeOverwrite $db (dict "target" "") -}}{{- end -}}
{{- toJson $db -}}
{{- end -}}

{{/* The name of its port, by which a mesh or an ingress controller tells what is spoken there. */}}
{{- define "pgproof.servePort" -}}
{{- ternary "https" "http" (ne .Values.serve.tls.existingSecret "") -}}
{{- end -}}

{{/* The account of the HTTP service: one of its own, where the chart makes any. */}}
{{- define "pgproof.serveAccountName" -}}
{{- $made := ternary (include "pgproof.serviceName" (dict "root" . "component" "serve")) (include "pgproof.serviceAccountName" .) .Values.serviceAccount.create -}}
{{- .Values.serve.serviceAccountName | default $made -}}
{{- end -}}

{{/* The port and the probes of a container. Takes a dict of root and component. */}}
{{- define "pgproof.servicePorts" -}}
{{- $values := .root.Values -}}
{{- if eq .component "watch" -}}
ports:
  - {name: metrics, containerPort: {{ $values.watch.port | int }}, protocol: TCP}
startupProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 2, failureThreshold: 30}
livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 30, timeoutSeconds: 5}
readinessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 10, timeoutSeconds: 5}
{{- else -}}
{{- $port := include "pgproof.servePort" .root -}}
{{- $scheme := upper $port -}}
ports:
  - {name: {{ $port }}, containerPort: {{ $values.serve.port | int }}, protocol: TCP}
startupProbe: {httpGet: {path: /healthz, port: {{ $port }}, scheme: {{ $scheme }}}, periodSeconds: 2, failureThreshold: 30}
livenessProbe: {httpGet: {path: /healthz, port: {{ $port }}, scheme: {{ $scheme }}}, periodSeconds: 30, timeoutSeconds: 5}
readinessProbe: {httpGet: {path: /readyz, port: {{ $port }}, scheme: {{ $scheme }}}, periodSeconds: 5, timeoutSeconds: 5}
# It listens until nobody is sent to it any more: the Service forgets a pod a moment after that was told to end.
lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
{{- end -}}
{{- end -}}

{{/* What does not fit together of the HTTP service, as JSON. */}}
{{- define "pgproof.serveProblems" -}}
{{- $problems := list -}}
{{- $serve := .Values.serve -}}
{{- if $serve.enabled -}}
{{- $own := (include "pgproof.serveDatabase" . | fromJson).config.serve -}}
{{- if not (kindIs "map" $own) -}}{{- $own = dict -}}{{- end -}}
{{- range $key := list "host" "port" "every" "tls_cert" "tls_key" "proxies" "release" -}}
{{- if hasKey $own $key -}}
{{- $problems = append $problems (printf "config.serve.%s is set: %s" $key (get (dict "release" "it is this release" "tls_cert" "name a Secret in serve.tls.existingSecret instead" "tls_key" "name a Secret in serve.tls.existingSecret instead") $key | default (printf "write serve.%s instead" $key))) -}}
{{- end -}}
{{- end -}}
{{- if and $serve.tokens.existingSecret $own.tokens_file -}}
{{- $problems = append $problems "serve.tokens.existingSecret and config.serve.tokens_file both name tokens: use one of them" -}}
{{- end -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name $serve.serviceAccountName) -}}
{{- $problems = append $problems "serve.enabled is set, and no account: every pod of the namespace that names none could make Jobs. Name one in serve.serviceAccountName, or set serviceAccount.create" -}}
{{- end -}}
{{- if not (or $serve.tokens.existingSecret $own.tokens_file) -}}
{{- $problems = append $problems (printf "serve.enabled is set, and no token, so nobody could be let in: make a Secret with them under the key %s (kubectl create secret generic NAME --from-literal=%s=$(openssl rand -hex 32)) and name it in serve.tokens.existingSecret" $serve.tokens.secretKey $serve.tokens.secretKey) -}}
{{- end -}}
{{- if and .Values.store.persistence.enabled (not (has "ReadWriteMany" .Values.store.persistence.accessModes)) -}}
{{- $problems = append $problems "serve.enabled is set, and the volume of store.persistence is mounted by one node alone: the service would keep it from the backups. Take ReadWriteMany, or a bucket" -}}
{{- end -}}
{{- if and $serve.database (not (hasKey .Values.databases $serve.database)) -}}
{{- $problems = append $problems (printf "serve.database is %s; it must be one of databases%s" $serve.database (empty .Values.databases | ternary ", of which there are none: with a single database leave it empty" (printf ": %s" (keys .Values.databases | sortAlpha | join ", ")))) -}}
{{- end -}}
{{- else if $serve.ingress.enabled -}}
{{- $problems = append $problems "serve.ingress.enabled is set, but there is nothing behind it: set serve.enabled" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
