stack "mongo-replset" {
  description = "A MongoDB replica set for use by other layers"
}

resource "mongo_replset" "db" {
  name        = var.name
  members     = var.members
  disk_gb     = var.disk_gb
  on_destroy  = var.on_destroy
  version     = var.mongodb_version
  replica_set = var.replica_set
  cloud       = coalesce(var.cloud, "local")
  image       = var.image
  os          = var.os
  size        = var.size
  public      = var.public
}
