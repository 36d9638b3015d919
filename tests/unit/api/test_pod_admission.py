"""What a pod may look like, field by field, where Kubernetes' types and Knative's rules meet."""

from collections.abc import Mapping
from typing import Any

import pytest

from upwell.api.admission import Denied, admit
from upwell.api.objects import Object, new_object
from upwell.api.resources import CONFIGURATION, REVISION, SERVICE

SPEC = "spec.template.spec"
OFF: Mapping[str, str] = {}


def service(container: Any = None, **spec: Any) -> Object:
    template = {"spec": {"containers": [{"image": "dev.local/hello:1", **(container or {})}], **spec}}
    return new_object(SERVICE, "default", "app", spec={"template": template})


def stored(obj: Object, features: Mapping[str, str] = OFF, *, strict: bool = False) -> Any:
    """The pod that is stored."""
    config = {"config-features": features}
    admitted = admit(SERVICE, obj, None, lambda name: config.get(name, {}), strict=strict)
    return admitted["spec"]["template"]["spec"]


def refusal(obj: Object, features: Mapping[str, str] = OFF, *, strict: bool = False) -> list[str]:
    with pytest.raises(Denied) as denied:
        stored(obj, features, strict=strict)
    return str(denied.value).replace(SPEC, "pod").splitlines()


def enabled(*names: str) -> dict[str, str]:
    return {f"kubernetes.podspec-{name}": "enabled" for name in names}


def with_volume(**source: Any) -> Object:
    mounts = [{"name": "v", "mountPath": "/v"}]
    return service({"volumeMounts": mounts}, volumes=[{"name": "v", **source}])


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert stored(service(containerConcurrency=100.0))["containerConcurrency"] == 100
    assert refusal(service(containerConcurrency=1.5)) == [
        "pod.containerConcurrency: 1.5 must be a whole number (without quotes)"
    ]


@pytest.mark.parametrize(("value", "fits"), [(2**31 - 1, True), (2**31, False), (-(2**31) - 1, False)])
def test_ports_and_times_of_probes_are_numbers_of_32_bits(value: int, fits: bool) -> None:
    probe = service({"livenessProbe": {"exec": {"command": ["x"]}, "initialDelaySeconds": value}})

    if fits:
        assert stored(probe)["containers"][0]["livenessProbe"]["initialDelaySeconds"] == value
    else:
        assert "must be a whole number (without quotes) below 2147483648" in refusal(probe)[0]


def test_a_number_beyond_64_bits_is_no_number() -> None:
    assert "must be a whole number" in refusal(service(timeoutSeconds=2**63))[0]
    assert refusal(service(timeoutSeconds=2**63 - 1)) == [
        f"expected 0 <= {2**63 - 1} <= 600: pod.timeoutSeconds",
    ]


def test_texts_that_kubernetes_always_has_are_stored_empty() -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]
    volume = with_volume(configMap={"name": "c", "items": [{"key": "k", "path": "p"}]})

    assert stored(service({"env": env}))["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"] == {
        "name": "s",
        "key": "",
    }
    assert stored(volume)["volumes"][0]["configMap"]["items"] == [{"key": "k", "path": "p"}]


def test_an_item_of_a_volume_needs_a_key_and_a_path() -> None:
    assert refusal(with_volume(secret={"secretName": "s", "items": [{}]})) == [
        "missing field(s): pod.volumes[0].items[0].key, pod.volumes[0].items[0].path"
    ]


def test_a_projected_token_needs_a_path_and_a_field_of_the_pod_exactly_one_source() -> None:
    field, resource = {"fieldPath": "metadata.name"}, {"resource": "limits.cpu"}
    items = [{"path": "a"}, {"path": "b", "fieldRef": field, "resourceFieldRef": resource}, {"fieldRef": field}]
    sources = [{"serviceAccountToken": {"audience": "a"}}, {"downwardAPI": {"items": items}}]
    where = "pod.volumes[0].projected"

    assert refusal(with_volume(projected={"sources": sources})) == [
        f"Within a single item, cannot set both: {where}[1].downwardAPI.items[1].fieldRef, "
        f"{where}[1].downwardAPI.items[1].resourceFieldRef",
        f"expected exactly one, got neither: {where}[1].downwardAPI.items[0].fieldRef, "
        f"{where}[1].downwardAPI.items[0].resourceFieldRef",
        f"missing field(s): {where}[0].serviceAccountToken.path, {where}[1].downwardAPI.items[2].path",
    ]


def test_a_volume_needs_a_name_that_is_a_label() -> None:
    mounts = [{"name": "V_1", "mountPath": "/v"}]
    volume = {"name": "V_1", "emptyDir": {}}

    assert refusal(service({"volumeMounts": mounts}, volumes=[volume])) == ["invalid value: V_1: pod.volumes[0].name"]


def test_a_kind_of_volume_that_is_permitted_but_not_on_is_told_without_a_path() -> None:
    volume = with_volume(hostPath={"path": "/data"})
    off = "HostPath volume support is disabled, but found HostPath volume v: "

    assert off in refusal(volume, {"kubernetes.podspec-volumes-hostpath": "allowed"})
    assert "must not set the field(s): pod.volumes[0].hostPath" in refusal(volume)


def test_a_mount_without_a_volume_is_told_to_be_read_only_too() -> None:
    mounts = [{"name": "gone", "mountPath": "/v", "readOnly": True}]

    assert refusal(service({"volumeMounts": mounts})) == [
        "volumeMount has no matching volume: pod.containers[0].volumeMounts[0].name"
    ]


def test_slashes_at_the_beginning_of_a_mount_path_count_once() -> None:
    volume = with_volume(emptyDir={})
    volume["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = "//dev/log"

    assert refusal(volume) == ['mountPath "/dev/log" is a reserved path: pod.containers[0].volumeMounts[0].mountPath']


def test_a_probe_may_call_a_port_without_a_name_http() -> None:
    probe = {"httpGet": {"path": "/", "port": "http"}}

    assert stored(service({"livenessProbe": probe}))["containers"][0]["livenessProbe"] == probe
    assert refusal(service({"livenessProbe": probe, "ports": [{"containerPort": 80, "name": "h2c"}]})) == [
        "invalid value: http: pod.containers[0].livenessProbe.httpGet.port",
        "Probe port must match container port",
    ]


def test_a_probe_of_a_sidecar_is_refused_by_what_it_says() -> None:
    sidecar = {"image": "b", "livenessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 3}, "startupProbe": {}}
    obj = service({"ports": [{"containerPort": 80}]})
    obj["spec"]["template"]["spec"]["containers"].append(sidecar)
    where = "pod.containers[1].livenessProbe"

    assert refusal(obj) == [f"must not set the field(s): {where}, {where}.periodSeconds"]


def test_init_containers_get_as_far_as_the_rule_that_names_the_field() -> None:
    init = {
        "image": "i",
        "name": "user-container",
        "stdinOnce": True,
        "resizePolicy": [{"resourceName": "cpu"}],
        "securityContext": {"procMount": "Default"},
        "ports": [{"containerPort": 8012, "hostPort": 80}],
        "unheardOf": 1,
    }
    where = "pod.containers[0]"

    assert refusal(service({"name": "user-container"}, initContainers=[init]), enabled("init-containers")) == [
        f'duplicate container name "user-container": {where}.name',
        f"invalid value: 8012 is a reserved port: {where}.ports.containerPort",
        "8012 is a reserved port, please use a different value",
        f"must not set the field(s): {where}.ports.hostPort, {where}.resizePolicy, "
        f"{where}.securityContext.procMount, {where}.stdinOnce",
    ]


def test_unknown_fields_of_what_a_flag_opens_are_nobodys_mistake() -> None:
    init = {"image": "i", "unheardOf": 1}

    pod = stored(service(initContainers=[init]), enabled("init-containers"), strict=True)

    assert "unheardOf" not in pod["initContainers"][0]


def test_groups_and_users_of_a_pod_are_numbers_below_2_to_the_31() -> None:
    security = {"fsGroup": -1, "supplementalGroups": [1, 2**31]}
    low = "expected 0 <= -1 <= 2147483647: pod.securityContext.fsGroup"
    high = "expected 0 <= 2147483648 <= 2147483647: pod.securityContext.supplementalGroups[1]"

    assert refusal(service(securityContext=security), enabled("securitycontext")) == [low, high]


def test_under_secure_defaults_a_pod_may_say_a_plain_seccomp_profile_and_no_more() -> None:
    secure = {"secure-pod-defaults": "enabled"}
    plain = {"seccompProfile": {"type": "RuntimeDefault"}}

    assert stored(service(securityContext=plain), secure)["securityContext"] == plain
    assert refusal(service(securityContext={**plain, "runAsUser": 1}), secure) == [
        "must not set the field(s): pod.securityContext.runAsUser"
    ]


def test_the_account_is_a_name_of_at_most_253_characters() -> None:
    name = "a" * 254

    assert refusal(service(serviceAccountName=name)) == [
        f"invalid value: {name}: pod.serviceAccountName",
        "must be no more than 253 characters",
    ]


def test_what_a_flag_hands_to_kubernetes_has_kubernetes_types() -> None:
    flags = enabled("tolerations", "affinity", "topologyspreadconstraints", "hostaliases", "dnsconfig")
    near = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "z"}}]}
    pod = {
        "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 0}],
        "affinity": {"podAntiAffinity": near, "unheardOf": {}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "hostAliases": [{"hostnames": ["a"]}],
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    }

    found = stored(service(**pod), flags, strict=True)

    assert found["tolerations"] == pod["tolerations"]
    assert found["affinity"] == {"podAntiAffinity": near}
    assert found["topologySpreadConstraints"] == [{"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": ""}]
    assert found["hostAliases"] == [{"ip": "", "hostnames": ["a"]}]
    assert found["dnsConfig"] == pod["dnsConfig"]
    assert refusal(service(tolerations=[{"key": 1}]), flags) == [
        "pod.tolerations[0].key: 1 must be a text (put it in quotes)"
    ]


def test_a_claim_on_a_volume_always_says_what_it_asks_for() -> None:
    claim = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    pod = stored(with_volume(ephemeral={"volumeClaimTemplate": claim}), enabled("volumes-ephemeral"))

    assert pod["volumes"][0]["ephemeral"]["volumeClaimTemplate"] == {
        "metadata": {},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {}},
    }


def test_a_seccomp_profile_without_a_type_is_filled_in_under_secure_defaults() -> None:
    security = {"seccompProfile": {"type": ""}}
    pod = stored(
        service({"securityContext": security}, securityContext=security),
        {"secure-pod-defaults": "enabled", **enabled("securitycontext")},
    )

    assert pod["containers"][0]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def told_about(key: str, value: str) -> str:
    """What is said about an annotation of a template; empty when it is accepted."""
    template = {"metadata": {"annotations": {key: value}}, "spec": {"containers": [{"image": "a:1"}]}}
    obj = new_object(CONFIGURATION, "default", "app", spec={"template": template})
    try:
        admit(CONFIGURATION, obj, None, lambda _: {})
    except Denied as denied:
        return str(denied)
    return ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", ""),
        ("60s", ""),
        ("soon", "invalid value: soon"),
        ("1.5s", "progress-deadline=1.5s is not at second precision"),
        ("-1.5s", "progress-deadline=-1.5s is not at second precision"),
        ("-1s", "progress-deadline=-1s must be positive"),
    ],
)
def test_of_a_progress_deadline_the_first_problem_is_told(value: str, problem: str) -> None:
    key = "serving.knative.dev/progress-deadline"

    assert told_about(key, value) == (f"{problem}: spec.template.metadata.annotations.{key}" if problem else "")


def test_a_percentage_is_told_as_the_number_that_it_is() -> None:
    key = "queue.sidecar.serving.knative.dev/resource-percentage"

    assert told_about(key, "1e3") == f"expected 0.1 <= 1000 <= 100: spec.template.metadata.annotations.[{key}]"


def test_a_changed_revision_is_told_that_and_nothing_else() -> None:
    old = admit(
        REVISION, new_object(REVISION, "default", "app-1", spec={"containers": [{"image": "a:1"}]}), None, lambda _: {}
    )
    new = {**old, "spec": {**old["spec"], "timeoutSeconds": 7}}
    new["metadata"] = {**old["metadata"], "annotations": {"autoscaling.knative.dev/min-scale": "x"}}

    with pytest.raises(Denied, match=r"^Immutable fields changed \(-old \+new\): spec\nspec.timeoutSeconds") as denied:
        admit(REVISION, new, old, lambda _: {})
    assert "min-scale" not in str(denied.value)
