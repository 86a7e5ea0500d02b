{{- define "coldstream.name" -}}
{{- if contains "coldstream" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-coldstream" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "coldstream.selector" -}}
app.kubernetes.io/name: coldstream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coldstream.labels" -}}
{{ include "coldstream.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "coldstream.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "coldstream.name" .) }}
{{- end }}

{{- define "coldstream.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: COLDSTREAM_CONFIG
    value: /etc/coldstream/config.yaml
  - name: TMPDIR
    value: /tmp
  # Keys of Secrets are read by the group of the pod: nobody else is in it.
  - name: CREDENTIALS_DIRECTORY
    value: /etc/coldstream
{{- with .Values.secretEnv }}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: config
    mountPath: /etc/coldstream
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- if .Values.persistence.enabled }}
  - name: vault
    mountPath: /vault
  {{- end }}
{{- end }}
