{{- define "tokentide.name" -}}
{{- if eq .Release.Name "tokentide" -}}tokentide{{- else -}}{{ printf "%s-tokentide" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "tokentide.labels" -}}
app.kubernetes.io/name: tokentide
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tokentide.selector" -}}
app.kubernetes.io/name: tokentide
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tokentide.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tokentide.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tokentide.name" .) -}}
{{- end -}}

{{- /* Which Secret a part reads: what it may know and nothing else. */ -}}
{{- define "tokentide.secretKind" -}}
{{- if has . (list "alerts" "board") -}}reader{{- else if eq . "collector" -}}collector{{- else -}}writer{{- end -}}
{{- end -}}

{{- define "tokentide.secret" -}}
{{- $kind := include "tokentide.secretKind" .part -}}
{{- get .root.Values.secrets $kind | required (printf "secrets.%s: name a Secret; docs/operations/kubernetes.md says what is in it" $kind) -}}
{{- end -}}

{{- define "tokentide.environment" -}}
- {name: TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | required "kafka.bootstrapServers: give host:port of the brokers" | quote }}}
- {name: TOKENTIDE_SECRETS_DIR, value: /secrets}
- {name: TOKENTIDE_DATA_DIR, value: /data}
- {name: TOKENTIDE_HEALTH_HOST, value: "0.0.0.0"}
- {name: TOKENTIDE_HEALTH_PORT, value: {{ .Values.healthPort | quote }}}
{{- with .Values.clickhouse.cluster }}
- {name: TOKENTIDE_CLICKHOUSE_CLUSTER, value: {{ . | quote }}}
{{- end }}
{{- if .Values.files.alerts }}
- {name: TOKENTIDE_ALERTS_FILE, value: /config/alerts.yaml}
{{- end }}
{{- if .Values.files.cubes }}
- {name: TOKENTIDE_CUBES_FILE, value: /config/cubes.toml}
{{- end }}
{{- if .Values.files.catalogue }}
- {name: TOKENTIDE_CATALOGUE_PATHS, value: /config/catalogue}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- define "tokentide.volumes" -}}
- name: data
  emptyDir: {sizeLimit: 1Gi}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
- name: secrets
  secret: {secretName: {{ include "tokentide.secret" . | quote }}, defaultMode: 0440}
{{- with .root }}
{{- if or .Values.files.alerts .Values.files.cubes .Values.files.catalogue }}
- name: config
  configMap:
    name: {{ include "tokentide.name" . }}
    items:
    {{- if .Values.files.alerts }}
    - {key: alerts.yaml, path: alerts.yaml}
    {{- end }}
    {{- if .Values.files.cubes }}
    - {key: cubes.toml, path: cubes.toml}
    {{- end }}
    {{- range $name, $_ := .Values.files.catalogue }}
    - {key: {{ printf "catalogue.%s" $name }}, path: {{ printf "catalogue/%s" $name }}}
    {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tokentide.mounts" -}}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
- {name: secrets, mountPath: /secrets, readOnly: true}
{{- if or .Values.files.alerts .Values.files.cubes .Values.files.catalogue }}
- {name: config, mountPath: /config, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tokentide.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tokentide.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
