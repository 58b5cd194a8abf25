stack "demo" {
  description = "All three layers on this machine, by their variables"
}

module "lamp" {
  source        = "../.."
  lb_cloud      = "local"
  web_cloud     = "local"
  db_cloud      = "local"
  db_on_destroy = "delete" # nothing of a demonstration stays
}

output "url" { value = module.lamp.url }
output "nodes" { value = module.lamp.nodes }
