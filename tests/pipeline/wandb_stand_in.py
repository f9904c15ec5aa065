"""A stand-in for the W&B server on 127.0.0.1: what init, log and finish ask of it, and a record of what they send."""

import base64
import gzip
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Received:
    """What the stand-in was sent, by run id."""

    url: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    summary: dict[str, dict[str, Any]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    sweep: str = ""
    ordered: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


def online(folder: Path, url: str) -> dict[str, str]:
    """An environment that sends to the stand-in, and knows no user's own settings."""
    return {
        "HOME": str(folder),
        "NETRC": str(folder / "none"),
        "WANDB_MODE": "online",
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": "0123456789" * 4,
    }


@contextmanager
def stand_in(*, refuses: bool = False) -> Iterator[Received]:
    """Serve on a free loopback port while the block runs; a server that refuses knows the user and takes no runs."""
    received = Received()

    class Handler(_Handler):
        sent = received
        takes_runs = not refuses

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sent: Received
    takes_runs: bool

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self.sent.uploads[self.path] = self._body()
        self._reply({})

    def do_POST(self) -> None:
        body = self._body()
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if self.path.endswith("/graphql"):
            query = json.loads(body)
            if "upsertBucket" in query["query"] and not self.takes_runs:
                self._reply({"errors": [{"message": "permission denied"}]}, status=403)
                return
            self._reply({"data": self._answer(query["query"], query.get("variables") or {})})
        elif stream is not None:
            self._take(stream.group(1), json.loads(body))
            self._reply({"exitcode": None, "limits": {}})
        else:
            self.sent.unknown.append(self.path)
            self._reply({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.sent.bodies.append(body.decode(errors="replace"))
        return body

    def _reply(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _take(self, run: str, content: dict[str, Any]) -> None:
        for name, part in (content.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                rows = [json.loads(line) for line in part["content"]]
                lines = self.sent.history.setdefault(run, [])
                first = int(part["offset"])
                # as the server: a line is what was sent last for its place, and none is left out
                assert first <= len(lines), f"{run}: line {first} of {len(lines)}"
                lines[first : first + len(rows)] = rows
            elif name == "wandb-summary.json":
                self.sent.summary.setdefault(run, {}).update(json.loads(part["content"][-1]))
        if content.get("complete"):
            self.sent.exit_codes[run] = content["exitcode"]

    def _answer(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            return {"upsertBucket": {"bucket": self._bucket(values), "inserted": True}}
        if "upsertView" in query:
            self.sent.views.append(values)
            return {"upsertView": {"view": _view(values), "inserted": True}}
        if "GetProjects" in query:
            return {"models": _page_of_projects(values.get("cursor"))}
        if "ProjectInternalId" in query:
            known = values["projectName"] in _PROJECTS
            return {"project": {"id": "UHJvamVjdDox", "internalId": INTERNAL_ID} if known else None}
        if "createProject" in query or "upsertModel" in query:
            self.sent.unknown.append("createProject")
            return {}
        if "upsertSweep" in query:
            self.sent.sweep = values["config"]
            return {"upsertSweep": {"sweep": _sweep(self.sent.sweep), "configValidationWarnings": []}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "QWdlbnQ6MQ=="}}}
        if "agentHeartbeat" in query:
            commands = self._orders(json.loads(values.get("runState") or "{}"))
            return {"agentHeartbeat": {"agent": {"id": "QWdlbnQ6MQ=="}, "commands": json.dumps(commands)}}
        if "sweep(" in query:
            return {"project": {**_project(values.get("project")), "sweep": _sweep(self.sent.sweep)}}
        if "RunResumeStatus" in query:
            return {"model": {**_project(values.get("project")), "bucket": self._known(str(values["name"]))}}
        if "createRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.sent.url}/upload/{values.get('run')}/{name}"}
                for name in values.get("files", [])
            ]
            return {"createRunFiles": {"runID": values.get("run"), "uploadHeaders": [], "files": files}}
        if "createArtifact(" in query:
            self.sent.artifacts.append(values.get("input") or values)
            return {"createArtifact": {"artifact": _ARTIFACT}}
        if "useArtifact(" in query:
            return {"useArtifact": {"artifact": _ARTIFACT}}
        if "viewer" in query or "serverInfo" in query:
            return {"viewer": _VIEWER, "serverInfo": _SERVER}
        if "__type" in query:
            return dict.fromkeys(re.findall(r"(\w+)\s*:\s*__type", query)) | {"__type": None}
        if re.search(r"\b(?:project|model)\s*\(", query):
            return {"project": _project(values.get("project") or values.get("name")), "model": None}
        self.sent.unknown.append(query.split("(")[0].strip())
        return {}

    def _orders(self, states: dict[str, bool]) -> list[dict[str, Any]]:
        """What an agent is to do next: a grid's cells one after the other, then to leave."""
        if any(states.values()):
            return []
        parameters = yaml.safe_load(self.sent.sweep)["parameters"]
        cells = list(itertools.product(*(entry["values"] for entry in parameters.values())))
        if len(self.sent.ordered) == len(cells):
            return [{"type": "exit"}]
        cell = cells[len(self.sent.ordered)]
        name = f"agent{len(self.sent.ordered)}"
        self.sent.ordered[name] = dict(zip(parameters, cell, strict=True))
        args = {key: {"value": value} for key, value in self.sent.ordered[name].items()}
        return [{"type": "run", "run_id": name, "args": args, "program": None}]

    def _known(self, name: str) -> dict[str, Any] | None:
        """What a resume asks of a run: how much of it is there."""
        if name not in self.sent.runs:
            return None
        lines = self.sent.history.get(name, [])
        return {
            "id": base64.b64encode(f"Run:{name}".encode()).decode(),
            "name": name,
            "displayName": name,
            "summaryMetrics": json.dumps(self.sent.summary.get(name, {})),
            "logLineCount": 0,
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(line) for line in lines[-1:]]),
            "eventsTail": "[]",
            "config": self.sent.runs[name].get("config") or "{}",
            "tags": [],
            "notes": "",
            "wandbConfig": '{"t": {}}',
        }

    def _bucket(self, values: dict[str, Any]) -> dict[str, Any]:
        name = str(values.get("name"))
        self.sent.runs.setdefault(name, {}).update({k: v for k, v in values.items() if v is not None})
        return {
            "id": base64.b64encode(f"Run:{name}".encode()).decode(),
            "name": name,
            "displayName": values.get("displayName") or name,
            "description": "",
            "config": values.get("config") or "{}",
            "sweepName": None,
            "historyLineCount": 0,
            "project": _project(values.get("project")),
        }


def _view(values: dict[str, Any]) -> dict[str, Any]:
    """What was saved, as it is given back."""
    project = {"id": "UHJvamVjdDox", "name": values["projectName"], "entityName": values["entityName"]}
    kept = {key: values.get(key) for key in ("type", "displayName", "description", "spec")}
    return {"id": "Vmlldzox", "name": values["name"], "project": project, **kept}


def _page_of_projects(cursor: str | None) -> dict[str, Any]:
    """One project a page: who looks for the last one has to ask again."""
    place = int(cursor or 0)
    node = {
        "__typename": "Project", "id": f"UHJvamVjdDo{place}", "name": _PROJECTS[place], "entityName": "someone",
        "createdAt": "2020-01-01T00:00:00Z", "isBenchmark": False, "user": None,
    }  # fmt: skip
    more = place + 1 < len(_PROJECTS)
    info = {"__typename": "PageInfo", "endCursor": str(place + 1), "hasNextPage": more}
    return {"pageInfo": info, "edges": [{"node": node}]}


def _sweep(config: str) -> dict[str, Any]:
    return {
        "id": "U3dlZXA6MQ==", "name": "sweep1", "displayName": "sweep1", "state": "RUNNING", "config": config,
        "method": yaml.safe_load(config)["method"], "description": "", "bestLoss": None, "controller": None,
        "scheduler": None, "createdAt": "2020-01-01T00:00:00", "heartbeatAt": None, "updatedAt": None,
        "earlyStopJobRunning": False, "runs": {"edges": []}, "project": _project(None), "runCount": 0,
    }  # fmt: skip


def _project(name: str | None) -> dict[str, Any]:
    return {
        "id": "UHJvamVjdDox",
        "name": name or "uncategorized",
        "entity": {"id": "RW50aXR5OjE=", "name": "someone"},
        "entityName": "someone",
        # no table of this name was sent before
        "artifact": None,
    }


# what `someone` has
_PROJECTS = ("another", "third", "priorgap")
INTERNAL_ID = "4711"
_VIEWER = {
    "id": "VXNlcjox", "entity": "someone", "username": "someone", "name": "someone", "email": "a@b.c",
    "flags": "{}", "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []},
    "defaultEntity": {"name": "someone"},
}  # fmt: skip
# a table, said to be there already: nothing more is sent of it
_ARTIFACT = {
    "id": "QXJ0aWZhY3Q6MQ==",
    "state": "COMMITTED",
    "artifactSequence": {
        "id": "QXJ0aWZhY3Q6Mg==",
        "latestArtifact": {"id": "QXJ0aWZhY3Q6MQ==", "versionIndex": 0},
    },
}
_SERVER = {
    "cliVersionInfo": {"max_cli_version": "9.9.9", "min_cli_version": "0.1.0"},
    "latestLocalVersionInfo": None,
    "features": [],
}
