stack "demo" { description = "everything small" }
variable "nodes" { default = 2 }
variable "shape" {
  type = object({ name = string, size = optional(number, 10), tags = optional(map(string), {}) })
  default = { name = "x" }
}
locals {
  double = var.nodes * 2
  list   = [for i in range(local.double) : "n${i}" if i != 1]
}
resource "test_thing" "a" {
  name  = "web-${local.double}"
  nodes = var.nodes
  tags  = { for n in local.list : n => upper(n) }
}
output "id" { value = test_thing.a.id }
output "list" { value = local.list }
output "shape" { value = var.shape }
output "heredoc" {
  value = <<-EOT
    hello ${var.nodes}
      %{ for n in local.list ~}
    ${n},
      %{ endfor ~}
    end
  EOT
}
