"""What starts a workflow of a repository, as its file says."""

import yaml


def triggers(workflow: bytes) -> frozenset[str]:
    """The events under `on`; none for a file that is no workflow: GitHub does not run it either."""
    try:
        content = yaml.safe_load(workflow)
    except (yaml.YAMLError, ValueError, RecursionError):
        return frozenset()
    if not isinstance(content, dict):
        return frozenset()
    named = content.get("on", content.get(True))  # to YAML 1.1, `on` is the truth
    names = [named] if isinstance(named, str) else named if isinstance(named, list | dict) else ()
    return frozenset(each for each in names if isinstance(each, str))
