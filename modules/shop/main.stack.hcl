stack "shop" {
  description = "A catalogue and a cart, two applications that share one database layer"
}

module "database" {
  source     = "lampwright/mongo-replset"
  members    = var.db_members
  on_destroy = var.db_on_destroy
  cloud      = var.cloud
  image      = var.image
}

module "catalogue" {
  source   = "lampwright/web-farm"
  prefix   = "catalogue-"
  app      = "${path.module}/catalogue"
  nodes    = var.catalogue_nodes
  port     = var.catalogue_port
  database = module.database.database
  cloud    = var.cloud
  image    = var.image
}

module "cart" {
  source   = "lampwright/web-farm"
  prefix   = "cart-"
  app      = "${path.module}/cart"
  nodes    = var.cart_nodes
  port     = var.cart_port
  database = module.database.database
  cloud    = var.cloud
  image    = var.image
}
