{{/* The one pod template, of every Job, of the watch and of the HTTP service. Takes a dict of root, db, component, args and resources. */}}
{{- define "pgproof.podTemplate" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "pgproof.databaseLabels" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Says with which configuration a pod ran. Secrets are left out: a hash of a short password tells the password.
    checksum/config: {{ include "pgproof.config" .db | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  restartPolicy: {{ has .component (list "watch" "serve") | ternary "Always" "Never" }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds | int64 }}
  serviceAccountName: {{ include (eq .component "serve" | ternary "pgproof.serveAccountName" "pgproof.serviceAccountName") .root | quote }}
  automountServiceAccountToken: {{ or (eq .component "serve") (and $values.events.enabled (not (has .component (list "test" "watch")))) }}
  # The names of the namespace's Services do not belong into the environment.
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- if and (eq .component "drill") .db.drill.postgres.image }}
  initContainers:
    {{- include "pgproof.drillServer" . | nindent 4 }}
  {{- end }}
  containers:
    - name: pgproof
      image: {{ include "pgproof.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      # As JSON: YAML would take a day for a date.
      args: {{ toJson .args }}
      env:
        {{- include "pgproof.env" . | nindent 8 }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if has .component (list "watch" "serve") }}
      {{- include "pgproof.servicePorts" . | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      # pgproof writes its outcome there; where it could not, the log's end has to do.
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "pgproof.volumeMounts" . | nindent 8 }}
  volumes:
    {{- include "pgproof.volumes" . | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "pgproof.image" -}}
{{- with .Values.image -}}
{{- $tag := .tag | default (ternary "" $.Chart.AppVersion (ne .digest "")) -}}
{{- printf "%s%s%s" .repository (ternary (printf ":%s" $tag) "" (ne $tag "")) (ternary (printf "@%s" .digest) "" (ne .digest "")) | quote -}}
{{- end -}}
{{- end -}}

{{- define "pgproof.volumeMounts" -}}
{{- $values := .root.Values -}}
- {name: config, mountPath: /etc/pgproof, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if eq .component "restore" }}
- {name: request, mountPath: /etc/pgproof-request, readOnly: true}
{{- end }}
{{- if eq .component "drill" }}
- {{ .db.drill.postgres.image | empty | ternary "{name: server, mountPath: /drill}" "{name: server-socket, mountPath: /var/run/postgresql}" }}
{{- end }}
{{- if and (eq .component "serve") $values.serve.tls.existingSecret }}
- {name: tls, mountPath: /etc/pgproof-tls, readOnly: true}
{{- end }}
{{- if $values.store.persistence.enabled }}
- {name: backups, mountPath: {{ $values.store.persistence.mountPath | quote }}}
{{- end }}
{{- range $name, $store := $values.moreStores }}
{{- if $store.existingSecret }}
- {name: store-{{ $name }}, mountPath: /etc/pgproof-stores/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- with $values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pgproof.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap: {name: {{ .db.configName | default (printf "%s-config" .db.base) }}}
- name: tmp
  emptyDir: {sizeLimit: {{ $values.tmpSize | quote }}}
{{- if eq .component "restore" }}
- name: request
  configMap: {name: {{ .db.base }}-restore-request}
{{- end }}
{{- if eq .component "drill" }}
{{ include "pgproof.drillVolumes" . }}
{{- end }}
{{- if eq .component "serve" }}
{{- with $values.serve.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- if $values.store.persistence.enabled }}
- name: backups
  persistentVolumeClaim: {claimName: {{ include "pgproof.claimName" .root | quote }}}
{{- end }}
{{- range $name, $store := $values.moreStores }}
{{- with $store.existingSecret }}
- name: store-{{ $name }}
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
