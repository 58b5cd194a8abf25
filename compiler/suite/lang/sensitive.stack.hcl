variable "password" {
  default   = "geheim"
  sensitive = true
}
resource "test_thing" "a" {
  name = "uses ${var.password}"
  any  = [var.password, 1]
}
output "hidden" {
  value     = test_thing.a.name
  sensitive = true
}
output "length" { value = nonsensitive(length(var.password)) }
