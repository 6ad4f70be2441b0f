# SPDX-License-Identifier: Apache-2.0
"""What Kyverno makes of a pod by examples/kubernetes-kyverno.yaml: the fields of a ClusterPolicy that are used there, and
no others. Kyverno itself is not to be had from apt or pip.

usage: kyverno.py POLICY POD      prints the pod as JSON
"""

import json
import re
import sys

import jmespath
import yaml

# The fields by which strategic merge patches find an element of a list (patchMergeKey in Kubernetes' API).
MERGE_KEYS = {"volumeMounts": "mountPath"}


def selects(match, pod):
    (resources,) = (entry["resources"] for entry in match["any"])
    assert resources.keys() == {"kinds", "operations", "selector"} and resources["operations"] == ["CREATE"]
    (expression,) = resources["selector"]["matchExpressions"]
    assert expression["operator"] == "Exists"
    return pod["kind"] in resources["kinds"] and expression["key"] in pod["metadata"].get("labels", {})


def fill_in(value, context):
    """Expressions in {{ }}: one that is the whole text keeps its type."""
    if isinstance(value, dict):
        return {key: fill_in(item, context) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, context) for item in value]
    if not isinstance(value, str):
        return value

    def evaluate(expression):
        result = jmespath.search(expression, context)
        assert result is not None, f"{expression}: nothing there, of which Kyverno makes an error"
        return result

    whole = re.fullmatch(r"\{\{(.*)\}\}", value)
    return evaluate(whole[1]) if whole else re.sub(r"\{\{(.*?)\}\}", lambda part: str(evaluate(part[1])), value)


def merge(target, patch):
    for key, value in patch.items():
        if isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            by, there = MERGE_KEYS.get(key, "name"), target.setdefault(key, [])
            for item in value:
                old = [element for element in there if element[by] == item[by]]
                merge(old[0], item) if old else there.append(item)
        else:
            target[key] = value


def holds(conditions, context):
    assert conditions.keys() == {"all"}
    for condition in conditions["all"]:
        assert condition["operator"] == "Equals"
        if fill_in(condition["key"], context) != condition["value"]:
            return False
    return True


def apply(policy, pod):
    for rule in policy["spec"]["rules"]:
        context = {"request": {"object": pod}}
        if not selects(rule["match"], pod):
            continue
        mutate = rule["mutate"]
        if "patchStrategicMerge" in mutate:
            merge(pod, fill_in(mutate["patchStrategicMerge"], context))
        for loop in mutate.get("foreach", []):
            for element in jmespath.search(loop["list"], context):
                inner = {**context, "element": element}
                if holds(loop["preconditions"], inner):
                    merge(pod, fill_in(loop["patchStrategicMerge"], inner))


policy, pod = (yaml.safe_load(open(path)) for path in sys.argv[1:])
assert (policy["apiVersion"], policy["kind"]) == ("kyverno.io/v1", "ClusterPolicy")
apply(policy, pod)
print(json.dumps(pod))
