module "net" {
  source   = "./net"
  for_each = toset(["eu", "us"])
  region   = each.key
}
resource "test_thing" "a" { name = module.net["eu"].id }
output "ids" { value = { for k, m in module.net : k => m.id } }
### net/main.tf
variable "region" { type = string }
resource "test_thing" "n" { name = "net ${var.region} in ${path.module}" }
output "id" { value = test_thing.n.id }
