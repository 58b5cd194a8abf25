terraform {
  required_providers {
    other = { source = "example/other" }
  }
}

resource "test_thing" "theirs" {
  provider = other
  listener = { port = 80, protocol = "http" }
}
