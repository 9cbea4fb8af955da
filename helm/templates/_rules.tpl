{{/* The selector of the rules' figures: what the values say, and more. Takes a list: root and, where there is more, that. */}}
{{- define "pgproof.matching" -}}
{{- $all := list -}}
{{- with (index . 0).Values.prometheusRule.selector -}}{{- $all = append $all . -}}{{- end -}}
{{- range rest . -}}{{- $all = append $all . -}}{{- end -}}
{{- with $all -}}{{- printf "{%s}" (join "," .) -}}{{- end -}}
{{- end -}}

{{/* One rule. Takes a dict of root, alert, expr, for, severity, summary and description. */}}
{{- define "pgproof.rule" -}}
- alert: {{ .alert }}
  expr: {{ .expr | quote }}
  for: {{ .for }}
  labels:
    severity: {{ .severity }}
    {{- with .root.Values.prometheusRule.ruleLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    summary: {{ .summary | quote }}
    description: {{ .description | quote }}
{{- end -}}
