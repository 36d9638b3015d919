{{/*
The Deployment of a component. (dict "root" $ "component" NAME), and NAME's own template "upwell.NAME.container" has
what differs: arguments, ports, probes and variables of its container.
*/}}
{{- define "upwell.deployment" -}}
{{- $values := index .root.Values .component -}}
{{- $autoscaled := and (eq .component "activator") .root.Values.activator.autoscaling.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "upwell.metadata" . | nindent 2 }}
spec:
  {{- if not $autoscaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # A new pod is ready before an old one is asked to go, and the old one finishes what it has.
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "upwell.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "upwell.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: upwell
        app: {{ .component }}
        role: {{ .component }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- /* Read at the start only; what else is in config maps is followed live. */}}
        {{- if ne .component "gateway" }}
        checksum/config-leader-election: {{ toJson .root.Values.config.leaderElection | sha256sum }}
        {{- end }}
        cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "upwell.name" . }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .root.Values.topologySpread.enabled }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          # During a rollout the new pods are spread among themselves.
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "upwell.selector" $ | nindent 14 }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ .component }}
          image: {{ include "upwell.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          terminationMessagePolicy: FallbackToLogsOnError
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          {{- include (printf "upwell.%s.container" .component) .root | trim | nindent 10 }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_IP
              valueFrom: {fieldRef: {fieldPath: status.podIP}}
            - name: SYSTEM_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: CONFIG_LOGGING_NAME
              value: config-logging
            - name: CONFIG_OBSERVABILITY_NAME
              value: config-observability
            - name: CLUSTER_DOMAIN
              value: {{ .root.Values.clusterDomain | quote }}
            - name: UPWELL_LOG_LEVEL
              value: {{ .root.Values.logLevel }}
            {{- with .root.Values.bindHost }}
            - name: UPWELL_BIND_HOST
              value: {{ . | quote }}
            {{- end }}
            {{- with include (printf "upwell.%s.env" .component) .root | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
{{- end }}
