resource "test_thing" "counted" {
  count = 3
  name  = "c${count.index}"
}
resource "test_thing" "keyed" {
  for_each = { a = 1, b = 2 }
  name     = "${each.key}${each.value}"
}
resource "test_thing" "none" {
  for_each = toset([])
  name     = each.key
}
resource "test_thing" "one_of_them" {
  name = "${test_thing.counted[1].id} and ${test_thing.keyed["b"].id}"
}
output "all" { value = test_thing.counted[*].name }
output "keys" { value = { for k, v in test_thing.keyed : k => v.id } }
