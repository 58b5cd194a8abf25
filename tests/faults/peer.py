"""A provider of another make (the Python SDK `tf`): notes in a JSON file that no state knows of.

PEER_STORE names the file. A note takes PEER_DELAY seconds, before and after it is in the file, so that a kill finds some in
flight.
"""

import fcntl
import json
import os
import sys
import time
import uuid

from tf import runner
from tf.iface import Config, CreateContext, DeleteContext, Provider, ReadContext, Resource, State, UpdateContext
from tf.schema import Attribute, Schema
from tf.types import String
from tf.utils import Diagnostics

STORE = os.environ.get("PEER_STORE", "peer.json")
DELAY = float(os.environ.get("PEER_DELAY", "0.01"))


def change(do):
    """Changes the file under a lock, whole or not at all."""
    with open(STORE + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        notes = {}
        if os.path.exists(STORE):
            with open(STORE) as file:
                notes = json.load(file)
        result = do(notes)
        with open(STORE + ".new", "w") as file:
            json.dump(notes, file)
        os.rename(STORE + ".new", STORE)
    return result


class Note(Resource):
    def __init__(self, provider):
        self.provider = provider

    @classmethod
    def get_name(cls):
        return "note"

    @classmethod
    def get_schema(cls):
        return Schema(
            attributes=[
                Attribute("title", String(), required=True),
                Attribute("id", String(), computed=True),
            ]
        )

    def create(self, ctx: CreateContext, planned: State):
        time.sleep(DELAY)
        note = {"id": uuid.uuid4().hex, "title": planned["title"]}
        change(lambda notes: notes.update({note["id"]: note}))
        time.sleep(DELAY)
        return note

    def read(self, ctx: ReadContext, current: State):
        return change(lambda notes: notes.get(current["id"]))

    def update(self, ctx: UpdateContext, current: State, planned: State):
        note = {"id": current["id"], "title": planned["title"]}
        change(lambda notes: notes.update({note["id"]: note}))
        return note

    def delete(self, ctx: DeleteContext, current: State):
        change(lambda notes: notes.pop(current["id"], None))


class Peer(Provider):
    def get_model_prefix(self):
        return "peer_"

    def full_name(self):
        return "example.test/faults/peer"

    def get_provider_schema(self, diags: Diagnostics):
        return Schema(attributes=[])

    def validate_config(self, diags: Diagnostics, config: Config):
        pass

    def configure_provider(self, diags: Diagnostics, config: Config):
        pass

    def get_data_sources(self):
        return []

    def get_resources(self):
        return [Note]

    def new_resource(self, klass):
        return klass(self)


if __name__ == "__main__":
    runner.run_provider(Peer(), sys.argv)
