resource "test_thing" "a" {
  name = [1, 2
  x = 3
}
resource "test_thing" "b" {
  name = "unclosed
}
output "fine" { value = 1 }
resurce "x" "y" {}
