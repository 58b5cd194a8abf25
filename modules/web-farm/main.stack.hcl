stack "web-farm" {
  description = "A load balancer over Apache and PHP nodes that serve a given application"
}

resource "lamp_cluster" "web" {
  name        = "${var.prefix}web"
  nodes       = var.nodes
  app         = var.app
  environment = var.environment
  database    = var.database
  cloud       = coalesce(var.web_cloud, var.cloud, "local")
  image       = var.image
  os          = var.os
  size        = var.size
  public      = var.public
}

resource "lb_pool" "lb" {
  name      = "${var.prefix}lb"
  backend   = lamp_cluster.web
  algorithm = var.algorithm
  listener  = { port = var.port }
  cloud     = coalesce(var.lb_cloud, var.cloud, "local")
  image     = var.image
  os        = var.os
  size      = var.size
  public    = var.public
}
