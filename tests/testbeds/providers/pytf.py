"""A provider of another make, on the Python package `tf`: protocol 6. Things are JSON files in the folder PYTF_STORE."""
import json, os, uuid
from pathlib import Path
from tf import iface
from tf.blocks import SetNestedBlock
from tf.function import Function, FunctionSignature, Parameter, Return
from tf.runner import run_provider
from tf.schema import Attribute as A, Block, Schema
from tf.types import Bool, List, Map, NormalizedJson, Number, Set, String, Unknown
from tf.utils import Diagnostics

STORE = Path(os.environ.get("PYTF_STORE", "store"))


class Thing:
    def __init__(self, p): self.p = p
    @classmethod
    def get_name(cls): return "thing"
    @classmethod
    def get_schema(cls):
        return Schema(version=1, attributes=[
            A("id", String(), computed=True), A("name", String(), required=True, requires_replace=True),
            A("size", Number(), optional=True, computed=True, default=1), A("etag", String(), computed=True),
            A("tags", Map(String()), optional=True), A("zones", Set(String()), optional=True), A("list", List(Number()), optional=True),
            A("doc", NormalizedJson(), optional=True), A("on", Bool(), optional=True), A("pw", String(), optional=True, sensitive=True)],
            block_types=[SetNestedBlock("rule", Block(attributes=[A("port", Number(), required=True), A("proto", String(), optional=True)]))])
    def validate(self, diags, type_name, config):
        if config.get("name") == "bad": diags.add_error("Bad name", "name may not be bad", path=["name"])
        if config.get("name") == "warn": diags.add_warning("Odd name", path=["name"])
    def _f(self, id): return STORE / f"{id}.json"
    def _save(self, s):
        STORE.mkdir(parents=True, exist_ok=True); self._f(s["id"]).write_text(json.dumps(s)); return s
    def create(self, ctx, planned): return self._save({**planned, "id": uuid.uuid4().hex[:8], "etag": f"{self.p.prefix}-1"})
    def read(self, ctx, current):
        f = self._f(current["id"]); return json.loads(f.read_text()) if f.exists() else None
    def update(self, ctx, current, planned): return self._save({**planned, "etag": planned["etag"] if planned["etag"] is not Unknown else f"{self.p.prefix}-{int(current['etag'].rsplit('-', 1)[1]) + 1}"})
    def delete(self, ctx, current): self._f(current["id"]).unlink(missing_ok=True)
    def plan(self, ctx, current, planned):  # called for updates only
        if ctx.changed_fields or current["rule"] != planned["rule"]: planned["etag"] = Unknown
        return planned
    def import_(self, ctx, id):
        f = self._f(id)
        if not f.exists():
            ctx.diagnostics.add_error("No such thing", id); return None
        return json.loads(f.read_text())
    def upgrade(self, ctx, version, old):
        old["name"] = old.pop("title", old.get("name")); return old


class Lookup:
    def __init__(self, p): self.p = p
    @classmethod
    def get_name(cls): return "lookup"
    @classmethod
    def get_schema(cls): return Schema(attributes=[A("name", String(), required=True), A("id", String(), computed=True)])
    def validate(self, diags, type_name, config): pass
    def read(self, ctx, config):
        for f in STORE.glob("*.json"):
            s = json.loads(f.read_text())
            if s["name"] == config["name"]: return {"name": s["name"], "id": s["id"]}
        return {"name": config["name"], "id": None}


class Join(Function):
    def __init__(self, p): self.p = p
    @classmethod
    def get_name(cls): return "join"
    @classmethod
    def get_signature(cls):
        return FunctionSignature(parameters=[Parameter("sep", String())], variadic_parameter=Parameter("parts", String()), return_type=Return(String()), summary="join")
    def call(self, ctx, a):
        if a[0] == "!": raise ValueError("no such separator")
        return a[0].join(a[1:])


class P(iface.Provider):
    prefix = "e"
    def get_model_prefix(self): return "pytf_"
    def full_name(self): return "example.com/other/pytf"
    def get_provider_schema(self, diags): return Schema(attributes=[A("prefix", String(), optional=True)])
    def validate_config(self, diags, config): pass
    def configure_provider(self, diags, config): self.prefix = config.get("prefix") or "e"
    def get_data_sources(self): return [Lookup]
    def get_resources(self): return [Thing]
    def get_functions(self): return [Join]


def main(): run_provider(P())
if __name__ == "__main__": main()
