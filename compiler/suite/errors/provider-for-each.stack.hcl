# A provider block is one configuration, and who uses it says so by name.
provider "lampwright" {
  alias    = "by"
  for_each = toset(["eu", "us"])
}

resource "thing" "a" {
  for_each = toset(["eu", "us"])
  provider = lampwright.by[each.key]
}
