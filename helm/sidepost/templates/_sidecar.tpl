{{/*
What other charts use, with this chart as a dependency and `sidepost.mode: sidecar` in their values:

  initContainers:
    {{- include "sidepost.sidecar" .Subcharts.sidepost | nindent 8 }}
  volumes:
    {{- include "sidepost.volumes" .Subcharts.sidepost | nindent 8 }}
*/}}
{{- define "sidepost.sidecar" -}}
{{- include "sidepost.check" . -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail (printf "the sidecar is taken as a template while %s.mode is %s, which makes things of its own: set it to sidecar" .Chart.Name .Values.mode) -}}
{{- end -}}
{{- if and .Values.sidecar.native (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "native sidecars need Kubernetes 1.29, this is %s: set sidecar.native to false and put it under `containers`" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $container := include "sidepost.container" (dict "root" . "kind" (.Values.sidecar.native | ternary "native" "classic")) -}}
{{ toYaml (list (fromYaml $container)) }}
{{- end -}}

{{/* Entries for the pod's `volumes`; the relay's pod may need none. */}}
{{- define "sidepost.volumes" -}}
{{- with include "sidepost.allVolumes" . | trim }}{{ . }}{{ end -}}
{{- end -}}

{{/* A label by which the PodMonitor of this chart finds the pod. */}}
{{- define "sidepost.podLabels" -}}
sidepost/sidecar: {{ .Release.Name | quote }}
{{- end -}}

{{/* What a mesh has to be told. Server-first protocols look like silence to it. */}}
{{- define "sidepost.podAnnotations" -}}
{{- $inbound := list -}}
{{- if eq .Values.mode "standalone" -}}
{{- range list .Values.ports.smtp .Values.ports.smtps }}{{ if . }}{{ $inbound = append $inbound (int .) }}{{ end }}{{ end -}}
{{- end -}}
{{- $inbound = append $inbound (int .Values.ports.admin) -}}
{{- if eq .Values.mesh "istio" -}}
traffic.sidecar.istio.io/excludeOutboundPorts: {{ include "sidepost.smtpPorts" . | quote }}
traffic.sidecar.istio.io/excludeInboundPorts: {{ join "," $inbound | quote }}
{{- else if eq .Values.mesh "linkerd" -}}
config.linkerd.io/skip-outbound-ports: {{ include "sidepost.smtpPorts" . | quote }}
config.linkerd.io/skip-inbound-ports: {{ join "," $inbound | quote }}
{{- end -}}
{{- end -}}
