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

{{/* The ports of the bucket's server as JSON: those of the values, else the one in its address. */}}
{{- define "pgproof.storePorts" -}}
{{- $endpoint := trimSuffix "/" .Values.store.endpoint -}}
{{- $usual := ternary 80 443 (hasPrefix "http://" $endpoint) -}}
{{- $said := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $endpoint) -}}
{{- .Values.networkPolicy.store.ports | default (list (ternary (atoi ($said | default "0")) $usual (ne $said ""))) | toJson -}}
{{- end -}}
