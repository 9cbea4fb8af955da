{{/* Refuses values that do not fit together, all at once. What one value alone may be, says values.schema.json. */}}
{{- define "pgproof.check" -}}
{{- $problems := concat (include "pgproof.databaseProblems" . | fromJsonArray) (include "pgproof.storeProblems" . | fromJsonArray) (include "pgproof.syncProblems" . | fromJsonArray) (include "pgproof.serveProblems" . | fromJsonArray) (include "pgproof.otherProblems" . | fromJsonArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{/*
The secrets that a configuration holds, as JSON: paths of those settings of pgproof that are secret (a test compares
them with the program's own list). Takes the configuration.
*/}}
{{- define "pgproof.secretsIn" -}}
{{- $found := list -}}
{{- $sections := dict "database" .database "encryption" .encryption "sync" .sync "metrics" .metrics "serve" .serve -}}
{{- if kindIs "map" .notify -}}
{{- $notify := .notify -}}
{{- $_ := set $sections "notify" (pick .notify "to") -}}
{{- range $name := list "webhook" "ping" -}}{{- $_ := set $sections (printf "notify.%s" $name) (get $notify $name) -}}{{- end -}}
{{- end -}}
{{- if kindIs "map" .stores -}}
{{- range $name, $store := .stores -}}{{- $_ := set $sections (printf "stores.%s" $name) $store -}}{{- end -}}
{{- end -}}
{{- range $path, $section := $sections -}}
{{- if kindIs "map" $section -}}
{{- range $key := list "access_key" "secret_key" "session_token" "identity" "identity_passphrase" "pushgateway" "tokens" (ternary "to" "" (eq $path "notify")) (hasPrefix "stores." $path | ternary "" "url") "secret" -}}
{{- if get $section $key -}}{{- $found = append $found (printf "%s.%s" $path $key) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "pgproof.databaseProblems" -}}
{{- $problems := list -}}
{{- $single := .Values.database -}}
{{- if and .Values.databases (or $single.existingSecret $single.url $single.target) -}}
{{- $problems = append $problems "database and databases are both set: use database for one, databases for several" -}}
{{- end -}}
{{- $targets := dict -}}
{{- range $db := include "pgproof.databases" . | fromJsonArray -}}
{{- $where := $db.key | empty | ternary "database" (printf "databases.%s" $db.key) -}}
{{- $config := kindIs "map" $db.config.database | ternary $db.config.database dict -}}
{{- if and $db.existingSecret $db.url -}}
{{- $problems = append $problems (printf "%s.existingSecret and %s.url are both set: the Secret is for use, the url for trying out" $where $where) -}}
{{- else if not (or $db.existingSecret $db.url $config.url_file) -}}
{{- $problems = append $problems (printf "no database is set: make a Secret with its address under the key %s (kubectl create secret generic NAME --from-file=%s=FILE) and name it in %s.existingSecret" $db.secretKey $db.secretKey $where) -}}
{{- else if and $config.url_file (or $db.existingSecret $db.url) -}}
{{- $problems = append $problems (printf "%s and config.database.url_file both name a database: use one of them" $where) -}}
{{- end -}}
{{- range $path := include "pgproof.secretsIn" $db.config | fromJsonArray -}}
{{- $problems = append $problems (printf "config.%s would put a secret into a ConfigMap: name a Secret in %s" $path (hasPrefix "notify.webhook" $path | ternary "webhook.existingSecret" (get (dict "metrics" "pushgateway.existingSecret" "database" "database.existingSecret" "stores" "store.existingSecret" "encryption" "encryption.identity.existingSecret" "sync" "sync.existingSecret" "serve" "serve.tokens.existingSecret" "notify" "notify.existingSecret") (splitList "." $path | first)))) -}}
{{- end -}}
{{- if $db.config.target -}}
{{- $problems = append $problems (printf "config.target is set: write %s.target instead" $where) -}}
{{- end -}}
{{- range $key := list "retention" "guard" "stores_required" -}}
{{- if hasKey $db.config $key -}}
{{- $problems = append $problems (printf "config.%s is set: write %s instead" $key (ternary "storesRequired" $key (eq $key "stores_required"))) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "to" "identity_file" -}}
{{- if hasKey ($db.config.encryption | default dict) $key -}}
{{- $problems = append $problems (printf "config.encryption.%s is set: write encryption.%s instead" $key (ternary "to" "identity.existingSecret" (eq $key "to"))) -}}
{{- end -}}
{{- end -}}
{{- if and $.Values.encryption.to $db.drill.enabled (not $.Values.encryption.identity.existingSecret) -}}
{{- $problems = append $problems "drill.enabled is set and backups are encrypted, but a drill has no identity to open them: name its Secret in encryption.identity.existingSecret, or run pgproof drill where the identity is" -}}
{{- end -}}
{{- range $key := list "sample" "folder" -}}
{{- if hasKey ($db.config.drill | default dict) $key -}}
{{- $problems = append $problems (printf "config.drill.%s is set: write drill.%s instead" $key (ternary "storage" $key (eq $key "folder"))) -}}
{{- end -}}
{{- end -}}
{{- if and $db.drill.storage.storageClass (not $db.drill.storage.volume) -}}
{{- $problems = append $problems "drill.storage.storageClass is set, and drill.storage.volume is not: the node's disk has no storage class" -}}
{{- end -}}
{{- if and $db.target (hasKey $targets $db.target) -}}
{{- $problems = append $problems (printf "databases.%s and databases.%s have the same target %s, so that nobody could tell their backups apart" (get $targets $db.target) $db.key $db.target) -}}
{{- end -}}
{{- $_ := set $targets ($db.target | default "") $db.key -}}
{{- end -}}
{{- toJson ($problems | uniq) -}}
{{- end -}}

{{- define "pgproof.storeProblems" -}}
{{- $problems := list -}}
{{- $store := .Values.store -}}
{{- $url := include "pgproof.storeUrl" . -}}
{{- $mounts := list -}}
{{- $volume := trimSuffix "/" $store.persistence.mountPath -}}
{{- if $store.persistence.enabled -}}{{- $mounts = append $mounts $volume -}}{{- end -}}
{{- if and $store.persistence.enabled (has $volume (list "/tmp" "/drill" "/etc/pgproof" "/etc/pgproof-request" "/etc/pgproof-stores" "/etc/pgproof-tls")) -}}
{{- $problems = append $problems (printf "store.persistence.mountPath is %s, where the chart mounts something else" $volume) -}}
{{- end -}}
{{- if and $store.persistence.enabled (not (or (eq (trimSuffix "/" $url) $volume) (hasPrefix (printf "%s/" $volume) $url))) -}}
{{- $problems = append $problems (printf "store.url is %s, and store.persistence is enabled too: use the bucket or the volume" $url) -}}
{{- end -}}
{{- range $name, $more := .Values.moreStores -}}
{{- if not $more.url -}}
{{- $problems = append $problems (printf "moreStores.%s.url is not set: it is s3://bucket/prefix, or a folder on a mounted volume" $name) -}}
{{- end -}}
{{- if hasKey (dig "stores" dict $.Values.config) $name -}}
{{- $problems = append $problems (printf "moreStores.%s and config.stores.%s are both set" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.moreStores (not $url) -}}
{{- $problems = append $problems "moreStores is set and store.url is not: the first store stands there" -}}
{{- end -}}
{{- range .Values.extraVolumeMounts -}}{{- $mounts = append $mounts .mountPath -}}{{- end -}}
{{- $count := add (len .Values.moreStores) (ternary 1 0 (ne $url "")) -}}
{{- if and .Values.moreStores .Values.storesRequired (gt (int .Values.storesRequired) (int $count)) -}}
{{- $problems = append $problems (printf "storesRequired is %d, but there are %d stores" (int .Values.storesRequired) (int $count)) -}}
{{- end -}}
{{- range $name, $more := .Values.moreStores -}}
{{- if hasPrefix "/" ($more.url | default "") -}}
{{- $mounted := false -}}
{{- range $mounts -}}{{- if or (eq $more.url .) (hasPrefix (printf "%s/" (trimSuffix "/" .)) $more.url) -}}{{- $mounted = true -}}{{- end -}}{{- end -}}
{{- if not $mounted -}}
{{- $problems = append $problems (printf "moreStores.%s.url is the folder %s, but no volume is mounted there: set store.persistence.enabled, or extraVolumes and extraVolumeMounts" $name $more.url) -}}
{{- end -}}
{{- end -}}
{{- range $path := include "pgproof.secretsIn" (dict "stores" (dict $name ($more.config | default dict))) | fromJsonArray -}}
{{- $problems = append $problems (printf "moreStores.%s.config would put a secret into a ConfigMap: name a Secret in moreStores.%s.existingSecret" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or $url (dig "stores" dict .Values.config)) -}}
{{- $problems = append $problems "no store is set: set store.url to s3://bucket/prefix, or store.persistence.enabled for a volume" -}}
{{- else if hasPrefix "/" $url -}}
{{- $mounted := false -}}
{{- range $mounts -}}{{- if or (eq $url .) (hasPrefix (printf "%s/" (trimSuffix "/" .)) $url) -}}{{- $mounted = true -}}{{- end -}}{{- end -}}
{{- if not $mounted -}}
{{- $problems = append $problems (printf "store.url is the folder %s, but no volume is mounted there: set store.persistence.enabled, or extraVolumes and extraVolumeMounts" $url) -}}
{{- end -}}
{{- end -}}
{{- if and $store.existingSecret (or $store.accessKey $store.secretKey) -}}
{{- $problems = append $problems "store.existingSecret and store.accessKey or store.secretKey are both set: the Secret is for use, the keys for trying out" -}}
{{- else if ne (empty $store.accessKey) (empty $store.secretKey) -}}
{{- $problems = append $problems "only one of store.accessKey and store.secretKey is set: they belong together" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "pgproof.otherProblems" -}}
{{- $problems := list -}}
{{- if and .Values.watch.enabled .Values.store.persistence.enabled (not (has "ReadWriteMany" .Values.store.persistence.accessModes)) -}}
{{- $problems = append $problems "watch.enabled is set, and the volume of store.persistence is mounted by one node alone: the watch would keep it from the backups. Take ReadWriteMany, or let runs push their figures (pushgateway) and a CronJob look (check.enabled)" -}}
{{- end -}}
{{- if and .Values.webhook.existingSecret (or .Values.webhook.url .Values.webhook.secret) -}}
{{- $problems = append $problems "webhook.existingSecret and webhook.url or webhook.secret are both set: the Secret is for use, the others for trying out" -}}
{{- else if and .Values.webhook.secret (not .Values.webhook.url) -}}
{{- $problems = append $problems "webhook.secret is set without webhook.url" -}}
{{- end -}}
{{- if and .Values.pushgateway.existingSecret .Values.pushgateway.url -}}
{{- $problems = append $problems "pushgateway.existingSecret and pushgateway.url are both set: use one of them" -}}
{{- end -}}
{{- if and .Values.watch.serviceMonitor.enabled (not .Values.watch.enabled) -}}
{{- $problems = append $problems "watch.serviceMonitor.enabled is set, but there is nothing to scrape: set watch.enabled" -}}
{{- end -}}
{{- if and (or .Values.watch.enabled .Values.serve.enabled) (not (regexMatch "^[a-z]" (include "pgproof.fullname" .))) -}}
{{- $problems = append $problems (printf "the name of a Service begins with a letter, and %s does not: set fullnameOverride" (include "pgproof.fullname" .)) -}}
{{- end -}}
{{- range $key := keys .Values.podLabels .Values.podAnnotations -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by)|helm\\.sh/chart|pgproof/database|checksum/config)$" $key -}}
{{- $problems = append $problems (printf "%s is the chart's own: it cannot be set in podLabels or podAnnotations" $key) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.restore.backup .Release.IsUpgrade -}}
{{- $problems = append $problems "restore.backup is for helm template alone: helm template … -s templates/restore-job.yaml --set restore.backup=… | kubectl create -f -" -}}
{{- end -}}
{{- if and .Values.restore.backup .Values.databases (not (hasKey .Values.databases .Values.restore.database)) -}}
{{- $problems = append $problems (printf "restore.database says which database is restored; it must be one of %s" (keys .Values.databases | sortAlpha | join ", ")) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
