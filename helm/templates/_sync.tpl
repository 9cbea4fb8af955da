{{/* The databases of which rows are brought into a second one, as JSON. */}}
{{- define "pgproof.syncs" -}}
{{- $found := list -}}
{{- range include "pgproof.databases" . | fromJsonArray -}}
{{- if .sync.enabled -}}{{- $found = append $found . -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* What does not fit together of the syncs into second databases, as JSON. */}}
{{- define "pgproof.syncProblems" -}}
{{- $problems := list -}}
{{- $seen := dict -}}
{{- range $db := include "pgproof.databases" . | fromJsonArray -}}
{{- $where := $db.key | empty | ternary "sync" (printf "databases.%s.sync" $db.key) -}}
{{- $file := dig "sync" "url_file" "" (kindIs "map" $db.config.sync | ternary $db.config dict) -}}
{{- $sync := $db.sync -}}
{{- if $sync.enabled -}}
{{- if not (or $sync.existingSecret $file) -}}
{{- $problems = append $problems (printf "%s.enabled is set, and no second database: make a Secret with its address under the key %s (kubectl create secret generic NAME --from-file=%s=FILE) and name it in %s.existingSecret" $where $sync.secretKey $sync.secretKey $where) -}}
{{- else if and $sync.existingSecret $file -}}
{{- $problems = append $problems (printf "%s.existingSecret and config.sync.url_file both name a second database: use one of them" $where) -}}
{{- end -}}
{{- if $sync.existingSecret -}}
{{- if and (eq $sync.existingSecret $db.existingSecret) (eq $sync.secretKey $db.secretKey) -}}
{{- $problems = append $problems (printf "%s has the Secret and key of the database itself: name those of another database" $where) -}}
{{- end -}}
{{- $address := printf "%s/%s" $sync.existingSecret $sync.secretKey -}}
{{- if hasKey $seen $address -}}
{{- $problems = append $problems (printf "%s and %s have the same Secret and key, so that rows of both would meet in one database: name a Secret for each" (get $seen $address) $where) -}}
{{- end -}}
{{- $_ := set $seen $address $where -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
