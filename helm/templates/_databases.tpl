{{/*
The databases of the release as JSON: for each what is its own, else what the release says. The single database has the
label `default` and no key. It is the only place that knows that there are two ways to name databases.
*/}}
{{- define "pgproof.databases" -}}
{{- $root := . -}}
{{- $all := list -}}
{{- if .Values.databases -}}
{{- range $key, $own := .Values.databases -}}
{{- $own := $own | default dict -}}
{{- $target := $own.target | default $key -}}
{{- $all = append $all (include "pgproof.database" (dict "root" $root "key" $key "own" $own "target" $target) | fromJson) -}}
{{- end -}}
{{- else -}}
{{- $all = append $all (include "pgproof.database" (dict "root" $root "key" "" "own" .Values.database "target" .Values.database.target) | fromJson) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* One of them. Takes a dict of root, key, own and target. */}}
{{- define "pgproof.database" -}}
{{- $values := .root.Values -}}
{{- $own := .own -}}
{{- $restore := $own.restore | default dict -}}
{{- $drill := mergeOverwrite (deepCopy $values.drill) (deepCopy ($own.drill | default dict)) -}}
{{- $sync := mergeOverwrite (deepCopy $values.sync) (deepCopy ($own.sync | default dict)) -}}
{{- $config := mergeOverwrite (deepCopy $values.config) (deepCopy ($own.config | default dict)) -}}
{{- if $drill.checks -}}
{{- $_ := set $config "drill" (mergeOverwrite ($config.drill | default dict) (dict "checks" $drill.checks)) -}}
{{- end -}}
{{- $stores := $config.stores | default dict -}}
{{- range $name, $store := $values.moreStores -}}
{{- $said := include "pgproof.moreStore" (list $name $store) | fromYaml -}}
{{- $_ := set $stores $name (mergeOverwrite $said (deepCopy ($store.config | default dict))) -}}
{{- end -}}
{{- if $stores -}}{{- $_ := set $config "stores" $stores -}}{{- end -}}
{{- $db := dict
      "key" .key
      "label" (.key | default "default")
      "base" (include "pgproof.basename" (dict "root" .root "key" .key))
      "existingSecret" ($own.existingSecret | default "")
      "secretKey" ($own.secretKey | default $values.database.secretKey)
      "url" ($own.url | default "")
      "target" .target
      "schedule" ($own.schedule | default $values.schedule)
      "timeZone" ($own.timeZone | default $values.timeZone)
      "suspend" (hasKey $own "suspend" | ternary $own.suspend $values.suspend)
      "activeDeadlineSeconds" ($own.activeDeadlineSeconds | default $values.activeDeadlineSeconds)
      "guard" (mergeOverwrite (deepCopy $values.guard) (deepCopy ($own.guard | default dict)))
      "retention" ($own.retention | default $values.retention)
      "config" $config
      "resources" (mergeOverwrite (deepCopy $values.resources) (deepCopy ($own.resources | default dict)))
      "restoreSecret" ($restore.existingSecret | default $values.restore.existingSecret)
      "restoreSecretKey" ($restore.secretKey | default $values.restore.secretKey)
      "request" (mergeOverwrite (deepCopy $values.restore.request) (deepCopy ($restore.request | default dict)))
      "drill" $drill
      "sync" $sync
-}}
{{- toJson $db -}}
{{- end -}}

{{/* The address of the store; empty where the configuration names the stores. */}}
{{- define "pgproof.storeUrl" -}}
{{- with .Values.store -}}
{{- .url | default (ternary .persistence.mountPath "" .persistence.enabled) -}}
{{- end -}}
{{- end -}}

{{/* What PGPROOF_STORE says: that address, and the names of the others. */}}
{{- define "pgproof.storeList" -}}
{{- $names := keys .Values.moreStores | sortAlpha -}}
{{- with include "pgproof.storeUrl" . -}}{{- $names = prepend $names . -}}{{- end -}}
{{- if include "pgproof.storeUrl" . -}}{{- join "," $names -}}{{- end -}}
{{- end -}}

{{/* One more store as pgproof's configuration has it. Takes a list: its name and what the values say of it. */}}
{{- define "pgproof.moreStore" -}}
{{- $name := index . 0 -}}
{{- with index . 1 -}}
url: {{ .url | quote }}
{{- with .endpoint }}
endpoint: {{ . | quote }}
{{- end }}
{{- with .region }}
region: {{ . | quote }}
{{- end }}
{{- with .credentials | default (ternary "keys" "" (ne (.existingSecret | default "") "")) }}
credentials: {{ . | quote }}
{{- end }}
{{- with .lock }}
lock: {{ . | quote }}
{{- end }}
{{- with .retention }}
retention: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
access_key_file: /etc/pgproof-stores/{{ $name }}/access-key
secret_key_file: /etc/pgproof-stores/{{ $name }}/secret-key
{{- end }}
{{- end -}}
{{- end -}}

{{/* The configuration file of one database. Takes its dict. */}}
{{- define "pgproof.config" -}}
{{- .config | toYaml -}}
{{- end -}}
