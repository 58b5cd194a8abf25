stack "demo" {
  description = "A replica set on this machine"
}

module "db" {
  source     = "../.."
  on_destroy = "delete" # nothing of a demonstration stays
}

output "members" { value = module.db.members }
