stack "demo" {
  description = "The lamp module on this machine"
}

variable "web_nodes" { default = 2 }
variable "db_members" { default = 3 }
variable "algorithm" { default = "roundrobin" }

module "lamp" {
  source        = "../.."
  web_nodes     = var.web_nodes
  db_members    = var.db_members
  db_on_destroy = "delete" # nothing of a demonstration stays
  algorithm     = var.algorithm
}

output "url" { value = module.lamp.url }
output "nodes" { value = module.lamp.nodes }
