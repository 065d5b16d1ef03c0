{{/*
A value as a CEL expression. Objects are typed by where they are in the pod, as the API server wants it, and the fields
of one type have values of any kind; plain maps (resources) have texts only. `expressions` maps texts to the expressions that
stand in their place.
*/}}
{{- define "sidepost.cel" -}}
{{- if kindIs "map" .value -}}
{{- $fields := list -}}
{{- $plain := regexMatch "\\.(limits|requests|volumeAttributes|matchLabels|options|annotations|labels)$" .type -}}
{{- range $name, $value := .value -}}
{{- if $plain }}{{ $value = include "sidepost.text" $value }}{{ end -}}
{{- $written := include "sidepost.cel" (dict "type" (printf "%s.%s" $.type $name) "value" $value "expressions" $.expressions) -}}
{{- $fields = append $fields (printf "%s: %s" ($plain | ternary (quote $name) $name) $written) -}}
{{- end -}}
{{ if not $plain }}{{ .type }}{{ end }}{ {{- join ", " $fields -}} }
{{- else if kindIs "slice" .value -}}
{{- $items := list -}}
{{- range .value }}{{ $items = append $items (include "sidepost.cel" (dict "type" $.type "value" . "expressions" $.expressions)) }}{{ end -}}
[{{ join ", " $items }}]
{{- else if and (kindIs "string" .value) (hasKey .expressions .value) -}}
({{ get .expressions .value }})
{{- else -}}
{{ toJson .value }}
{{- end -}}
{{- end -}}

{{/* What an annotation of the pod says, or else that. */}}
{{- define "sidepost.annotated" -}}
{{- $key := printf "sidepost/%s" .name -}}
{{ quote $key }} in object.metadata.annotations ? object.metadata.annotations[{{ quote $key }}] : {{ toJson .default }}
{{- end -}}
