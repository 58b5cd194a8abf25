variable "nodes" {}
resource "test_thing" "web" {
  node  = var.nodes
  id    = "x"
  nodes = "many"
  sett { }
}
resource "tast_thing" "b" {}
resource "test_thing" "c" {
  name = var.node + local.nothing
  tags = test_thing.wbe.tags
}
output "x" { value = test_thing.web.nome }
