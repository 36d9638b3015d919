{{/* The parts of this chart. A component is "on" when knative.replace names it or, without that list, when it is enabled. */}}
{{- define "upwell.beside" -}}
{{- if .Values.knative.replace }}true{{ end -}}
{{- end }}

{{/* (dict "root" $ "component" NAME): "true" or nothing. */}}
{{- define "upwell.on" -}}
{{- if .root.Values.knative.replace -}}
{{- if has .component .root.Values.knative.replace }}true{{ end -}}
{{- else if (index .root.Values .component).enabled }}true{{ end -}}
{{- end }}

{{/* A component's Deployment, service account and roles; beside Knative's own they need names of their own. */}}
{{- define "upwell.name" -}}
{{- if include "upwell.beside" .root }}upwell-{{ end }}{{ .component }}
{{- end }}

{{/* Roles are not namespaced: always with a prefix. */}}
{{- define "upwell.clusterName" -}}
upwell-{{ .component }}
{{- end }}

{{- define "upwell.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "upwell.labels" -}}
{{ include "upwell.selector" . }}
app.kubernetes.io/part-of: upwell
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "upwell.selector" -}}
app.kubernetes.io/name: upwell
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* metadata of an object of a component; "name" overrides the component's own. */}}
{{- define "upwell.metadata" -}}
name: {{ .name | default (include "upwell.name" .) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "upwell.labels" . | nindent 2 }}
{{- end }}

{{- define "upwell.clusterMetadata" -}}
name: {{ .name | default (include "upwell.clusterName" .) }}
labels:
  {{- include "upwell.labels" . | nindent 2 }}
{{- end }}

{{- define "upwell.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "upwell.metadata" . | nindent 2 }}
  {{- with (index .root.Values .component).serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{/* Pods that want the token say so. */ -}}
automountServiceAccountToken: false
{{- end }}

{{/* Binds the ClusterRole and the Role of a component to its service account. */}}
{{- define "upwell.bindings" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "upwell.clusterMetadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "upwell.clusterName" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "upwell.name" . }}
    namespace: {{ .root.Release.Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "upwell.metadata" (merge (dict "name" (include "upwell.clusterName" .)) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "upwell.clusterName" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "upwell.name" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{/* Budgets count unavailable pods, not available ones: a single replica does not block the drain of its node. */}}
{{- define "upwell.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "upwell.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .root.Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "upwell.selector" . | nindent 6 }}
{{- end }}

{{/* Who may open connections: (dict "open" (list (dict "ports" LIST "from" PEERS)) ...), and metrics for whom values say. */}}
{{- define "upwell.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "upwell.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "upwell.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    {{- range .open }}
    - ports:
        {{- range .ports }}
        - port: {{ . }}
          protocol: TCP
        {{- end }}
      {{- with .from }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    - ports:
        - port: 9090
          protocol: TCP
      {{- with .root.Values.networkPolicy.metricsFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
