{{/* One rule of a NetworkPolicy. Takes a dict of ports and to. */}}
{{- define "pgproof.egress" -}}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . | int }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The ports of the buckets' servers as JSON: those of the values, else the ones in their addresses; none without a bucket. */}}
{{- define "pgproof.storePorts" -}}
{{- $ports := list -}}
{{- if not (hasPrefix "/" (include "pgproof.storeUrl" .)) -}}{{- $ports = append $ports (include "pgproof.portOf" .Values.store.endpoint | atoi) -}}{{- end -}}
{{- range .Values.moreStores -}}
{{- if hasPrefix "s3://" (.url | default "") -}}
{{- $ports = append $ports (include "pgproof.portOf" (.endpoint | default $.Values.store.endpoint) | atoi) -}}
{{- end -}}
{{- end -}}
{{- if $ports -}}{{- $ports = .Values.networkPolicy.store.ports | default ($ports | uniq) -}}{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* The port in the address of an S3 server, which may be empty. */}}
{{- define "pgproof.portOf" -}}
{{- $endpoint := trimSuffix "/" . -}}
{{- $said := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $endpoint) -}}
{{- $said | default (ternary "80" "443" (hasPrefix "http://" $endpoint)) -}}
{{- end -}}
