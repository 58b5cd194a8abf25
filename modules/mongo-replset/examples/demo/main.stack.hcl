stack "demo" {
  description = "A replica set on this machine"
}

module "db" {
  source = "../.."
}

output "members" { value = module.db.members }
