stack "demo" {
  description = "A web farm on this machine"
}

module "farm" {
  source = "../.."
  app    = "../../app"
}

output "url" { value = module.farm.url }
output "nodes" { value = module.farm.nodes }
