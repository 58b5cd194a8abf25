variable "n" {
  type    = list(strng)
  default = 5
}
variable "v" {
  default = 3
  validation {
    condition     = var.v > 5
    error_message = "v must be above 5, not ${var.v}."
  }
}
resource "test_thing" "a" {
  count = "x"
}
resource "test_thing" "b" {
  for_each = ["a"]
}
resource "test_thing" "c" {
  nodes = [1]
  any   = 1 + "x"
  name  = upper(1, 2)
  tags  = { a = uper("x") }
}
output "i" { value = [1, 2][5] }
