{{- define "sidepost.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ include "sidepost.adminPortName" .root }}
{{ toYaml .timing }}
{{- end -}}

{{/* The container of every mode: `kind` is standalone, native, classic or inject. */}}
{{- define "sidepost.container" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
name: {{ $values.sidecar.name | quote }}
image: {{ include "sidepost.image" $root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
{{- if has .kind (list "native" "inject") }}
restartPolicy: Always
{{- end }}
env:
  {{- include "sidepost.env" . | trim | nindent 2 }}
{{- $from := $values.extraEnvFrom -}}
{{- if eq .kind "inject" }}{{ $from = prepend $from (dict "configMapRef" (dict "name" $values.inject.configMap "optional" true)) }}{{ end }}
{{- with $from }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
{{- if eq .kind "standalone" }}
{{- range $name := list "smtp" "smtps" "http" }}
{{- with index $values.ports $name }}
  - name: {{ $name }}
    containerPort: {{ . }}
    protocol: TCP
{{- end }}
{{- end }}
{{- end }}
  - name: {{ include "sidepost.adminPortName" $root }}
    containerPort: {{ $values.ports.admin }}
    protocol: TCP
startupProbe:
  {{- include "sidepost.probe" (dict "root" $root "path" "/startupz" "timing" $values.probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "sidepost.probe" (dict "root" $root "path" "/livez" "timing" $values.probes.liveness) | nindent 2 }}
{{- if eq .kind "standalone" }}
readinessProbe:
  {{- include "sidepost.probe" (dict "root" $root "path" "/readyz" "timing" $values.probes.readiness) | nindent 2 }}
{{- end }}
{{- with $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $values.securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- $mounts := fromYamlArray (include "sidepost.mounts" $root) }}
{{- with $mounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sidepost.hasSecret" -}}
{{- if or .Values.secret.existingSecret .Values.secret.values }}true{{ end -}}
{{- end -}}

{{- define "sidepost.mounts" -}}
{{- $mounts := list -}}
{{- /* Into every container that has nothing in this place the API server mounts the pod's token. */ -}}
{{- if ne .Values.mode "standalone" -}}
{{- $mounts = append $mounts (dict "name" "sidepost-no-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true) -}}
{{- end -}}
{{- range $name, $wanted := dict "secret" (include "sidepost.hasSecret" .) "ca" (or .Values.ca.configMap .Values.ca.secret) "tls" .Values.tls.secret -}}
{{- if $wanted }}{{ $mounts = append $mounts (dict "name" (printf "sidepost-%s" $name) "mountPath" (printf "/run/sidepost/%s" $name) "readOnly" true) }}{{ end -}}
{{- end -}}
{{ toYaml (concat $mounts .Values.extraVolumeMounts) }}
{{- end -}}

{{/*
0440 and 0444, as the API shows them. In the relay's pod a group of its own (fsGroup) may read the files; in somebody
else's pod there is none, and no container but ours mounts them.
*/}}
{{- define "sidepost.fileMode" -}}
{{- eq .Values.mode "standalone" | ternary 288 292 -}}
{{- end -}}

{{- define "sidepost.allVolumes" -}}
{{- $mode := include "sidepost.fileMode" . -}}
{{- /* Not an emptyDir, for which `kubectl drain` and the cluster autoscaler leave a pod where it is. */ -}}
{{- if ne .Values.mode "standalone" }}
- name: sidepost-no-token
  projected:
    sources: []
{{- end }}
{{- if include "sidepost.hasSecret" . }}
- name: sidepost-secret
  secret:
    secretName: {{ include "sidepost.secretName" . | quote }}
    defaultMode: {{ $mode }}
    items:
      {{- range $name, $key := .Values.secret.keys }}
      - key: {{ $key | quote }}
        path: {{ $name }}
      {{- end }}
      {{- range $name, $_ := .Values.secret.values }}
      - key: {{ $name }}
        path: {{ $name }}
      {{- end }}
{{- end }}
{{- with .Values.ca }}
{{- if .configMap }}
- name: sidepost-ca
  configMap:
    name: {{ .configMap | quote }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- else if .secret }}
- name: sidepost-ca
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: {{ $mode }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.tls.secret }}
- name: sidepost-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: {{ $mode }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* SMTP ports of providers, and the one that was set. */}}
{{- define "sidepost.smtpPorts" -}}
{{- $ports := list 25 465 587 2465 2525 2587 -}}
{{- $own := include "sidepost.text" (.Values.settings.PORT | default "") -}}
{{- if regexMatch "^[0-9]+$" $own }}{{ $ports = append $ports (int $own) }}{{ end -}}
{{- $ports | uniq | join "," -}}
{{- end -}}
