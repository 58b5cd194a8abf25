stack "lamp" {
  description = "Load balancer, Apache and PHP nodes, MongoDB replica set"
}

resource "mongo_replset" "db" {
  members    = var.db_members
  disk_gb    = var.db_disk_gb
  on_destroy = var.db_on_destroy
  cloud      = coalesce(var.db_cloud, var.cloud, "local")
  image      = var.image
  os         = var.os
  size       = var.size
  public     = var.public
}

resource "lamp_cluster" "web" {
  nodes       = var.web_nodes
  app         = coalesce(var.app, "${path.module}/app")
  environment = var.environment
  database    = mongo_replset.db
  cloud       = coalesce(var.web_cloud, var.cloud, "local")
  image       = var.image
  os          = var.os
  size        = var.size
  public      = var.public
}

resource "lb_pool" "lb" {
  backend   = lamp_cluster.web
  algorithm = var.algorithm
  listener  = { port = var.port }
  cloud     = coalesce(var.lb_cloud, var.cloud, "local")
  image     = var.image
  os        = var.os
  size      = var.size
  public    = var.public
}
