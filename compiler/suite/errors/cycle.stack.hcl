locals {
  a = local.b
  b = test_thing.t.id
}
resource "test_thing" "t" { name = local.a }
