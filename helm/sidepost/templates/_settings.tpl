{{/* Combinations that a schema cannot refuse, each with what to do. */}}
{{- define "sidepost.check" -}}
{{- $secrets := list "API_KEY" "API_TOKEN" "OAUTH_CLIENT_CERTIFICATE" "OAUTH_CLIENT_KEY" "OAUTH_CLIENT_SECRET" "OAUTH_REFRESH_TOKEN" "OAUTH_SERVICE_ACCOUNT" "PASSWORD" "SMTP_USERS" -}}
{{- range $name, $value := .Values.settings -}}
{{- if and (has $name $secrets) $value -}}
{{- fail (printf "settings.%s is a secret: put it into a Secret and name that in secret.existingSecret, its key in secret.keys.%s" $name $name) -}}
{{- end -}}
{{- if hasKey (default dict $.Values.secret.keys) ($name | trimSuffix "_FILE") -}}
{{- fail (printf "settings.%s: secret.keys gives the same setting" $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.secret -}}
{{- if and .existingSecret .values -}}
{{- fail "secret.values makes a Secret, secret.existingSecret names one: give one of the two" -}}
{{- end -}}
{{- if and .existingSecret (not .keys) -}}
{{- fail "secret.existingSecret needs secret.keys: which setting is under which key, such as PASSWORD: password" -}}
{{- end -}}
{{- if and .keys (not .existingSecret) -}}
{{- fail "secret.keys needs secret.existingSecret: the Secret that has them" -}}
{{- end -}}
{{- if and .values (eq $.Values.mode "inject") -}}
{{- fail "mode inject: the Secret has to be in the namespace of each pod, so secret.values cannot make it; give secret.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ca.configMap .Values.ca.secret -}}
{{- fail "ca: give configMap or secret, not both" -}}
{{- end -}}
{{- if and .Values.ports.smtps (not .Values.tls.secret) -}}
{{- fail "ports.smtps needs tls.secret: there is no TLS without a certificate" -}}
{{- end -}}
{{- $users := or (hasKey (default dict .Values.secret.keys) "SMTP_USERS") (hasKey (default dict .Values.secret.values) "SMTP_USERS") -}}
{{- if and (eq .Values.mode "standalone") $users (not .Values.tls.secret) -}}
{{- fail "SMTP_USERS needs tls.secret: from other hosts logins are taken under TLS only, so nobody could send" -}}
{{- end -}}
{{- if and (eq .Values.mode "standalone") (or .Values.settings.HTTP_LISTEN .Values.settings.SMTP_LISTEN .Values.settings.SMTPS_LISTEN) -}}
{{- fail "mode standalone: the Service has to know the ports, so set `ports` in place of settings.*_LISTEN" -}}
{{- end -}}
{{- end -}}

{{/* A setting as text. YAML numbers come as floats, which would be written 2.62144e+07. */}}
{{- define "sidepost.text" -}}
{{- if kindIs "slice" . -}}
{{- $texts := list -}}
{{- range . }}{{ $texts = append $texts (include "sidepost.text" .) }}{{ end -}}
{{- join "," $texts -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{- define "sidepost.listen" -}}
{{- if not .port -}}
off
{{- else if .everywhere -}}
*:{{ int .port }}
{{- else -}}
127.0.0.1:{{ int .port }},[::1]:{{ int .port }}
{{- end -}}
{{- end -}}

{{/* The names by which HTTP clients in the cluster call the relay, which it would otherwise take for a browser's trick. */}}
{{- define "sidepost.hosts" -}}
{{- $name := printf "%s.%s" (include "sidepost.fullname" .) .Release.Namespace -}}
{{- $hosts := list $name -}}
{{- if ne .Values.clusterDomain "cluster.local" -}}
{{- $hosts = append $hosts (printf "%s.svc.%s" $name .Values.clusterDomain) -}}
{{- end -}}
{{- with .Values.settings.ALLOWED_HOSTS }}{{ $hosts = append $hosts (include "sidepost.text" .) }}{{ end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/*
All variables as YAML, name: value. `settings` of the values outrank what the chart chooses, except for the names of hosts,
which are added up.
*/}}
{{- define "sidepost.variables" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $relay := eq .kind "standalone" -}}
{{- /* A pod that is not ours has 30 s in all, unless its owner says otherwise; the relay's pod gets what both waits take. */ -}}
{{- $delay := has .kind (list "standalone" "classic") | ternary (int $values.drain.delaySeconds) 0 -}}
{{- $timeout := $relay | ternary (int $values.drain.timeoutSeconds) (max 1 (sub (int $values.drain.timeoutSeconds) $delay)) -}}
{{- $variables := dict
      "HTTP_LISTEN" (include "sidepost.listen" (dict "port" $values.ports.http "everywhere" $relay))
      "SMTP_LISTEN" (include "sidepost.listen" (dict "port" $values.ports.smtp "everywhere" $relay))
      "ADMIN_LISTEN" (include "sidepost.listen" (dict "port" $values.ports.admin "everywhere" true))
      "ALLOWED_CLIENTS" ($relay | ternary (join "," $values.allowedClients) "loopback")
      "DRAIN_DELAY" (printf "%ds" $delay)
      "DRAIN_TIMEOUT" (printf "%ds" (int $timeout)) -}}
{{- if $values.ports.smtps }}{{ $_ := set $variables "SMTPS_LISTEN" (include "sidepost.listen" (dict "port" $values.ports.smtps "everywhere" $relay)) }}{{ end -}}
{{- range $name, $_ := $values.secret.keys }}{{ $_ := set $variables (printf "%s_FILE" $name) (printf "/run/sidepost/secret/%s" $name) }}{{ end -}}
{{- range $name, $_ := $values.secret.values }}{{ $_ := set $variables (printf "%s_FILE" $name) (printf "/run/sidepost/secret/%s" $name) }}{{ end -}}
{{- if or $values.ca.configMap $values.ca.secret }}{{ $_ := set $variables "CA_FILE" "/run/sidepost/ca/ca.crt" }}{{ end -}}
{{- if $values.tls.secret -}}
{{- $_ := set $variables "TLS_CERT_FILE" "/run/sidepost/tls/tls.crt" -}}
{{- $_ := set $variables "TLS_KEY_FILE" "/run/sidepost/tls/tls.key" -}}
{{- end -}}
{{- range $name, $value := $values.settings -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $variables $name (include "sidepost.text" $value) }}{{ end -}}
{{- end -}}
{{- if $relay }}{{ $_ := set $variables "ALLOWED_HOSTS" (include "sidepost.hosts" $root) }}{{ end -}}
{{ toYaml $variables }}
{{- end -}}

{{/* The kubelet would take $(NAME) for a reference to another variable; $$ is a dollar sign to it. */}}
{{- define "sidepost.env" -}}
{{- range $name, $value := fromYaml (include "sidepost.variables" .) }}
- name: SIDEPOST_{{ $name }}
  value: {{ $value | replace "$(" "$$(" | quote }}
{{- end -}}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end -}}
{{- end -}}
