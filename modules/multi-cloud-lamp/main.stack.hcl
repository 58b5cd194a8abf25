stack "multi-cloud-lamp" {
  description = "lamp with each layer on a cloud of its own"
}

module "lamp" {
  source        = "lampwright/lamp"
  web_nodes     = var.web_nodes
  db_members    = var.db_members
  db_on_destroy = var.db_on_destroy
  app           = var.app
  environment   = var.environment
  lb_cloud      = var.lb_cloud
  web_cloud     = var.web_cloud
  db_cloud      = var.db_cloud
  image         = var.image
  os            = var.os

  # Layers on different clouds see each other from outside.
  public = length(distinct([var.lb_cloud, var.web_cloud, var.db_cloud])) > 1
}
