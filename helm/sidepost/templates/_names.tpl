{{- define "sidepost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidepost.fullname" -}}
{{- $name := include "sidepost.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sidepost.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "sidepost.instanceLabels" . }}
{{- end -}}

{{- define "sidepost.instanceLabels" -}}
app.kubernetes.io/name: {{ include "sidepost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The component keeps the pod of `helm test` out of the Service. */}}
{{- define "sidepost.selectorLabels" -}}
{{ include "sidepost.instanceLabels" . }}
app.kubernetes.io/component: relay
{{- end -}}

{{- define "sidepost.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sidepost.secretName" -}}
{{- .Values.secret.existingSecret | default (include "sidepost.fullname" .) -}}
{{- end -}}

{{- define "sidepost.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sidepost.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* At most 15 letters, and in somebody's pod it must not be a name that they use. */}}
{{- define "sidepost.adminPortName" -}}
{{- eq .Values.mode "standalone" | ternary "admin" "sidepost-admin" -}}
{{- end -}}
