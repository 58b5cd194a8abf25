variable "p" {
  default   = "x"
  sensitive = true
}
output "leak" { value = "see ${var.p}" }
resource "test_thing" "a" { count = var.p == "x" ? 1 : 2 }
